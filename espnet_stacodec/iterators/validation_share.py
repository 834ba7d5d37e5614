"""Which validation batches a rank runs."""

import torch
from espnet2.iterators.sequence_iter_factory import SequenceIterFactory


def own_share(factory: SequenceIterFactory) -> SequenceIterFactory:
    """Return an iterator over this rank's batches: every W-th of the W ranks, from its own on.

    ESPnet divides each batch among the ranks, and refuses a batch that has fewer items than there
    are ranks. Here a batch stays whole, as in one process; a rank may have one less than another.
    """
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    return SequenceIterFactory(
        dataset=factory.dataset,
        batches=list(factory.sampler)[rank::ranks],
        seed=factory.seed,
        num_iters_per_epoch=factory.num_iters_per_epoch,
        shuffle=factory.shuffle,
        shuffle_within_batch=factory.shuffle_within_batch,
        num_workers=factory.num_workers,
        collate_fn=factory.collate_fn,
        pin_memory=factory.pin_memory,
    )
