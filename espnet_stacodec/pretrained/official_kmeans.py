"""The k-means models of released codecs: files of joblib, which are pickles, read without trust.

No class of the file is ever made. What stands for scikit-learn's k-means here keeps its attributes
and nothing else; a file that names anything else is refused before that is called.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import numpy_pickle
from typeguard import typechecked

from espnet_stacodec.errors import ModelError
from espnet_stacodec.semantic.kmeans import KMeans

CENTROIDS = "cluster_centers_"
# Where scikit-learn keeps, and kept, its k-means.
KMEANS_MODULES = ("sklearn.cluster._kmeans", "sklearn.cluster.k_means_")
NUMPY_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
NUMPY_NAMES = ("ndarray", "dtype", "scalar", "_reconstruct")


class _ForbiddenError(Exception):
    """A file names something that is not known here."""


class _Attributes:
    """Takes the place of an estimator: its attributes, without its code."""

    def __init__(self, *args: Any) -> None:
        """Ignore what the estimator would be made of."""


class _PlainArray(numpy_pickle.NumpyArrayWrapper):
    """An array of numbers; one of objects would be a pickle of its own, read without a check."""

    def read_array(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Read the array.

        Raises:
            _ForbiddenError: If it is an array of objects.
        """
        if self.dtype.hasobject:
            raise _ForbiddenError("an array of objects")
        return super().read_array(*args, **kwargs)


class _Unpickler(numpy_pickle.NumpyUnpickler):
    """Reads arrays of numbers and the attributes of a k-means; refuses to know anything else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a class of the file."""
        if module in KMEANS_MODULES and name in ("KMeans", "MiniBatchKMeans"):
            return _Attributes
        if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
            return _PlainArray
        # The state of the random generator, which nothing reads.
        if module.startswith("numpy.random.") or (module, name) == ("numpy.random", "RandomState"):
            return _Attributes
        if module in NUMPY_MODULES and name in NUMPY_NAMES:
            return super().find_class(module, name)
        raise _ForbiddenError(f"{module}.{name}")


@typechecked
def read_released_kmeans(path: Path | str) -> KMeans:
    """Read the k-means of a released codec, uncompressed, as joblib wrote it.

    Raises:
        ModelError: If the file is missing, cut off, compressed, holds something else, or names a
            class that a k-means does not need.
    """
    try:
        with Path(path).open("rb") as file:
            model = _Unpickler(str(path), file, ensure_native_byte_order=True).load()
        centroids = np.array(getattr(model, CENTROIDS), dtype=np.float32)
        if centroids.ndim != 2 or centroids.size == 0 or not np.isfinite(centroids).all():
            raise ValueError(f"its centroids, of shape {centroids.shape}, are not finite vectors")
        return KMeans(torch.from_numpy(centroids))
    except FileNotFoundError as error:
        raise ModelError(f"{path}: there is no such file.") from error
    except _ForbiddenError as error:
        raise ModelError(
            f"{path}: refused, since it names {error}, which no k-means needs and which loading"
            " could run; get the file from its authors again."
        ) from error
    # A file that is cut off or of another kind fails in ways that depend on where.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{path}: not a k-means that joblib saved without compression, or cut off ({reason})."
        ) from error
