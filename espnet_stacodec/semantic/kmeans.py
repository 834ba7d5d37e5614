"""K-means of feature frames: fit, assign, save. It knows nothing of audio or models."""

import math
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from tqdm import tqdm
from typeguard import typechecked

from espnet_stacodec.errors import DataError, ModelError
from espnet_stacodec.fileio.files import atomic_write, fingerprint

CENTROIDS_KEY = "centroids"
INIT_FRAMES_PER_CLUSTER = 10


class KMeans:
    """Centroids, and the nearest one of each frame.

    Attributes:
        centroids: (k, D) float32.
    """

    @typechecked
    def __init__(self, centroids: torch.Tensor) -> None:
        self.centroids = centroids.float()
        self._squares = self.centroids.square().sum(dim=1)

    @property
    def num_clusters(self) -> int:
        """K."""
        return self.centroids.shape[0]

    @property
    def feature_dim(self) -> int:
        """D."""
        return self.centroids.shape[1]

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the centroids."""
        return fingerprint([(CENTROIDS_KEY, self.centroids.cpu().numpy())])

    def to(self, device: torch.device) -> "KMeans":
        """Return the same k-means with its centroids on `device`."""
        return KMeans(self.centroids.to(device))

    @typechecked
    def assign(self, features: torch.Tensor) -> torch.Tensor:
        """Return the nearest centroid (T,) int64 of each frame of features (T, D).

        In the precision of the features, whatever the caller's autocast says.
        """
        with torch.autocast(features.device.type, enabled=False):
            # |x - c|^2 without |x|^2, which is the same for all centroids.
            return (self._squares - 2 * features @ self.centroids.T).argmin(dim=1)

    @classmethod
    @typechecked
    def fit(
        cls, features: np.ndarray, num_clusters: int, seed: int, batch_frames: int, passes: int
    ) -> "KMeans":
        """Cluster features (n, D) float32 by scikit-learn's mini-batch k-means.

        Every pass goes through all frames in a new order and starts from the centroids of the pass
        before, but not from its counts: frames that were assigned to centroids of long ago would
        hold the new ones back. In the first half of the passes starved clusters are moved to random
        frames, after that all stay where they settle.

        Raises:
            DataError: If there are fewer frames than clusters.
        """
        if len(features) < num_clusters:
            raise DataError(
                f"K-means of {num_clusters} clusters needs at least as many frames, there are"
                f" {len(features)}; use more audio (fit_hours) or a smaller num_clusters."
            )
        from sklearn.cluster import MiniBatchKMeans

        generator = np.random.default_rng(seed)
        # Batches of equal size: none so small that k-means++ cannot start from it.
        num_batches = max(1, len(features) // max(batch_frames, 3 * num_clusters))
        centroids: np.ndarray | str = "k-means++"
        for number in tqdm(range(passes), "k-means", unit="pass"):
            model = MiniBatchKMeans(
                num_clusters,
                init=centroids,
                # k-means++ costs more than all passes when it looks at a whole large batch.
                init_size=INIT_FRAMES_PER_CLUSTER * num_clusters,
                batch_size=math.ceil(len(features) / num_batches),
                n_init=1,
                random_state=seed,
                compute_labels=False,
                reassignment_ratio=0.01 if number < passes // 2 else 0.0,
            )
            for batch in np.array_split(generator.permutation(len(features)), num_batches):
                model.partial_fit(features[np.sort(batch)])
            centroids = model.cluster_centers_
        return cls(torch.from_numpy(np.asarray(centroids, dtype=np.float32)))

    @typechecked
    def save(self, path: Path | str) -> None:
        """Write the centroids as safetensors, atomically."""
        with atomic_write(path) as temporary:
            save_file({CENTROIDS_KEY: self.centroids.cpu().numpy()}, temporary)

    @classmethod
    @typechecked
    def load(cls, path: Path | str) -> "KMeans":
        """Read centroids that `save` wrote.

        Raises:
            ModelError: If the file is missing or holds something else.
        """
        if not Path(path).is_file():
            raise ModelError(f"{path}: the centroids are missing; extract the tokens (stage 3).")
        try:
            centroids = load_file(path)[CENTROIDS_KEY]
        except (SafetensorError, KeyError) as error:
            raise ModelError(f"{path}: these are not centroids of k-means ({error}).") from error
        if centroids.ndim != 2 or not np.isfinite(centroids).all():
            raise ModelError(
                f"{path}: its centroids, of shape {centroids.shape}, are not finite vectors; get"
                " the file again, or extract the tokens again (stage 3)."
            )
        return cls(torch.from_numpy(centroids))
