"""The full-size configurations of the codec: as many steps as the paper's, in one cycle."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import yaml
from espnet2.iterators.chunk_iter_factory import ChunkIterFactory
from espnet2.train.collate_fn import CommonCollateFn

from espnet_stacodec.frames import FrameRule
from espnet_stacodec.iterators.aligned_chunk_iter_factory import AlignedChunkIterFactory
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


CONFIGURATIONS = sorted(
    path for path in CONF.parents[2].glob("*/codec1/conf/train_*.yaml") if not path.is_symlink()
)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda p: f"{p.parents[2].name}-{p.stem}")
def test_every_configuration_has_as_many_steps_on_1_2_4_and_8_ranks(path, tmp_path):
    """Counted in the batches that each rank's iterator gives, on utterances of all lengths."""
    conf = yaml.safe_load(path.read_text())
    chunk = int(conf["chunk_length"])
    # 200 utterances, up to five chunks long; an epoch of as many as the configuration has, if few.
    lengths = {f"utt{i:03}": 320 * (1 + i * chunk // 320 // 40) for i in range(200)}
    number = conf.get("num_iters_per_epoch")
    conf["num_iters_per_epoch"] = None if number is None else min(number, 150)
    (tmp_path / "shape").write_text("".join(f"{utt} {n}\n" for utt, n in lengths.items()))
    data = {"train_shape_file": [str(tmp_path / "shape")], "frame_shift": 320, "fs": 16000}
    defaults = {"accum_grad": 1, "chunk_shift_ratio": 0.5, "steps_per_epoch": None}
    args = argparse.Namespace(**defaults | conf | data)
    steps = batches_per_epoch(args)
    assert steps > 1
    for ranks in (1, 2, 4, 8):
        sizes = []
        for rank in range(ranks):
            own = list(lengths)[rank::ranks]
            chunks = ChunkIterFactory(
                dataset=Silence(lengths),
                batches=[[utt] for utt in own],
                # As ESPnet divides a batch, what is kept to be shuffled, and an epoch's utterances.
                batch_size=args.batch_size // ranks + (rank < args.batch_size % ranks),
                chunk_length=str(chunk),
                chunk_shift_ratio=args.chunk_shift_ratio,
                num_cache_chunks=args.num_cache_chunks // ranks,
                num_samples_per_epoch=number and max(1, args.num_iters_per_epoch // ranks),
                shuffle=True,
                discard_short_samples=False,
                collate_fn=CommonCollateFn(float_pad_value=0.0, int_pad_value=-1),
            )
            factory = AlignedChunkIterFactory(chunks, FrameRule(320, 16000), num_batches=steps)
            sizes.append([len(ids) for ids, _ in factory.build_iter(1)])
        assert {len(of_rank) for of_rank in sizes} == {steps}
        # All but the last ones of a pass over the utterances are whole.
        whole = [sum(of_step) == args.batch_size for of_step in zip(*sizes, strict=True)]
        assert sum(whole) >= steps - 2


class Silence:
    """Utterances without tokens, as ESPnet's datasets give them."""

    def __init__(self, lengths: dict[str, int]) -> None:
        self.lengths = lengths

    def __getitem__(self, utt_id: str) -> tuple[str, dict[str, np.ndarray]]:
        return utt_id, {"audio": np.zeros(self.lengths[utt_id], np.float32)}


def test_what_the_task_knows_is_not_repeated():
    """That a turn trains one of two networks, and how long a learning rate's cycle is."""
    for path in CONFIGURATIONS:
        conf = yaml.safe_load(path.read_text())
        assert "unused_parameters" not in conf
        assert "first_cycle_steps" not in conf.get("scheduler_conf", {})
