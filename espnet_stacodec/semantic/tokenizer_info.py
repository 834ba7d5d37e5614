"""Description of a semantic tokenizer on disk: its configuration and `tokenizer.yaml`.

Reading these needs no model library: the codec meets this package here and in token files.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

import yaml
from typeguard import typechecked

from espnet_stacodec.config import construct, load_yaml
from espnet_stacodec.errors import ConfigError, TokenError
from espnet_stacodec.fileio.files import content_key, write_text
from espnet_stacodec.frames import FrameRule

# Every semantic token spans 20 ms of 16 kHz audio: the frame of the SEANet encoder.
TOKEN_FRAMES = FrameRule(hop_samples=320, sample_rate=16000)
FORMAT_VERSION = 1
INFO_NAME = "tokenizer.yaml"
BACKENDS = ("s3prl", "transformers")
PRECISIONS = ("float32", "bfloat16")


def make_tag(name: str, layer: int | None, num_clusters: int) -> str:
    """Return the name of dump folders, e.g. `wavlm_large_l23_km1000`."""
    clean = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return clean + ("" if layer is None else f"_l{layer}") + f"_km{num_clusters}"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


@dataclasses.dataclass(frozen=True)
class UpstreamConfig:
    """The YAML file of a tokenizer (conf/ssl/*.yaml): where features come from, how they cluster.

    Attributes:
        upstream: Name of an S3PRL upstream; with transformers, a label for folder names.
        layer: Index of the hidden state; 0 is the one before the first block.
        num_clusters: k, the number of tokens.
        backend: s3prl or transformers.
        path_or_url: Checkpoint file, model folder or hub id; None where S3PRL knows an address.
        revision: Commit, tag or branch of the hub id; None for what its default branch is.
        sha256: Which the checkpoint that S3PRL loads must have; None for any.
        seed: Of the sampling and of k-means.
        fit_hours: Hours of audio that k-means is fitted on, drawn at random.
        frames_per_cluster: At most this many frames for each cluster are kept from those hours:
            frames_per_cluster * num_clusters * feature size * 4 bytes of memory.
        batch_frames: Frames in one step of mini-batch k-means.
        passes: Times that k-means goes through the frames.
        precision: What the model computes in: float32, or bfloat16, which is faster where the
            device has it and gives some other tokens. K-means is computed in float32.
    """

    upstream: str
    layer: int
    num_clusters: int
    backend: str = "s3prl"
    path_or_url: str | None = None
    revision: str | None = None
    sha256: str | None = None
    seed: int = 0
    fit_hours: float = 10.0
    frames_per_cluster: int = 256
    batch_frames: int = 16384
    passes: int = 20
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision: '{self.precision}' is not float32 or bfloat16.")
        if self.backend not in BACKENDS:
            raise ConfigError(f"backend: '{self.backend}' is none of {', '.join(BACKENDS)}.")
        if not isinstance(self.upstream, str) or not re.search("[a-zA-Z0-9]", self.upstream):
            raise ConfigError(f"upstream: '{self.upstream}' is not a name.")
        if self.path_or_url is not None and not isinstance(self.path_or_url, str):
            raise ConfigError(f"path_or_url: {self.path_or_url} is not a path, address or hub id.")
        if self.revision is not None and (self.backend, type(self.revision)) != (
            "transformers", str
        ):  # fmt: skip
            raise ConfigError(
                f"revision: '{self.revision}' is for hub ids of backend transformers; remove it, or"
                " quote it if it is one."
            )
        if self.sha256 is not None and not (
            self.backend == "s3prl" and re.fullmatch("[0-9a-f]{64}", str(self.sha256))
        ):
            raise ConfigError(
                f"sha256: '{self.sha256}' is not the 64 hexadecimal digits of a checkpoint of"
                " backend s3prl."
            )
        for name in ("layer", "seed"):
            value = getattr(self, name)
            if value != 0 and not _is_count(value):
                raise ConfigError(f"{name}: {value} is not a whole number of 0 or more.")
        for name in ("num_clusters", "frames_per_cluster", "batch_frames", "passes"):
            if not _is_count(getattr(self, name)):
                raise ConfigError(f"{name}: {getattr(self, name)} is not a whole number above 0.")
        if isinstance(self.fit_hours, bool) or not isinstance(self.fit_hours, int | float):
            raise ConfigError(f"fit_hours: {self.fit_hours} is not a number of hours.")
        if not self.fit_hours > 0:
            raise ConfigError(f"fit_hours: {self.fit_hours} is not above 0.")

    @property
    def tag(self) -> str:
        """Name for folders: upstream, layer and k."""
        return make_tag(self.upstream, self.layer, self.num_clusters)

    @classmethod
    @typechecked
    def read(
        cls, path: Path | str, path_or_url: str | None = None, revision: str | None = None
    ) -> "UpstreamConfig":
        """Read a YAML file; `path_or_url` and `revision`, where given, replace the file's.

        The file's revision is of the file's hub id: with another `path_or_url` it does not count.

        Raises:
            ConfigError: If the file cannot be read, or a key is unknown, missing or unusable.
        """
        conf = load_yaml(path)
        if path_or_url is not None:
            conf = conf | {"path_or_url": path_or_url, "revision": None}
        if revision is not None:
            conf["revision"] = revision
        try:
            return construct(cls, conf, str(path))
        except ConfigError as error:
            message = str(error)
            raise ConfigError(
                message if message.startswith(str(path)) else f"{path}: {message}"
            ) from error


@dataclasses.dataclass(frozen=True)
class TokenizerInfo:
    """Properties of a tokenizer that users of its tokens need.

    Attributes:
        name: The SSL upstream, or the name of a precomputed tokenizer.
        layer: Index of the hidden state; None where a precomputed tokenizer does not say.
        num_clusters: k; tokens are in [0, k).
        frame_rate_hz: Tokens per second.
        fingerprint: Of the centroids; of the description where there are no centroids.
    """

    name: str
    layer: int | None
    num_clusters: int
    frame_rate_hz: float
    fingerprint: str

    @property
    def tag(self) -> str:
        """Name for folders: upstream, layer and k."""
        return make_tag(self.name, self.layer, self.num_clusters)

    @classmethod
    @typechecked
    def read(cls, path: Path | str) -> "TokenizerInfo":
        """Read `tokenizer.yaml`, or the one in the folder `path`.

        A file of another tool needs num_clusters, and name or upstream; its fingerprint, where it
        states none, is that of its content.

        Raises:
            ConfigError: If the file cannot be read.
            TokenError: If it lacks a key, or its tokens have another frame rate than the codec.
        """
        path = Path(path)
        path = path / INFO_NAME if path.is_dir() else path
        conf = load_yaml(path)
        name = conf.get("name", conf.get("upstream"))
        if not isinstance(name, str) or not _is_count(conf.get("num_clusters")):
            raise TokenError(f"{path}: num_clusters, and a name or an upstream, must be given.")
        layer = conf.get("layer")
        if layer is not None and layer != 0 and not _is_count(layer):
            raise TokenError(f"{path}: layer {layer} is not a whole number of 0 or more.")
        if conf.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
            raise TokenError(
                f"{path}: format_version {conf['format_version']} is not {FORMAT_VERSION};"
                " this file was written by another version of espnet_stacodec."
            )
        rate_hz = conf.get("frame_rate_hz", TOKEN_FRAMES.frame_rate_hz)
        if rate_hz != TOKEN_FRAMES.frame_rate_hz:
            raise TokenError(
                f"{path}: frame_rate_hz is {rate_hz}, the codec needs"
                f" {TOKEN_FRAMES.frame_rate_hz:g} tokens per second."
            )
        return cls(
            name=name,
            layer=layer,
            num_clusters=conf["num_clusters"],
            frame_rate_hz=float(rate_hz),
            fingerprint=str(conf.get("fingerprint", content_key(conf))),
        )

    def write(self, folder: Path) -> None:
        """Write the `tokenizer.yaml` of a tokenizer that cannot be run, only its tokens used."""
        write_info(folder, {k: v for k, v in dataclasses.asdict(self).items() if v is not None})


def check_same_tokenizer(found: str, expected: str | None, where: Path | str | None) -> None:
    """Compare fingerprints of tokenizers.

    Args:
        found: Of the tokenizer that is there, or that made the tokens that are there.
        expected: Of the one that is needed; None where any will do.
        where: The file or folder with `found`.

    Raises:
        TokenError: If they differ.
    """
    if expected not in (None, found):
        raise TokenError(
            f"{where}: semantic tokenizer {found} instead of {expected}; use the tokenizer and the"
            " tokens of one extraction (stage 3)."
        )


def write_info(folder: Path, content: dict[str, Any]) -> None:
    """Write `tokenizer.yaml` into `folder`, atomically."""
    content = {"format_version": FORMAT_VERSION} | content
    write_text(folder / INFO_NAME, yaml.safe_dump(content, sort_keys=False))
