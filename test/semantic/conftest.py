"""A small formatted set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from espnet_stacodec.fileio.files import write_scp


def _write_set(folder: Path, lengths: dict[str, int], seed: int = 0) -> None:
    """Write a set of noisy tones, as stage 2 leaves it: {utterance id: samples}."""
    generator = np.random.default_rng(seed)
    wavs = {}
    for utt_id, length in lengths.items():
        tone = np.sin(2 * np.pi * generator.uniform(100, 2000) * np.arange(length) / 16000)
        wave = 0.3 * tone + 0.05 * generator.standard_normal(length)
        wavs[utt_id] = folder / "wav" / f"{utt_id}.flac"
        wavs[utt_id].parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(wavs[utt_id], wave, 16000, subtype="PCM_16")
    write_scp(folder / "wav.scp", wavs)
    write_scp(folder / "utt2num_samples", lengths)


@pytest.fixture
def write_set() -> Callable[..., None]:
    """The function that writes a set: (folder, {utterance id: samples}, seed)."""
    return _write_set


@pytest.fixture
def dump_dir(tmp_path: Path) -> Path:
    """dump/raw with a train set and a test set; lengths around whole frames."""
    _write_set(tmp_path / "raw" / "train", {f"a{i}": 16000 + 320 * i - i for i in range(6)}, seed=1)
    _write_set(tmp_path / "raw" / "test", {f"b{i}": 8000 + i for i in range(5)}, seed=2)
    return tmp_path / "raw"


@pytest.fixture(scope="session")
def tiny_wavlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WavLM-large's form: the norm is before each block, and one more after the last."""
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("wavlm")
    config = WavLMConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        conv_dim=[8] * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
        do_stable_layer_norm=True, feat_extract_norm="layer",
    )  # fmt: skip
    WavLMModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder
