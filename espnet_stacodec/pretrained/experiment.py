"""Experiment folders: a configuration, a model, and the semantic tokenizer it was trained with."""

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from typeguard import typechecked

from espnet_stacodec import __version__
from espnet_stacodec.config import load_yaml
from espnet_stacodec.errors import ModelError
from espnet_stacodec.fileio.files import move_folder, scratch_folder
from espnet_stacodec.pretrained import archives
from espnet_stacodec.pretrained.shipped.lookup import find_shipped, shipped_list

# To be raised with every change of weights' names or configuration keys between two releases.
CACHE_VERSION = 1
CONFIG_NAME = "config.yaml"
# A packed experiment has its model twice: the weights that encoding and decoding need, and the
# checkpoint of the whole model, with ESPnet's names. A trained experiment has ESPnet's files.
PACKED_WEIGHTS_NAME = "model.safetensors"
PACKED_MODEL_NAME = "model.pth"
TOKENIZER_FOLDER = "semantic"
CARD_NAME = "README.md"
REPOSITORY_PATTERN = re.compile(r"[\w.-]+/[\w.-]+")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Where the parts of an experiment are.

    Attributes:
        folder: The experiment's folder.
        config: The content of its config.yaml.
        model_file: The checkpoint or the safetensors file to load.
        source: What the user named: a shipped codec, the folder, an archive, or the id of a
            repository.
    """

    folder: Path
    config: dict[str, Any]
    model_file: Path
    source: str

    @property
    def tokenizer_folder(self) -> Path:
        """Where the experiment keeps its tokenizer, if it has one."""
        return self.folder / TOKENIZER_FOLDER

    @property
    def codec(self) -> str:
        """The codec's name: "stacodec", or one of ESPnet's own."""
        return self.config["codec"]

    @property
    def codec_conf(self) -> dict[str, Any]:
        """The codec's configuration."""
        return self.config["codec_conf"]

    def label(self, name: str) -> str:
        """Return how errors call a file of the experiment: as part of what the user named."""
        return str(Path(self.source) / name)

    @classmethod
    @typechecked
    def open(
        cls,
        source: Path | str,
        model_file: str | None = None,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: Path | str | None = None,
    ) -> "Experiment":
        """Find an experiment.

        Args:
            source: The name of a shipped codec, an experiment's folder, an archive that `pack` or
                ESPnet's `espnet2.bin.pack codec` made, or the id of a Hugging Face repository; `~`
                is the user's home.
            model_file: Name of a checkpoint in the folder; None for the packed weights or, failing
                that, the packed model, or the best one by the experiment's first criterion.
            revision: Branch, tag or commit of a repository; None for its default branch.
            token: Access token of a private repository; None for that of `hf auth login`.
            cache_dir: Where downloads and unpacked archives are kept; None for the hub's and the
                user's cache.

        Raises:
            ModelError: If there is no such experiment, or it lacks a part.
        """
        folder = _locate(source, model_file, revision, token, cache_dir)
        config_file, packed = folder / CONFIG_NAME, folder / PACKED_MODEL_NAME
        if not config_file.exists():
            if not (folder / archives.META_NAME).exists():
                raise ModelError(
                    f"{source}: no {CONFIG_NAME} in it; give the folder of an experiment."
                )
            config_file, packed = archives.find_parts(folder, source)
            folder = config_file.parent
        config = load_yaml(config_file, f"{source}/{config_file.name}")
        if not isinstance(config.get("codec"), str) or not isinstance(
            config.get("codec_conf"), dict
        ):
            raise ModelError(
                f"{source}/{config_file.name}: there is no codec and codec_conf in it; give the"
                " folder of a codec that espnet_stacodec or ESPnet trained."
            )
        model = _find_model(folder, packed, config, model_file, source)
        return cls(folder, config, model, str(source))


def _find_model(
    folder: Path, packed: Path, config: dict[str, Any], name: str | None, source: Path | str
) -> Path:
    """Return the path of a checkpoint in `folder`, `name` or the default one."""
    criteria = config.get("best_model_criterion") or []
    best = [folder / f"{phase}.{key}.best.pth" for phase, key, _ in criteria[:1]]
    candidates = [folder / name] if name else [folder / PACKED_WEIGHTS_NAME, packed, *best]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    wanted = " or ".join(path.name for path in candidates)
    found = ", ".join(sorted(p.name for p in folder.glob("*.pth"))) or "none"
    raise ModelError(f"{source}: no model {wanted} (there: {found}); train it first (stage 5).")


def _locate(
    source: Path | str,
    model_file: str | None,
    revision: str | None,
    token: str | None,
    cache_dir: Path | str | None,
) -> Path:
    """Return the folder of an experiment, unpacking or downloading it where needed."""
    if shipped := find_shipped(source):
        return shipped
    path = Path(source).expanduser()
    check_revision(path, revision)
    if path.is_dir():
        return path
    if path.is_file():
        return _unpack(path, cache_dir)
    if REPOSITORY_PATTERN.fullmatch(str(source)):
        hub = (str(source), None, revision, token, cache_dir)
        if model_file is None:
            # Not the weights a second time, where a repository has both files.
            folder = download(*hub, ignored=PACKED_MODEL_NAME)
            if (folder / PACKED_WEIGHTS_NAME).exists():
                return folder
        return download(*hub)
    raise ModelError(
        f"{source}: neither a folder nor an archive nor an id of a Hugging Face repository;"
        f" {shipped_list()}."
    )


def check_revision(path: Path, revision: str | None) -> None:
    """Raise ModelError if a revision is asked for of something that is on this machine."""
    if revision is not None and path.exists():
        raise ModelError(
            f"{path}: revision '{revision}' was asked for, but this is on this machine and no"
            " repository of a hub; remove one of them."
        )


def download(
    repository: str,
    pattern: str | None = None,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: Path | str | None = None,
    ignored: str | None = None,
) -> Path:
    """Return the local folder of a Hugging Face repository, with all files or those of a pattern.

    Those of the pattern `ignored` are left out. Further arguments as for `Experiment.open`.

    Raises:
        ModelError: If the hub cannot be reached or has no such repository.
    """
    import huggingface_hub
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        return Path(
            huggingface_hub.snapshot_download(
                repository,
                allow_patterns=pattern,
                ignore_patterns=ignored,
                revision=revision,
                token=token,
                cache_dir=cache_dir,
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{repository}: neither a folder here nor available from the hub ({reason})."
        ) from error


def _unpack(archive: Path, cache_dir: Path | str | None) -> Path:
    """Unpack an archive once into the cache, and return the folder."""
    return cached([archive], lambda folder: archives.unpack(archive, folder), cache_dir)


def cached(
    files: Sequence[Path], make: Callable[[Path], object], cache_dir: Path | str | None = None
) -> Path:
    """Return a folder in the cache that `make(folder)` fills, once for these contents.

    Once for each version of this package, too: what it makes can change.
    """
    if cache_dir is None:
        cache_dir = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(cache_dir).expanduser() / "espnet_stacodec"
    digest = hashlib.sha256(f"{__version__} {CACHE_VERSION}".encode())
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    folder = cache / digest.hexdigest()[:16]
    if folder.is_dir():
        return folder
    with scratch_folder(folder) as temporary:
        make(temporary)
        move_folder(temporary, folder)
    return folder
