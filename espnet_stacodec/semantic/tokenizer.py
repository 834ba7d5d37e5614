"""A waveform to semantic tokens, and the folder that holds all that this needs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from typeguard import typechecked

from espnet_stacodec.config import load_yaml
from espnet_stacodec.errors import ConfigError, ModelError
from espnet_stacodec.semantic.backends import build_upstream
from espnet_stacodec.semantic.kmeans import KMeans
from espnet_stacodec.semantic.tokenizer_info import (
    INFO_NAME,
    TokenizerInfo,
    UpstreamConfig,
    write_info,
)
from espnet_stacodec.semantic.upstream import Upstream

CENTROIDS_NAME = "centroids.safetensors"


class SemanticTokenizer:
    """An upstream and the k-means that clusters its features."""

    def __init__(self, upstream: Upstream, kmeans: KMeans) -> None:
        if kmeans.feature_dim != upstream.feature_dim:
            raise ModelError(
                f"The centroids have {kmeans.feature_dim} dimensions, layer {upstream.config.layer}"
                f" of {upstream.config.upstream} has {upstream.feature_dim}; they do not belong"
                " together."
            )
        self.upstream = upstream
        self.kmeans = kmeans.to(upstream.device)

    @typechecked
    def __call__(self, wave: torch.Tensor, utt_id: str = "audio") -> torch.Tensor:
        """Return the tokens (T,) int64 of wave (N,) at 16 kHz, T = ceil(N / 320).

        Raises:
            DataError: As `Upstream.features` does, naming `utt_id`.
        """
        return self.kmeans.assign(self.upstream.features(wave, utt_id))

    @typechecked
    def together(self, waves: Sequence[torch.Tensor], utt_ids: Sequence[str]) -> list[torch.Tensor]:
        """Return the tokens of several waves of similar length; see `features_together`."""
        features = self.upstream.features_together(waves, utt_ids)
        return [self.kmeans.assign(frames) for frames in features]

    @typechecked
    def save(self, folder: Path | str) -> None:
        """Write centroids.safetensors and, last, tokenizer.yaml."""
        folder = Path(folder)
        self.kmeans.save(folder / CENTROIDS_NAME)
        content = dataclasses.asdict(self.upstream.config) | {
            "frame_rate_hz": self.upstream.frame_rate_hz,
            "feature_dim": self.upstream.feature_dim,
            "fingerprint": self.kmeans.fingerprint,
        }
        write_info(folder, content)

    @classmethod
    @typechecked
    def load(
        cls, folder: Path | str, device: str = "cpu", path_or_url: str | None = None
    ) -> "SemanticTokenizer":
        """Build the tokenizer of a folder that `save` wrote.

        Args:
            folder: Holds tokenizer.yaml and centroids.safetensors.
            device: cpu, cuda, cuda:1, ...
            path_or_url: Where the upstream's checkpoint lies, if it is not where it was.

        Raises:
            ModelError: If something is missing, or the centroids are not those of tokenizer.yaml.
            ConfigError: If the upstream cannot be built.
        """
        folder = Path(folder)
        info = TokenizerInfo.read(folder)
        config = read_config(folder)
        if path_or_url is not None:
            config = dataclasses.replace(config, path_or_url=path_or_url, revision=None)
        kmeans = KMeans.load(folder / CENTROIDS_NAME)
        if kmeans.fingerprint != info.fingerprint:
            raise ModelError(
                f"{folder / CENTROIDS_NAME}: the fingerprint is {kmeans.fingerprint}, {INFO_NAME}"
                f" says {info.fingerprint}; these files do not belong together."
            )
        return cls(build_upstream(config, device), kmeans)


@typechecked
def read_config(folder: Path | str) -> UpstreamConfig:
    """Return the configuration in a folder's tokenizer.yaml.

    Raises:
        ModelError: If only precomputed tokens were used, so that there is no tokenizer to run.
    """
    path = Path(folder) / INFO_NAME
    content = load_yaml(path)
    if "backend" not in content:
        raise ModelError(
            f"{path}: these tokens were precomputed, so there is no tokenizer to run; give the"
            " semantic tokens of the audio."
        )
    names = {field.name for field in dataclasses.fields(UpstreamConfig)}
    try:
        return UpstreamConfig(**{key: content[key] for key in content if key in names})
    except (ConfigError, TypeError) as error:
        raise ModelError(f"{path}: not a tokenizer's configuration ({error}).") from error
