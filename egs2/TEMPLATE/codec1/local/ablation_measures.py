"""What a trained variant keeps (scores of stage 6) and what its first codebook knows (probes)."""

import argparse
import dataclasses
import functools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ablation_variants import Run

from espnet_stacodec.bin import decode, dump_codes, tokens_as_codes
from espnet_stacodec.config import construct, load_yaml
from espnet_stacodec.downstream.code_dirs import read_codes
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.evaluation.code_sets import CodeSet, read_place
from espnet_stacodec.evaluation.ctc_probe import probe_spelling
from espnet_stacodec.evaluation.label_probe import Accuracy, probe_labels
from espnet_stacodec.evaluation.mutual_information import information
from espnet_stacodec.evaluation.probes import read_lists
from espnet_stacodec.evaluation.results import SHOWN
from espnet_stacodec.fileio.files import write_text
from espnet_stacodec.frames import align_tokens
from espnet_stacodec.inference.audio_coding import AudioCoding

NAME = "figures.json"
# Of RVQ-1 and the semantic tokens of the test set (%): mutual information as share of the tokens'
# entropy, and frames where the code is the token.
TOKEN_INFORMATION = "token_information"
TOKENS_RIGHT = "tokens_right"
LATENCY = "latency_ms"  # of a codec that streams
SPEAKERS = "utt2spk"


@dataclasses.dataclass(frozen=True)
class Probe:
    """A question that is asked of the first codebook.

    Attributes:
        name: Its name in ablations.yaml.
        label: List in dump/raw/<set> that has the answers: intent, text, utt2spk.
        sets: Sets whose utterances are asked.
        test: Those of `sets` to test on, with a probe of the others; empty for cross-validation.
        speakers_apart: Whether cross-validation keeps whole speakers together.
        spelling: Whether `label` is spelled by a CTC probe: character errors, not labels right.
    """

    name: str
    label: str
    sets: Sequence[str]
    test: Sequence[str] = ()
    speakers_apart: bool = False
    spelling: bool = False

    @property
    def title(self) -> str:
        """Its name, and what its value counts."""
        return f"{self.name} (% wrong)" if self.spelling else f"{self.name} (% right)"

    @classmethod
    def read(cls, name: str, conf: Mapping[str, Any], where: str) -> "Probe":
        """Return the probe of an entry of ablations.yaml.

        Raises:
            ConfigError: If a key is unknown or missing, or sets to test on are not among the sets.
        """
        probe = construct(cls, {"name": name, **conf}, f"{where} '{name}'")
        if not set(probe.test) < set(probe.sets) or (probe.spelling and not probe.test):
            raise ConfigError(
                f"{where} '{name}': `test` must be some of `sets` ({', '.join(probe.sets)}), not"
                f" [{', '.join(probe.test)}]."
            )
        return probe

    def ask(self, codes_dir: Path, raw_dir: Path) -> dict[str, float]:
        """Return what the first codebook of <codes_dir>/<set>/codes.scp reaches.

        Returns:
            value (%): labels right, or wrong characters where spelled; and, of labels, majority:
            labels right (%) if the commonest of the training is always said.
        """
        streams: dict[str, np.ndarray] = {}
        for name in self.sets:
            codes, _ = read_codes(codes_dir / name / "codes.scp")
            streams |= {utt: books[0] for utt, books in codes.items()}
        labels = read_lists(raw_dir / name / self.label for name in self.sets)
        speakers = read_lists(raw_dir / name / SPEAKERS for name in self.sets)
        test = list(read_lists(raw_dir / name / "wav.scp" for name in self.test))
        if self.spelling:
            return {"value": probe_spelling(streams, labels, test, speakers).cer.value}
        apart = speakers if self.speakers_apart else None
        found: Accuracy = probe_labels(streams, labels, test or None, apart)
        return {"value": found.accuracy.value, "majority": found.majority}


def measure(
    run: Run, probes: Sequence[Probe], args: argparse.Namespace, train: Callable[[], None]
) -> dict[str, float]:
    """Return the figures of a run by name; `train` is called unless all of them are there.

    Writes <experiment>/figures.json, and what stages 6 and 7 write.
    """
    kept = Kept(run.experiment / NAME, {"conf": run.conf, "options": run.options})

    @functools.cache
    def trained() -> Path:
        """Return the folder of the training's tokens."""
        logging.info("%s, seed %d", run.variant, run.seed)
        train()
        return tokens_of(run)

    @functools.cache
    def encoded() -> Path:
        """Return the folder of the codes that are probed."""
        codes_dir = run.experiment / "codes"
        options = _words(args, trained(), all_sets(probes), codes_dir)
        dump_codes.main(["--model", f"{run.experiment}", *options])
        return codes_dir

    def scores() -> dict[str, float]:
        return _fidelity(run, trained(), args) | _of_tokens(run, trained(), args)

    def latency() -> dict[str, float]:
        trained()
        return _latency(AudioCoding.from_pretrained(str(run.experiment)))

    figures = dict(kept(f"scores of {args.test_set}", args.metrics, scores))
    figures |= kept("latency", None, latency)
    for probe in probes:
        ask = functools.partial(_ask, probe, encoded, args)
        figures[probe.name] = kept(f"probe {probe.name}", dataclasses.asdict(probe), ask)["value"]
    return figures


