"""The full-size configurations of the codec: as many steps as the paper's, in one cycle."""

from pathlib import Path

import pytest
import yaml

CONF = Path(__file__).parents[2] / "egs2" / "librispeech" / "codec1" / "conf"
# LibriSpeech's three training parts (openslr.org/12).
UTTERANCES, HOURS = 28539 + 104014 + 148688, 960.9
FRAME_RATE_HZ = 50


@pytest.mark.parametrize(("name", "steps"), [("train_sta", 280_000), ("train_spd", 160_000)])
def test_steps_of_the_paper_in_one_cycle_of_the_learning_rate(name, steps):
    """An utterance of n frames gives about n / 150 + 1 chunks: see `chunk_starts`."""
    conf = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    chunk_frames = int(conf["chunk_length"]) / 16000 * FRAME_RATE_HZ
    frames = HOURS * 3600 * FRAME_RATE_HZ / UTTERANCES
    chunks = conf["num_iters_per_epoch"] * (frames / chunk_frames + 1)
    total = conf["max_epoch"] * chunks / conf["batch_size"]
    assert 0.98 * steps < total < steps
    for scheduler in ("scheduler_conf", "scheduler2_conf"):
        # Past its end ESPnet's scheduler would begin again with a warm-up.
        assert conf[scheduler]["first_cycle_steps"] == steps


def test_the_first_phase_of_predistillation_is_said_as_it_is():
    """90k steps, by the same count."""
    conf = yaml.safe_load((CONF / "train_sta.yaml").read_text())
    steps_per_epoch = 280_000 / conf["max_epoch"]
    head = (CONF / "train_spd.yaml").read_text()
    assert f'--max_epoch {90_000 / steps_per_epoch:.0f}"' in head
