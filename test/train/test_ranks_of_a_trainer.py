"""What the trainer's ranks do together: go on from one checkpoint, and score."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from espnet2.train.distributed_utils import DistributedOption
from espnet2.train.gan_trainer import GANTrainer
from training_ranks import run_ranks

from espnet_stacodec.gan_codec.distributed import own_rank
from espnet_stacodec.train import checkpoint_recovery, stacodec_trainer
from espnet_stacodec.train.stacodec_trainer import STACodecTrainer, objective_scores


def save_epoch(folder: Path, epoch: int) -> None:
    torch.save({"reporter": {"epoch": epoch}}, folder / "checkpoint.pth")
    torch.save({}, folder / f"{epoch}epoch.pth")
    (folder / "latest.pth").unlink(missing_ok=True)
    (folder / "latest.pth").symlink_to(f"{epoch}epoch.pth")


def resume_slowly(rank: int, ranks: int, folder: Path) -> None:
    """Save the epoch that ESPnet's trainer would go on from; the first rank takes its time."""
    assert own_rank() == rank
    recover = checkpoint_recovery.recover

    def slow(output_dir: Path) -> None:
        time.sleep(1.5)
        recover(output_dir)

    def run(**kwargs: Any) -> None:
        state = torch.load(folder / "checkpoint.pth", weights_only=True)
        (folder / f"{rank}.txt").write_text(str(state["reporter"]["epoch"]))

    options: Any = SimpleNamespace(resume=True, ema_decay=0.0, output_dir=folder)
    with (
        mock.patch.object(checkpoint_recovery, "recover", slow),
        mock.patch.object(stacodec_trainer, "_checked", lambda options: options),
        mock.patch.object(GANTrainer, "run", run),
    ):
        STACodecTrainer.run(
            trainer_options=options, distributed_option=DistributedOption(dist_rank=rank)
        )


def test_all_ranks_go_on_from_the_checkpoint_that_was_taken_back(tmp_path):
    save_epoch(tmp_path, 3)
    checkpoint_recovery.keep_previous(tmp_path)
    save_epoch(tmp_path, 4)
    checkpoint = tmp_path / "checkpoint.pth"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    run_ranks(resume_slowly, tmp_path)
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)] == ["3", "3"]


def score_rank(rank: int, ranks: int, folder: Path, pairs: list) -> None:
    (folder / f"{ranks}.{rank}.json").write_text(json.dumps(objective_scores(pairs[rank::ranks])))


def test_scores_are_those_of_all_ranks_on_each(toy_utterance, tmp_path):
    """Three utterances, one of them silent: the ranks have different numbers to score."""
    pairs = []
    for index, level in enumerate((0.01, 0.05)):
        audio = toy_utterance(index, 100)[0].astype(np.float32)
        noise = np.random.default_rng(index).normal(0, level, len(audio)).astype(np.float32)
        pairs.append((audio, audio + noise))
    pairs.append((np.zeros(32000, np.float32), np.zeros(32000, np.float32)))
    run_ranks(score_rank, tmp_path, pairs)
    score_rank(0, 1, tmp_path, pairs)
    first, second, alone = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("2.0", "2.1", "1.0")
    )
    assert first == second and set(first) == {"pesq", "stoi"}
    assert first == pytest.approx(alone, rel=1e-12)
    own = objective_scores(pairs[:1])
    assert first["pesq"] != own["pesq"] and first["stoi"] != own["stoi"]
