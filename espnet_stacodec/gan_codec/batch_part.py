"""Which part of a training step's batch one forward pass sees."""

import dataclasses
from collections.abc import Sequence

import torch

from espnet_stacodec.gan_codec.distributed import gather_numbers


@dataclasses.dataclass(frozen=True)
class BatchSize:
    """The size of a padded batch; padding does not count, but in `longest`.

    Attributes:
        items: Number of items.
        samples: Audio samples of all items.
        frames: Codec frames of all items.
        longest: Frames of the longest item.
    """

    items: int
    samples: int
    frames: int
    longest: int


@dataclasses.dataclass(frozen=True)
class BatchPart:
    """A part of a step's batch, which is divided among ranks and accumulated passes.

    A mean over the whole batch is the sum over its parts of each one's mean times its share. With
    that, and with random numbers that are drawn for the whole batch, a training does not depend on
    how its batches are divided.

    Attributes:
        size: Of this part.
        whole: Of the step's whole batch.
        first_item: Index of this part's first item in the whole batch.
        is_last: Whether the passes of this rank are complete with this one: what is learned
            without gradients (codebooks, running means, step counts) changes then.
        passes: Passes of each rank for one step.
        learns: Whether anything is learned without gradients from this pass.
    """

    size: BatchSize
    whole: BatchSize
    first_item: int = 0
    is_last: bool = True
    passes: int = 1
    learns: bool = True

    @classmethod
    def alone(cls, size: BatchSize) -> "BatchPart":
        """Return the part that is the whole batch."""
        return cls(size, size)

    @property
    def share_of_items(self) -> float:
        """Items of this part per item of the whole batch."""
        return self.size.items / self.whole.items

    @property
    def share_of_frames(self) -> float:
        """Valid frames of this part per valid frame of the whole batch."""
        return self.size.frames / self.whole.frames

    def own(self, drawn: torch.Tensor) -> torch.Tensor:
        """Return the rows of this part's items in `drawn`, which has one for each of the whole."""
        return drawn[self.first_item : self.first_item + self.size.items]


def divide(sizes: Sequence[BatchSize], passes: int) -> list[BatchPart] | None:
    """Return the parts that this rank's passes are of the step that all ranks make together.

    Args:
        sizes: Of the batches that this rank has for the step, one a pass; all ranks call this.
        passes: Passes of each rank.

    Returns:
        One part for each pass; None, on every rank, if a rank has fewer batches: its epoch is over.
    """
    fields = len(dataclasses.fields(BatchSize))
    own = [number for size in sizes for number in dataclasses.astuple(size)]
    ranks = gather_numbers(own, at_most=fields * passes)
    if any(len(numbers) < fields * passes for numbers in ranks.values):
        return None
    # (passes, ranks): the items of a pass stand together, as in the batch that was divided.
    every = [
        [BatchSize(*numbers[i : i + fields]) for numbers in ranks.values]
        for i in range(0, fields * passes, fields)
    ]
    flat = [size for of_pass in every for size in of_pass]
    whole = BatchSize(
        sum(size.items for size in flat),
        sum(size.samples for size in flat),
        sum(size.frames for size in flat),
        max(size.longest for size in flat),
    )
    parts = []
    for index, of_pass in enumerate(every):
        before = len(of_pass) * index + ranks.own
        first_item = sum(size.items for size in flat[:before])
        parts.append(BatchPart(of_pass[ranks.own], whole, first_item, index == passes - 1, passes))
    return parts
