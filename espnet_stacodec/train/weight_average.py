"""A moving average of the generator's weights, which is validated and saved in their place.

The codecs that STACodec comes from publish such an average (decay 0.99 per step). Codebooks are
moving averages already and are left alone. The average lies in the state of the optimizer, which
goes into ESPnet's checkpoint: a resumed training goes on as if it had not been interrupted.
"""

import functools

import torch
from torch.optim import Optimizer

NAME = "average"


def keep_average(optimizer: Optimizer, decay: float) -> None:
    """Let an average follow the weights from the optimizer's first step on.

    Args:
        optimizer: Of the weights to be averaged.
        decay: Share of the average that a step leaves, in [0, 1).
    """
    optimizer.register_step_post_hook(functools.partial(_follow, decay))


@torch.no_grad()
def _follow(decay: float, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
    averages, weights = [], []
    for weight in _weights(optimizer):
        if weight.grad is None:
            continue
        state = optimizer.state[weight]
        if NAME in state:
            averages.append(state[NAME])
            weights.append(weight)
        else:  # after the step, as optimizers fill their state where it is empty
            state[NAME] = weight.detach().clone()
    if averages:
        torch._foreach_lerp_(averages, weights, 1 - decay)


@torch.no_grad()
def exchange(optimizer: Optimizer) -> None:
    """Let weights and their average change places, where there is one.

    The average is in the model whenever no epoch is being trained: while it is validated, in
    checkpoints, and after loading one.
    """
    for weight in _weights(optimizer):
        average = optimizer.state.get(weight, {}).get(NAME)
        if average is not None:
            # In place: recurrent layers keep their weights in one piece of memory.
            trained = weight.detach().clone()
            weight.copy_(average)
            average.copy_(trained)


def forget_average(optimizer: Optimizer) -> None:
    """Drop the average, in a training that goes on without one."""
    for weight in _weights(optimizer):
        optimizer.state.get(weight, {}).pop(NAME, None)


def _weights(optimizer: Optimizer) -> list[torch.Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]