def measure_references(
    run: Run, probes: Sequence[Probe], args: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Return what the semantic tokens themselves and the commonest answer reach, by probe.

    Args:
        run: Any finished one: all have the same tokens.
        probes: What is asked.
        args: Of the command.
    """
    folder = args.expdir / "semantic_tokens"
    kept = Kept(folder / NAME, {})

    @functools.cache
    def written() -> Path:
        options = ["--semantic_dir", tokens_of(run), "--dump_dir", args.dumpdir / "raw"]
        options += ["--out_dir", folder, "--sets", *all_sets(probes)]
        tokens_as_codes.main([str(option) for option in options])
        return folder

    found = {
        probe.name: kept(
            probe.name, dataclasses.asdict(probe), functools.partial(_ask, probe, written, args)
        )
        for probe in probes
    }
    known = {name: one["majority"] for name, one in found.items() if "majority" in one}
    values = {name: one["value"] for name, one in found.items()}
    return {"semantic tokens": values, "commonest answer": known} if probes else {}


def _ask(probe: Probe, codes_dir: Callable[[], Path], args: argparse.Namespace) -> dict[str, float]:
    return probe.ask(codes_dir(), args.dumpdir / "raw")


class Kept:
    """A file of what was found for a training, each part with what it was asked with.

    Args:
        path: The file.
        asked: What all parts depend on.
    """

    def __init__(self, path: Path, asked: Mapping[str, Any]) -> None:
        self.path = path
        self.asked = asked

    def __call__(self, name: str, asked: Any, make: Callable[[], dict]) -> dict[str, Any]:
        """Return the part of that name, if it was asked the same way; else make and write it."""
        asked = json.loads(json.dumps([self.asked, asked]))
        parts = json.loads(self.path.read_text("utf-8")) if self.path.exists() else {}
        if name not in parts or parts[name]["asked"] != asked:
            parts[name] = {"asked": asked, "found": make()}
            write_text(self.path, json.dumps(parts) + "\n")
        return parts[name]["found"]


def all_sets(probes: Sequence[Probe]) -> list[str]:
    """Return the sets of probes, each once."""
    return list(dict.fromkeys(name for probe in probes for name in probe.sets))


def tokens_of(run: Run) -> Path:
    """Return the folder of the semantic tokens that a finished training had."""
    return Path(load_yaml(run.experiment / "config.yaml")["semantic_tokenizer"])


def _words(
    args: argparse.Namespace, semantic_dir: Path, sets: Sequence[str], out_dir: Path
) -> list[str]:
    """Return the options that commands on sets share."""
    words = ["--dump_dir", args.dumpdir / "raw", "--semantic_dir", semantic_dir, "--nj", args.nj]
    return [str(word) for word in (*words, "--out_dir", out_dir, "--sets", *sets)]


def _fidelity(run: Run, semantic_dir: Path, args: argparse.Namespace) -> dict[str, float]:
    """Return the scores of stage 6 for the test set."""
    folder = run.experiment / "decode"
    options = ["--model", f"{run.experiment}", "--metrics", *args.metrics]
    decode.main(_words(args, semantic_dir, [args.test_set], folder) + options)
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))["sets"]
    return {key: value for key, value in found[args.test_set].items() if key in SHOWN}


def _latency(codec: AudioCoding) -> dict[str, float]:
    """Return how long (ms) a codec that streams waits for a code; nothing of another one."""
    streams = codec.is_causal and not codec.needs_tokens
    return {LATENCY: 1000 * codec.latency_seconds} if streams else {}


def _of_tokens(run: Run, semantic_dir: Path, args: argparse.Namespace) -> dict[str, float]:
    """Return what RVQ-1 says of the test set's semantic tokens."""
    codes = read_place(run.experiment / "decode" / args.test_set / "codes.scp")
    first = {name: books[:1] for name, books in codes.codes.items()}
    tokens = read_place(semantic_dir / args.test_set / "semantic.scp").stream(0)
    found = information(CodeSet(first, codes.sizes[:1], codes.frame_rate_hz), tokens)[0]
    figures = {TOKEN_INFORMATION: 100 * found.share}
    if run.assigns:
        same = [
            books[0] == align_tokens(name, tokens[name], books.shape[1])
            for name, books in first.items()
        ]
        figures[TOKENS_RIGHT] = 100 * float(np.concatenate(same).mean())
    return figures
