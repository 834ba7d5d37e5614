"""Validation on any number of processes: each utterance once, the same figures on every rank."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from espnet2.torch_utils.device_funcs import to_device
from espnet2.train.gan_trainer import GANTrainerOptions
from torch import nn

from espnet_stacodec.gan_codec.distributed import gather_objects
from espnet_stacodec.train.gan_steps import Batch, Streams


class Validation:
    """Runs a model over the batches of this rank.

    Args:
        model: An ESPnet GAN codec model, not wrapped for data parallelism: ranks may have different
            numbers of batches.
        options: ESPnet's, and `num_scored_utts`: how many utterances are kept to be scored.
    """

    def __init__(self, model: nn.Module, options: GANTrainerOptions) -> None:
        self.model = model
        self.options = options
        self.device = "cuda" if options.ngpu > 0 else "cpu"

    def run(self, iterator: Iterable[Batch]) -> tuple[dict[str, float], float, list[Streams]]:
        """Return the figures of all ranks, how many items they are of, and the items to score here.

        The batches of all ranks, one of each rank in turn, are the validation set in its order; the
        items to be scored are its first ones, whatever the number of ranks.
        """
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        kept: list[Streams] = []
        rows: list[int] = []
        count = getattr(self.options, "num_scored_utts", 0)
        for ids, streams in iterator:
            items = keep_items(ids, streams, count - len(kept))
            kept += items
            rows.append(len(items))
            if self.options.no_forward_run:
                continue
            on_device = to_device(streams, self.device)
            turns = (True, False) if self.options.generator_first else (False, True)
            for forward_generator in turns:
                result = self.model(forward_generator=forward_generator, **on_device)
                stats = {k: v for k, v in result["stats"].items() if v is not None}
                # The one time that the host waits for the device in a turn.
                values = torch.stack([value.float().mean() for value in stats.values()]).tolist()
                for name, value in zip(stats, values, strict=True):
                    sums[name][0] += value * len(ids)
                    sums[name][1] += len(ids)
        total: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        gathered = gather_objects((dict(sums), rows))
        for of_rank, _ in gathered.values:
            for name, (value, weight) in of_rank.items():
                total[name][0] += value
                total[name][1] += weight
        # Where an item stands in the validation set: batch of its rank, rank, row.
        places = [
            (batch, rank, row)
            for rank, (_, rows) in enumerate(gathered.values)
            for batch, number in enumerate(rows)
            for row in range(number)
        ]
        chosen = sorted(places)[:count]
        own = [place for place in sorted(places) if place[1] == gathered.own]
        scored = [item for place, item in zip(own, kept, strict=True) if place in chosen]
        figures = {name: value / weight for name, (value, weight) in total.items()}
        return figures, max((weight for _, weight in total.values()), default=0.0), scored


def keep_items(ids: list[str], streams: Streams, count: int) -> list[Streams]:
    """Return the first `count` items of a batch, each alone and without padding."""
    names = [name for name in streams if not name.endswith("_lengths")]
    whole = {name: [streams[name].shape[1]] * len(ids) for name in names}
    lengths = {name: streams.get(f"{name}_lengths", whole[name]) for name in names}
    return [
        {name: streams[name][row : row + 1, : int(lengths[name][row])] for name in names}
        for row in range(min(len(ids), max(count, 0)))
    ]
