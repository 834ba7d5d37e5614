"""Which frames a transformer sees at once: windows of limited length, overlapping in long audio."""

import dataclasses

from espnet_stacodec.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows that are full wherever the audio is long enough to fill one.

    The last window is moved back to end at the last frame, so no frame is seen with a window's
    filling beside it.

    Attributes:
        size: Frames of a window.
        overlap: Frames that neighbouring windows share; the last two may share more.
    """

    size: int = 150
    overlap: int = 50

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.size:
            raise ConfigError(
                f"Windows of {self.size} frames cannot overlap by {self.overlap} frames; give a"
                " positive window and a smaller overlap."
            )

    @property
    def stride(self) -> int:
        """Frames from one window's start to the next one's."""
        return self.size - self.overlap

    def starts(self, length: int) -> list[int]:
        """Return the first frame of each window over `length` frames."""
        if length <= self.size:
            return [0]
        return [*range(0, length - self.size, self.stride), length - self.size]

    def attended(self, length: int) -> int:
        """Return how many frames of a window are attended, valid or not."""
        return min(length, self.size)


@dataclasses.dataclass(frozen=True)
class ReferenceWindows(Windows):
    """The windows of the published implementation, which released weights were trained with.

    A window starts at every stride below the length. The last ones are filled up with zeros,
    which are attended like any other frame.
    """

    def starts(self, length: int) -> list[int]:
        """Return the first frame of each window over `length` frames."""
        return [0] if length <= self.size else list(range(0, length, self.stride))


WINDOWS = {"full": Windows, "reference": ReferenceWindows}
