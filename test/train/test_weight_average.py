"""The moving average of the weights: worked by hand, and through a training of the toy task."""

from pathlib import Path
from typing import Any

import pytest
import torch

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.train import weight_average


def weight_and_optimizer(kind=torch.optim.SGD) -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
    weight = torch.nn.Parameter(torch.zeros(1))
    return weight, kind([weight], lr=1.0)


def step(weight: torch.nn.Parameter, optimizer: torch.optim.Optimizer, gradient: float) -> None:
    weight.grad = torch.tensor([gradient])
    optimizer.step()
    optimizer.zero_grad()


def test_an_average_worked_by_hand():
    weight, optimizer = weight_and_optimizer()
    weight_average.keep_average(optimizer, 0.75)
    for gradient in (-4.0, -4.0, 2.0):  # the weight is 4, then 8, then 6
        step(weight, optimizer, gradient)
    weight_average.exchange(optimizer)
    assert weight.item() == 0.75 * (0.75 * 4 + 0.25 * 8) + 0.25 * 6
    weight_average.exchange(optimizer)
    assert weight.item() == 6


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_training_itself_is_not_changed(kind):
    (averaged, one), (plain, other) = weight_and_optimizer(kind), weight_and_optimizer(kind)
    weight_average.keep_average(one, 0.9)
    for gradient in (1.0, -3.0, 0.5):
        weight_average.exchange(one)
        weight_average.exchange(one)
        step(averaged, one, gradient)
        step(plain, other, gradient)
    assert torch.equal(averaged, plain)


def test_a_weight_that_is_not_trained_has_no_average():
    weight, optimizer = weight_and_optimizer()
    weight_average.keep_average(optimizer, 0.9)
    optimizer.step()
    weight_average.exchange(optimizer)
    assert weight.item() == 0 and not optimizer.state[weight]


def weights(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def test_the_average_is_validated_saved_and_goes_on_after_a_resume(
    toy_task, sta_experiment, tmp_path
):
    whole = toy_task.train(tmp_path / "whole", ema_decay=0.9)
    saved, plain = weights(whole / "2epoch.pth"), weights(sta_experiment / "2epoch.pth")
    assert saved.keys() == plain.keys()
    differ = {name for name, value in saved.items() if not torch.equal(value, plain[name])}
    # The weights of the generator alone: its codebooks and the discriminator learned the same.
    buffers = ("embed", "embed_sum", "cluster_size", "seen", "updates")
    assert differ and all(name.startswith("codec.generator.") for name in differ)
    assert not [name for name in differ if name.endswith(buffers)]
    reports = [
        weights(folder / "checkpoint.pth")["reporter"]["stats"][2]["valid"]["mel_loss"]
        for folder in (whole, sta_experiment)
    ]
    assert reports[0] != reports[1]

    parts = toy_task.train(tmp_path / "parts", ema_decay=0.9, max_epoch=1)
    toy_task.train(parts, ema_decay=0.9, resume=True)
    resumed = weights(parts / "2epoch.pth")
    assert [name for name in saved if not torch.equal(saved[name], resumed[name])] == []

    # Without it, the training goes on from the weights, not from their average.
    toy_task.train(tmp_path / "off", ema_decay=0.9, max_epoch=1)
    toy_task.train(tmp_path / "off", resume=True)
    off = weights(tmp_path / "off" / "2epoch.pth")
    assert [name for name in plain if not torch.equal(plain[name], off[name])] == []
    state = weights(tmp_path / "off" / "checkpoint.pth")["optimizers"][0]["state"]
    assert all(weight_average.NAME not in entry for entry in state.values())


def test_a_decay_that_keeps_nothing_or_all(toy_task, tmp_path):
    for decay, wrong in ((1.0, "is not in"), (-0.1, "is not in"), (None, "is no number")):
        with pytest.raises(ConfigError, match=f"ema_decay {decay} {wrong}"):
            toy_task.train(tmp_path / "exp", ema_decay=decay)
