"""The full-size configurations of the codec: as many steps as the paper's, in one cycle."""

import argparse
from pathlib import Path

import pytest
import yaml

from espnet_stacodec.tasks.schedule import batches_per_epoch, fit_schedules

CONF = Path(__file__).parents[2] / "egs2" / "TEMPLATE" / "codec1" / "conf"
# LibriSpeech's three training parts (openslr.org/12).
UTTERANCES, HOURS = 28539 + 104014 + 148688, 960.9


def training(name: str, tmp_path: Path) -> argparse.Namespace:
    """Return ESPnet's arguments of a training on utterances of LibriSpeech's mean length."""
    conf = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    shapes = tmp_path / "audio_shape"
    samples = round(HOURS * 3600 * 16000 / UTTERANCES)
    shapes.write_text("".join(f"utt{i:04} {samples}\n" for i in range(1000)))
    data = {"train_shape_file": [str(shapes)], "frame_shift": 320, "fs": 16000, "accum_grad": 1}
    data["steps_per_epoch"] = None
    return argparse.Namespace(**conf | data)


@pytest.mark.parametrize(("name", "steps"), [("train_sta", 280_000), ("train_spd", 160_000)])
def test_steps_of_the_paper_in_one_cycle_of_the_learning_rate(name, steps, tmp_path):
    args = training(name, tmp_path)
    total = args.max_epoch * batches_per_epoch(args)
    assert total == pytest.approx(steps, rel=0.01)
    fit_schedules(args)
    assert args.scheduler_conf["first_cycle_steps"] == total
    assert args.scheduler2_conf["first_cycle_steps"] == total


def test_the_first_phase_of_predistillation_is_said_as_it_is():
    """90k steps, by the same count."""
    conf = yaml.safe_load((CONF / "train_sta.yaml").read_text())
    steps_per_epoch = 280_000 / conf["max_epoch"]
    head = (CONF / "train_spd.yaml").read_text()
    assert f'--max_epoch {90_000 / steps_per_epoch:.0f}"' in head
