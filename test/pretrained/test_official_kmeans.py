"""K-means files of released codecs: read without trust."""

import os

import joblib
import numpy as np
import pytest
from sklearn.cluster import KMeans, MiniBatchKMeans

from espnet_stacodec.errors import ModelError
from espnet_stacodec.pretrained.official_kmeans import read_released_kmeans


@pytest.mark.parametrize("kind", [KMeans, MiniBatchKMeans])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_centroids_of_a_fitted_kmeans(tmp_path, kind, dtype):
    frames = np.random.default_rng(0).standard_normal((200, 3)).astype(dtype)
    model = kind(4, n_init=1, random_state=np.random.RandomState(0)).fit(frames)
    joblib.dump(model, tmp_path / "kmeans.pt")
    kmeans = read_released_kmeans(tmp_path / "kmeans.pt")
    np.testing.assert_allclose(kmeans.centroids.numpy(), model.cluster_centers_, rtol=1e-6)


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_malicious_twin_is_refused(tmp_path, hidden):
    """`hidden`: in an array of objects, which joblib reads with an unpickler of its own."""
    target = tmp_path / "written"
    payload = Malicious(str(target))
    model = KMeans(2, n_init=1).fit(np.eye(3))
    model.cluster_centers_ = np.array([payload], dtype=object) if hidden else payload
    joblib.dump(model, tmp_path / "kmeans.pt")
    message = "an array of objects" if hidden else r"\w+\.mkdir"
    with pytest.raises(ModelError, match=f"refused, since it names {message}"):
        read_released_kmeans(tmp_path / "kmeans.pt")
    assert not target.exists()
    # It does what it says where it is trusted.
    joblib.load(tmp_path / "kmeans.pt")
    assert target.exists()


def test_files_that_are_none(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        read_released_kmeans(tmp_path / "none")
    joblib.dump({"text": 1}, tmp_path / "other")
    with pytest.raises(ModelError, match="not a k-means"):
        read_released_kmeans(tmp_path / "other")
    model = KMeans(2, n_init=1).fit(np.eye(3))
    joblib.dump(model, tmp_path / "compressed", compress=3)
    with pytest.raises(ModelError, match="not a k-means that joblib saved without compression"):
        read_released_kmeans(tmp_path / "compressed")
    joblib.dump(model, tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"not a k-means .*, or cut off"):
            read_released_kmeans(tmp_path / "cut")


@pytest.mark.parametrize("centroids", [np.full((2, 3), np.nan), np.zeros(5), np.zeros((0, 3))])
def test_centroids_that_are_none(tmp_path, centroids):
    model = KMeans(2, n_init=1).fit(np.eye(3))
    model.cluster_centers_ = centroids
    joblib.dump(model, tmp_path / "kmeans")
    with pytest.raises(ModelError, match="are not finite vectors"):
        read_released_kmeans(tmp_path / "kmeans")
