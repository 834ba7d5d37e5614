"""What a report is about: an experiment that stage 6 has decoded, and the originals."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet_stacodec.config import load_yaml
from espnet_stacodec.errors import StageError
from espnet_stacodec.evaluation.results import RESULTS_NAME
from espnet_stacodec.fileio.arks import read_ark
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.fileio.files import read_scp, require
from espnet_stacodec.inference.audio_coding import AudioCoding, load_once
from espnet_stacodec.pretrained.experiment import CONFIG_NAME
from espnet_stacodec.semantic.token_files import SCP_NAME

Row = dict[str, Any]
STAGE_6 = "stage 6 (decoding)"


@dataclasses.dataclass(frozen=True)
class System:
    """A codec on one set.

    Attributes:
        folder: Its experiment.
        dataset: The set.
        decode: Name of the folder of stage 6 in the experiment.
        dump_dir: Where stage 2 put the audio; None to look for it from the experiment.
        model_file: Name of the checkpoint that was decoded with; None for the best one.
        label: Its name on the page; "" for the folder's.
    """

    folder: Path
    dataset: str
    decode: str = "decode"
    dump_dir: Path | None = None
    model_file: str | None = None
    label: str = ""

    @property
    def codec(self) -> AudioCoding:
        """The codec, loaded once in a process."""
        return load_once(self.folder, "cpu", self.model_file)

    @property
    def name(self) -> str:
        """Its name on the page."""
        return self.label or self.folder.resolve().name.removeprefix("codec_")

    @property
    def decoded(self) -> Path:
        """The folder of the decoded set."""
        return self.folder / self.decode / self.dataset

    @cached_property
    def config(self) -> dict[str, Any]:
        """The training's configuration."""
        return load_yaml(self.folder / CONFIG_NAME)

    @cached_property
    def rows(self) -> dict[str, Row]:
        """The scores of each utterance."""
        path = require(self.decoded / "scores.jsonl", STAGE_6)
        rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
        return {row["utt"]: row for row in rows}

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The scores of the set.

        Raises:
            StageError: If there are none, e.g. as another codec decoded it.
        """
        path = require(self.folder / self.decode / RESULTS_NAME, STAGE_6)
        sets = json.loads(path.read_text(encoding="utf-8"))["sets"]
        if self.dataset not in sets:
            raise StageError(
                f"{path}: there are no scores of {self.dataset} in it, only of {', '.join(sets)};"
                " decode the set again (stage 6)."
            )
        return sets[self.dataset]

    @cached_property
    def recipe(self) -> Path:
        """The folder that relative paths of the experiment begin at.

        Raises:
            StageError: If the originals are in no folder above the experiment.
        """
        for folder in (Path(), *self.folder.resolve().parents):
            if (folder / self._raw / self.dataset / "wav.scp").exists():
                return folder
        raise StageError(
            f"{self._raw / self.dataset}: the originals are not there, nor below a folder above"
            f" {self.folder}; say where dump/raw is with --dump_dir."
        )

    @property
    def _streams(self) -> dict[str, Path]:
        """The lists of the training's validation, by name; none of a packed experiment."""
        streams = self.config.get("valid_data_path_and_name_and_type", [])
        return {name: Path(path) for path, name, _ in streams}

    @property
    def _raw(self) -> Path:
        """The folder of stage 2's sets."""
        if self.dump_dir is not None:
            return self.dump_dir
        return self._streams.get("audio", Path("dump/raw/any/wav.scp")).parent.parent

    @property
    def raw_set(self) -> Path:
        """The set of stage 2."""
        return self.recipe / self._raw / self.dataset

    def _places(self, scp: Path) -> dict[str, Path]:
        return {utt: self.recipe / place for utt, place in read_scp(scp).items()}

    @cached_property
    def originals(self) -> dict[str, Path]:
        """The audio of stage 2."""
        return self._places(self.raw_set / "wav.scp")

    @cached_property
    def resynthesized(self) -> dict[str, Path]:
        """The audio of stage 6, with all codebooks."""
        wavs = read_scp(require(self.decoded / "wav.scp", STAGE_6))
        return {utt: self.decoded / "wav" / Path(place).name for utt, place in wavs.items()}

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """The transcripts, where the set has any."""
        path = self.raw_set / "text"
        return read_scp(path, allow_empty=True) if path.exists() else {}

    def codes(self, utt: str) -> np.ndarray:
        """Return the codes (n_codebooks, T) of an utterance."""
        return Codes.load(self.decoded / "codes" / f"{utt}.npz").codes

    @cached_property
    def tokens(self) -> dict[str, np.ndarray]:
        """The semantic tokens (T,) of the set's utterances; {} where it has none on disk."""
        if "semantic" not in self._streams:
            return {}
        folder = self.recipe / self._streams["semantic"].parent.parent
        scp = folder / self.dataset / SCP_NAME
        if not scp.exists():
            return {}
        places, cure = self._places(scp), "extract them again (stage 3)"
        return {utt: read_ark(str(places[utt]), "the tokens", cure) for utt in places}

    @property
    def training_set(self) -> str:
        """The name of the set that it was trained on; "" of a packed experiment."""
        lists = self.config.get("train_data_path_and_name_and_type", [])
        return next((Path(path).parent.name for path, name, _ in lists if name == "audio"), "")

    @property
    def semantic_folder(self) -> str:
        """The name of the tokens that it was trained with; "" without any."""
        return Path(self.config.get("semantic_tokenizer") or "").name

    @cached_property
    def epochs(self) -> dict[int, dict[str, dict[str, Any]]]:
        """What the training logged, by epoch: {"train": {name: value}, "valid": ...}."""
        path = self.folder / "checkpoint.pth"
        if not path.exists():
            return {}
        state = torch.load(path, map_location="cpu", weights_only=True)
        return state["reporter"]["stats"]

    @property
    def provenance(self) -> dict[str, Any]:
        """What made it; empty for an experiment of an earlier version."""
        path = self.folder / "provenance.yaml"
        return load_yaml(path) if path.exists() else {}


def datasets_of(folder: Path, decode: str) -> Sequence[str]:
    """Return the sets that an experiment has decoded."""
    path = require(folder / decode / RESULTS_NAME, STAGE_6)
    return list(json.loads(path.read_text(encoding="utf-8"))["sets"])
