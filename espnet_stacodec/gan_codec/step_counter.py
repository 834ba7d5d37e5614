"""Counting the steps of a training without waiting for the device that it runs on."""

from typing import Any, ClassVar

import torch
from torch import nn


class StepCounter(nn.Module):
    """A module that counts its training steps in a buffer, and beside it on the host.

    The buffer goes into checkpoints. Reading it, `int(buffer)`, would wait at every step until the
    device has done all that was queued before: the number on the host is read instead, and the
    buffer only after a state was loaded.

    Attributes:
        counter: Name of the buffer, set by subclasses.
    """

    counter: ClassVar[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer(self.counter, torch.zeros((), dtype=torch.long))
        self._steps: int | None = None

    def count(self) -> int:
        """Return the number of steps."""
        if self._steps is None:
            self._steps = int(getattr(self, self.counter))
        return self._steps

    @torch.no_grad()
    def advance(self) -> None:
        """Count one more step."""
        self._steps = self.count() + 1
        getattr(self, self.counter).add_(1)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._steps = None
