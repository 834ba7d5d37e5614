"""What happens to an utterance after ESPnet's own preprocessing."""

from collections.abc import Callable
from typing import Any

import numpy as np

from espnet_stacodec.frames import FrameRule, align_tokens
from espnet_stacodec.gan_codec.distributed import own_rank
from espnet_stacodec.iterators.augmentation import Augmentation
from espnet_stacodec.semantic.token_files import check_tokens


class AugmentingPreprocessor:
    """Runs ESPnet's preprocessing, then changes the audio; its tokens stay those of clean audio.

    Args:
        preprocess: ESPnet's preprocessing, or None.
        augmentation: What changes audio; each of several processes draws changes of its own.
    """

    def __init__(self, preprocess: Callable | None, augmentation: Augmentation) -> None:
        self.preprocess = preprocess
        self.augmentation = augmentation
        self.rank = own_rank()  # here, since data workers are in no group

    def __call__(self, uid: str, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """data: {"audio": (N,), ...}; returns it with other audio of the same length."""
        data = data if self.preprocess is None else self.preprocess(uid, data)
        return data | {"audio": self.augmentation(data["audio"], self._random())}

    def _random(self) -> Any:
        """Return what the changes of an utterance are drawn from.

        ESPnet seeds numpy's generator in each of its data workers, but alike on all ranks.
        """
        if self.rank == 0:
            return np.random
        drawn = np.random.randint(2**32, size=4, dtype=np.uint32)
        return np.random.RandomState([self.rank, *drawn.tolist()])


class AlignedPreprocessor:
    """Runs ESPnet's preprocessing, then brings tokens and features of an utterance to its frames.

    Args:
        preprocess: ESPnet's preprocessing, or None.
        frame_rule: The codec's frames.
        num_tokens: Tokens must be below this, where it is known.
    """

    def __init__(
        self, preprocess: Callable | None, frame_rule: FrameRule, num_tokens: int | None
    ) -> None:
        self.preprocess = preprocess
        self.frame_rule = frame_rule
        self.num_tokens = num_tokens

    def __call__(self, uid: str, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """data: {"audio": (N,), "semantic": (T',), "features": (T', F)}; returns T for T' of each.

        Only audio must be there.

        Raises:
            LengthError: If T' and T differ by more than a frame.
            TokenError: If a token is negative or not below `num_tokens`.
        """
        data = data if self.preprocess is None else self.preprocess(uid, data)
        num_frames = self.frame_rule.num_frames(len(data["audio"]))
        if "semantic" in data:
            tokens = align_tokens(uid, data["semantic"], num_frames)
            if self.num_tokens is not None:
                check_tokens(uid, tokens, self.num_tokens)
            data["semantic"] = tokens
        if "features" in data:
            features = data["features"]
            kept = align_tokens(uid, np.arange(len(features)), num_frames)
            data["features"] = features[kept]
        return data


class WholeFramePreprocessor:
    """Runs ESPnet's preprocessing, then pads audio to whole frames, as ESPnet's codecs need it.

    Args:
        preprocess: ESPnet's preprocessing, or None.
        frame_rule: The codec's frames.
    """

    def __init__(self, preprocess: Callable | None, frame_rule: FrameRule) -> None:
        self.preprocess = preprocess
        self.frame_rule = frame_rule

    def __call__(self, uid: str, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """data: {"audio": (N,)}; returns it with "audio": (T * hop,)."""
        data = data if self.preprocess is None else self.preprocess(uid, data)
        missing = -len(data["audio"]) % self.frame_rule.hop_samples
        return data | {"audio": np.pad(data["audio"], (0, missing))}
