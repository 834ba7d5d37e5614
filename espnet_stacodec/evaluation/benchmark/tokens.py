"""Semantic tokens of a HuBERT-base-sized model, beside the steps of ESPnet's k-means scripts."""

import dataclasses
import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import torch
from typeguard import typechecked

from espnet_stacodec.evaluation.benchmark.systems import SAMPLE_RATE
from espnet_stacodec.evaluation.benchmark.timing import (
    alone,
    has_bfloat16,
    peak_bytes,
    side_by_side,
)
from espnet_stacodec.fileio.markdown import markdown_table
from espnet_stacodec.parallel import Workers, one_thread
from espnet_stacodec.semantic.backends import build_upstream
from espnet_stacodec.semantic.kmeans import KMeans
from espnet_stacodec.semantic.tokenizer import SemanticTokenizer
from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig

LAYER, CLUSTERS = 9, 1024  # of 12 layers: the paper's tokens of HuBERT
UTTERANCE_SECONDS = 12  # about LibriSpeech's mean
FRAMES_OF_HOURS = (1, 2, 20)
PROCESSES = 2
SIZES: dict[str, Any] = {}  # of the model, where they are not HuBERT-base's


@typechecked
def compare(minutes: float, threads: int, repeats: int) -> str:
    """Return tables of tokenizing `minutes` of noise, and of the memory of k-means."""
    torch.set_num_threads(threads)
    random = np.random.default_rng(0)
    number = max(1, round(60 * minutes / UTTERANCE_SECONDS))
    waves = [
        random.normal(0, 0.1, UTTERANCE_SECONDS * SAMPLE_RATE).astype(np.float32)
        for _ in range(number)
    ]
    with tempfile.TemporaryDirectory() as folder, Workers(PROCESSES) as workers:
        config = write_model(Path(folder))
        tokenizer = SemanticTokenizer(build_upstream(config), _centroids(config))
        tokenizer.save(folder)
        theirs = Dumped(config, tokenizer, Path(folder))
        work = functools.partial(_tokens_of, Path(folder))
        ways: dict[str, Callable[[], Sequence[np.ndarray]]] = {
            "all layers to disk, read back, assigned": lambda: theirs.tokens(waves),
            f"layers up to {LAYER}, assigned": functools.partial(_tokens, tokenizer, waves),
            f"the same in {PROCESSES} processes": lambda: list(workers.map(work, waves, "tokens")),
        }
        if has_bfloat16():
            low = dataclasses.replace(config, precision="bfloat16")
            coarse = SemanticTokenizer(build_upstream(low), tokenizer.kmeans)
            ways["the same in bfloat16"] = functools.partial(_tokens, coarse, waves)
        found: dict[str, np.ndarray] = {}

        def run(name: str) -> None:
            found[name] = np.concatenate(ways[name]())

        times = side_by_side(
            {name: functools.partial(run, name) for name in ways}, max(1, repeats // 3)
        )
    first = next(iter(ways))
    rows = [
        [
            name,
            f"{seconds:.1f}",
            f"{seconds / times[first]:.2f}",
            f"{100 * np.mean(found[name] == found[first]):.2f}",
        ]
        for name, seconds in times.items()
    ]
    memory = [[hours, f"{alone(_memory_of_fit, hours) / 1e9:.2f}"] for hours in FRAMES_OF_HOURS]
    return (
        markdown_table(
            [f"tokens of {minutes:g} minutes", "seconds", "ratio", "equal tokens (%)"], rows
        )
        + "\n\n"
        + markdown_table(["k-means on audio of (h)", "peak memory (GB)"], memory)
        + "\n"
    )


def _tokens(tokenizer: SemanticTokenizer, waves: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the tokens (T,) of each waveform (N,), one by one."""
    return [tokenizer(torch.from_numpy(wave)).numpy() for wave in waves]


# A process holds the tokenizer, loaded when its first utterance comes.
_tokenizer = functools.lru_cache(maxsize=1)(SemanticTokenizer.load)


@one_thread()
def _tokens_of(folder: Path, wave: np.ndarray) -> np.ndarray:
    """Return the tokens (T,) of a waveform (N,), in one of several processes."""
    return _tokenizer(folder)(torch.from_numpy(wave)).numpy()


def write_model(folder: Path) -> UpstreamConfig:
    """Write a HuBERT-base-sized model with random weights; return its configuration."""
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    torch.manual_seed(0)
    HubertModel(HubertConfig(**SIZES)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    layer = min(LAYER, SIZES.get("num_hidden_layers", 12))
    return UpstreamConfig("hubert", layer, CLUSTERS, "transformers", str(folder))


def _centroids(config: UpstreamConfig) -> KMeans:
    generator = torch.Generator().manual_seed(0)
    return KMeans(torch.randn(CLUSTERS, SIZES.get("hidden_size", 768), generator=generator))


class Dumped:
    """What ESPnet's scripts do: `dump_feats.py`, `dump_km_label.py`.

    All hidden states of one utterance at a time, one of them to an ark on disk; then the features
    are read back and assigned with NumPy, utterance by utterance.

    Args:
        config: Of the model.
        tokenizer: Ours, whose centroids are taken.
        folder: Gets the features.
    """

    def __init__(self, config: UpstreamConfig, tokenizer: SemanticTokenizer, folder: Path) -> None:
        from transformers import HubertModel

        assert config.path_or_url is not None
        self.model = HubertModel.from_pretrained(config.path_or_url).eval()
        self.layer = config.layer
        self.centroids = tokenizer.kmeans.centroids.numpy()
        self.folder = folder

    def tokens(self, waves: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the tokens of each waveform."""
        names = f"ark,scp:{self.folder}/feats.ark,{self.folder}/feats.scp"
        with kaldiio.WriteHelper(names) as writer, torch.inference_mode():
            for index, wave in enumerate(waves):
                normalized = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
                audio = torch.from_numpy(normalized)[None]
                states = self.model(audio, output_hidden_states=True).hidden_states
                frames = states[self.layer][0]
                # As S3PRL does: the frame that convolutions lose is repeated.
                lost = -(-len(wave) // 320) - len(frames)
                writer(f"utt{index}", torch.cat([frames, frames[-1:].expand(lost, -1)]).numpy())
        squares = (self.centroids**2).sum(1)
        return [
            (
                (features**2).sum(1, keepdims=True) - 2 * features @ self.centroids.T + squares
            ).argmin(1)
            for _, features in kaldiio.ReadHelper(f"scp:{self.folder}/feats.scp")
        ]


def _memory_of_fit(hours: int) -> int:
    """Return the peak memory (bytes) of a process that fits k-means on so much audio.

    The frames are random: what memory depends on is how many there are, and how many are kept.
    """
    from espnet_stacodec.semantic.extract import draw_frames
    from espnet_stacodec.semantic.token_files import Utterance

    config = UpstreamConfig("any", 0, CLUSTERS, fit_hours=float(hours), passes=1)
    samples = UTTERANCE_SECONDS * SAMPLE_RATE
    utterances = [
        Utterance(f"utt{i}", "", samples) for i in range(3600 * hours // UTTERANCE_SECONDS)
    ]
    random = np.random.default_rng(0)
    features = np.concatenate(
        [
            random.normal(size=(len(frames), 768)).astype(np.float32)
            for _, frames in draw_frames(config, utterances)
        ]
    )
    KMeans.fit(features, CLUSTERS, 0, config.batch_frames, config.passes)
    return peak_bytes()
