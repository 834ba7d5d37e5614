import math
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from espnet_stacodec.errors import ConfigError, ModelError
from espnet_stacodec.semantic.backends import build_upstream
from espnet_stacodec.semantic.kmeans import KMeans
from espnet_stacodec.semantic.tokenizer import SemanticTokenizer, read_config
from espnet_stacodec.semantic.tokenizer_info import TokenizerInfo, UpstreamConfig


@pytest.fixture
def saved(tiny_hubert: Path, tmp_path: Path) -> Path:
    """A folder with a tokenizer that moved with its upstream into tmp_path."""
    shutil.copytree(tiny_hubert, tmp_path / "hubert")
    config = UpstreamConfig(
        "tiny", 1, 7, backend="transformers", path_or_url=str(tmp_path / "hubert")
    )
    centroids = torch.randn(7, 16, generator=torch.Generator().manual_seed(0))
    SemanticTokenizer(build_upstream(config), KMeans(centroids)).save(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


@pytest.mark.parametrize("samples", [1, 320, 321, 5000])
def test_tokens_of_a_loaded_tokenizer(saved: Path, samples: int) -> None:
    tokenizer = SemanticTokenizer.load(saved)
    wave = torch.randn(samples, generator=torch.Generator().manual_seed(1))
    tokens = tokenizer(wave)
    assert tokens.shape == (math.ceil(samples / 320),)
    assert tokens.dtype == torch.int64
    features = tokenizer.upstream.features(wave)
    assert torch.equal(tokens, torch.cdist(features, tokenizer.kmeans.centroids).argmin(dim=1))


def test_info_describes_the_saved_tokenizer(saved: Path) -> None:
    info = TokenizerInfo.read(saved)
    kmeans = KMeans.load(saved / "centroids.safetensors")
    assert info == TokenizerInfo("tiny", 1, 7, 50.0, kmeans.fingerprint)
    assert info.tag == "tiny_l1_km7"
    content = yaml.safe_load((saved / "tokenizer.yaml").read_text())
    assert content["format_version"] == 1
    assert content["feature_dim"] == 16


def test_upstream_that_moved(saved: Path) -> None:
    wave = torch.randn(5000, generator=torch.Generator().manual_seed(1))
    tokens = SemanticTokenizer.load(saved)(wave)
    (saved.parent / "hubert").rename(saved.parent / "moved")
    with pytest.raises(ConfigError, match="no model folder"):
        SemanticTokenizer.load(saved)
    moved = SemanticTokenizer.load(saved, path_or_url=str(saved.parent / "moved"))
    assert torch.equal(moved(wave), tokens)


def test_centroids_of_another_tokenizer(saved: Path) -> None:
    KMeans(torch.zeros(7, 16)).save(saved / "centroids.safetensors")
    with pytest.raises(ModelError, match="do not belong together"):
        SemanticTokenizer.load(saved)


def test_centroids_of_another_size(saved: Path) -> None:
    with pytest.raises(ModelError, match="have 8 dimensions, layer 1 of tiny has 16"):
        SemanticTokenizer(build_upstream(read_config(saved)), KMeans(torch.zeros(7, 8)))


def test_precomputed_tokens_cannot_be_run(tmp_path: Path) -> None:
    TokenizerInfo("theirs", None, 20, 50.0, "0123456789abcdef").write(tmp_path)
    with pytest.raises(ModelError, match="these tokens were precomputed"):
        SemanticTokenizer.load(tmp_path)
