"""Checkpoints that a kill cuts off."""

import logging
from pathlib import Path

import pytest
import torch

from espnet_stacodec.errors import TrainingError
from espnet_stacodec.train import checkpoint_recovery


def save_epoch(folder: Path, epoch: int) -> None:
    """Write what ESPnet writes after an epoch, in its order."""
    torch.save({"reporter": {"epoch": epoch}, "model": {}}, folder / "checkpoint.pth")
    torch.save({}, folder / f"{epoch}epoch.pth")
    link = folder / "latest.pth"
    link.unlink(missing_ok=True)
    link.symlink_to(f"{epoch}epoch.pth")


def epoch_of(folder: Path) -> int:
    return torch.load(folder / "checkpoint.pth", weights_only=True)["reporter"]["epoch"]


@pytest.fixture
def two_epochs(tmp_path: Path) -> Path:
    for epoch in (1, 2):
        checkpoint_recovery.keep_previous(tmp_path)
        save_epoch(tmp_path, epoch)
    return tmp_path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def test_a_complete_epoch_is_gone_on_from(two_epochs):
    checkpoint_recovery.recover(two_epochs)
    assert epoch_of(two_epochs) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: cut(folder / "checkpoint.pth"),
        lambda folder: (folder / "checkpoint.pth").write_bytes(b""),
        lambda folder: (folder / "checkpoint.pth").unlink(),
        lambda folder: (folder / "2epoch.pth").unlink(),
        lambda folder: cut(folder / "2epoch.pth"),
    ],
)
def test_an_incomplete_one_is_not(two_epochs, damage, caplog):
    damage(two_epochs)
    with caplog.at_level(logging.WARNING):
        checkpoint_recovery.recover(two_epochs)
    assert epoch_of(two_epochs) == 1
    assert "going on from" in caplog.text
    # Once more: what was taken back is as good as any.
    checkpoint_recovery.recover(two_epochs)
    assert epoch_of(two_epochs) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: cut(folder / "checkpoint.pth"),
        lambda folder: (folder / "1epoch.pth").unlink(),
        lambda folder: cut(folder / "1epoch.pth"),
        lambda folder: (folder / "latest.pth").unlink(),
    ],
)
def test_a_kill_while_the_first_epoch_is_saved_starts_anew(tmp_path, damage, caplog):
    save_epoch(tmp_path, 1)
    damage(tmp_path)
    checkpoint_recovery.recover(tmp_path)
    assert not (tmp_path / "checkpoint.pth").exists()
    assert "starting anew" in caplog.text


def test_a_first_checkpoint_that_is_whole_is_kept(tmp_path):
    save_epoch(tmp_path, 1)
    checkpoint_recovery.recover(tmp_path)
    assert epoch_of(tmp_path) == 1


def test_a_later_checkpoint_without_the_one_before_is_never_removed(two_epochs):
    """As in an experiment that was copied without it."""
    (two_epochs / "checkpoint.previous.pth").unlink()
    (two_epochs / "latest.pth").unlink()
    checkpoint_recovery.recover(two_epochs)
    assert epoch_of(two_epochs) == 2


def test_starting_anew_is_refused_where_later_epochs_would_be_lost(two_epochs):
    """As in a training that was begun with another program, which keeps no checkpoint before."""
    (two_epochs / "checkpoint.previous.pth").unlink()
    cut(two_epochs / "checkpoint.pth")
    before = {path.name: path.read_bytes() for path in two_epochs.iterdir()}
    with pytest.raises(TrainingError, match=r"none of an epoch before; .* --init_param .*/2epoch"):
        checkpoint_recovery.recover(two_epochs)
    assert {path.name: path.read_bytes() for path in two_epochs.iterdir()} == before


def test_a_kill_after_the_previous_checkpoint_was_kept(two_epochs):
    """Before ESPnet has written the next one."""
    checkpoint_recovery.keep_previous(two_epochs)
    checkpoint_recovery.recover(two_epochs)
    assert epoch_of(two_epochs) == 2


def test_nothing_to_recover(tmp_path):
    checkpoint_recovery.recover(tmp_path)
    checkpoint_recovery.keep_previous(tmp_path)
    assert not list(tmp_path.iterdir())
