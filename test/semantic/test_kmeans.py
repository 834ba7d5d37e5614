import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from espnet_stacodec.errors import DataError, ModelError
from espnet_stacodec.semantic.kmeans import KMeans


def blobs(seed: int = 0) -> np.ndarray:
    """Return 300 points around (0, 0), (10, 0), (0, 10), in this order."""
    noise = np.random.default_rng(seed).normal(0, 0.1, (300, 2))
    return (np.repeat([[0, 0], [10, 0], [0, 10]], 100, axis=0) + noise).astype(np.float32)


def test_assignment_worked_by_hand() -> None:
    kmeans = KMeans(torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 5.0]]))
    # (2, 0) is 2 from the first and 1 from the second; (1, 3) is sqrt(5) from the third.
    frames = torch.tensor([[0.1, 0.1], [2.0, 0.0], [1.0, 3.0], [1.4, 0.0]])
    assert kmeans.assign(frames).tolist() == [0, 1, 2, 0]
    assert kmeans.assign(frames).dtype == torch.int64


def test_assignment_equals_the_nearest_centroid() -> None:
    generator = torch.Generator().manual_seed(0)
    centroids, frames = (torch.randn(n, 8, generator=generator) for n in (20, 200))
    expected = torch.cdist(frames, centroids).argmin(dim=1)
    assert torch.equal(KMeans(centroids).assign(frames), expected)


def test_lower_precision_around_it_changes_nothing() -> None:
    """A codec that computes in bfloat16 lets its tokenizer make the tokens of stage 3."""
    generator = torch.Generator().manual_seed(0)
    centroids, frames = (torch.randn(n, 64, generator=generator) for n in (500, 1000))
    kmeans = KMeans(centroids)
    expected = kmeans.assign(frames)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(kmeans.assign(frames), expected)


def test_fit_finds_the_mean_of_each_cluster() -> None:
    features = blobs()
    kmeans = KMeans.fit(features, num_clusters=3, seed=0, batch_frames=50, passes=10)
    found = kmeans.centroids[kmeans.assign(torch.from_numpy(features[::100]))].numpy()
    means = features.reshape(3, 100, 2).mean(axis=1)
    np.testing.assert_allclose(found, means, atol=1e-4)


def test_fit_depends_on_the_seed_only() -> None:
    features = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    fingerprints = [KMeans.fit(features, 10, seed, 64, 4).fingerprint for seed in (0, 0, 1)]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_fit_with_as_many_frames_as_clusters() -> None:
    features = blobs()[:5]
    kmeans = KMeans.fit(features, num_clusters=5, seed=0, batch_frames=2, passes=3)
    assert sorted(kmeans.assign(torch.from_numpy(features)).tolist()) == list(range(5))


def test_too_few_frames() -> None:
    with pytest.raises(DataError, match=r"K-means of 5 clusters .* there are 4"):
        KMeans.fit(blobs()[:4], num_clusters=5, seed=0, batch_frames=10, passes=1)


def test_saved_centroids_read_back(tmp_path: Path) -> None:
    kmeans = KMeans(torch.randn(4, 3))
    kmeans.save(tmp_path / "c.safetensors")
    again = KMeans.load(tmp_path / "c.safetensors")
    assert torch.equal(again.centroids, kmeans.centroids)
    assert again.fingerprint == kmeans.fingerprint
    assert (tmp_path / "c.safetensors").stat().st_mode & stat.S_IRGRP


def test_centroids_that_are_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="centroids are missing"):
        KMeans.load(tmp_path / "c.safetensors")
    (tmp_path / "c.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(ModelError, match="not centroids"):
        KMeans.load(tmp_path / "c.safetensors")
    for centroids in (torch.tensor([[0, torch.nan]]), torch.zeros(3)):
        save_file({"centroids": centroids}, tmp_path / "c.safetensors")
        with pytest.raises(ModelError, match=r"c\.safetensors: its centroids, of shape .*finite"):
            KMeans.load(tmp_path / "c.safetensors")
