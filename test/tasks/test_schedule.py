"""How many steps a training has, and learning rates that end with it."""

import argparse
import logging
from typing import Any

import pytest
import torch
import yaml

from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.tasks.schedule import batches_per_epoch, check_numbers, fit_schedules
from espnet_stacodec.tasks.stacodec import STACodecTask

COSINE: dict[str, Any] = {
    "scheduler": "cosineannealingwarmuprestarts",
    "scheduler_conf": {"warmup_steps": 2, "max_lr": 1e-2, "min_lr": 0.0},
}


@pytest.fixture
def options(tmp_path):
    """Return a function that gives ESPnet's arguments for utterances of these lengths."""

    def build(lengths: list[int], **changes: Any) -> argparse.Namespace:
        shapes = tmp_path / "audio_shape"
        shapes.write_text("".join(f"utt{i:03}  {n}\n" for i, n in enumerate(lengths)))
        args = {
            "train_shape_file": [str(shapes)],
            "frame_shift": 4,
            "fs": 16000,
            "chunk_length": "16",
            "chunk_shift_ratio": 1.0,
            "batch_size": 2,
            "accum_grad": 1,
            "num_iters_per_epoch": None,
            "steps_per_epoch": None,
            "max_epoch": 3,
            "scheduler": None,
            "scheduler2": None,
            "scheduler_conf": {},
            "scheduler2_conf": {},
        }
        return argparse.Namespace(**args | changes)

    return build


def test_batches_worked_by_hand(options):
    # 10 frames in chunks of 4: 3.25 on average; 4 and 2 frames: one each.
    lengths = [40, 16, 8]
    assert batches_per_epoch(options(lengths * 8)) == 21  # 8 * 5.25 / 2
    assert batches_per_epoch(options(lengths * 8, num_iters_per_epoch=48)) == 42
    assert batches_per_epoch(options(lengths, batch_size=100)) == 1
    # Whole steps of two batches: 21 / 2 are 10.5, rounded to even.
    assert batches_per_epoch(options(lengths * 8, accum_grad=2)) == 20


def test_steps_that_are_given_are_those_of_an_epoch_and_of_the_schedule(options):
    args = options([40], steps_per_epoch=7, accum_grad=2, **COSINE)
    assert batches_per_epoch(args) == 14
    fit_schedules(args)
    assert args.scheduler_conf["first_cycle_steps"] == 3 * 7
    with pytest.raises(ConfigError, match="--steps_per_epoch 0 is less than one step"):
        batches_per_epoch(options([40], steps_per_epoch=0))


def test_lengths_that_are_missing_or_no_numbers(options, tmp_path):
    with pytest.raises(ConfigError, match="--train_shape_file is not given"):
        batches_per_epoch(options([16], train_shape_file=[]))
    args = options([16])
    (tmp_path / "audio_shape").write_text("utt0 many\n")
    with pytest.raises(DataError, match=r"audio_shape: a shape is no number .*'many'"):
        batches_per_epoch(args)


def test_a_cycle_that_is_not_given_is_the_training(options):
    args = options([40, 16, 8] * 8, **COSINE, scheduler2="CosineAnnealingLR")
    fit_schedules(args)
    assert args.scheduler_conf["first_cycle_steps"] == 3 * 21
    assert args.scheduler2_conf == {"T_max": 3}
    assert "first_cycle_steps" not in COSINE["scheduler_conf"]  # what was given is left as it is


def test_a_cycle_that_is_too_short_is_refused_with_both_numbers(options):
    def conf(**changes: float) -> dict:
        return COSINE | {"scheduler_conf": {"warmup_steps": 2, **changes}}

    for first in (63, 1000):
        args = options([40, 16, 8] * 8, **conf(first_cycle_steps=first))
        fit_schedules(args)
        assert args.scheduler_conf["first_cycle_steps"] == first
    message = r"scheduler_conf: first_cycle_steps 62 is less than the 63 steps of this training"
    with pytest.raises(ConfigError, match=message):
        fit_schedules(options([40, 16, 8] * 8, **conf(first_cycle_steps=62)))
    with pytest.raises(ConfigError, match="T_max 2 is less than the 3 epochs"):
        fit_schedules(options([16], scheduler2="cosineannealinglr", scheduler2_conf={"T_max": 2}))
    # Restarts that are asked for.
    fit_schedules(options([40, 16, 8] * 8, **conf(first_cycle_steps=20, gamma=0.5)))


def test_a_training_shorter_than_its_warm_up(options):
    with pytest.raises(ConfigError, match="warmup_steps 2 is not below the 1 steps"):
        fit_schedules(options([16], max_epoch=1, **COSINE))


@pytest.mark.parametrize("text", ["1e-3", "2E-4", " 3 "])
def test_numbers_that_yaml_reads_as_text(text, options):
    args = options([16])
    check_numbers(argparse.Namespace(**vars(args) | {"optim_conf": {}, "optim2_conf": {}}))
    conf = yaml.safe_load(f"{{max_lr: '{text}', mode: min}}")
    wrong = vars(args) | {"optim_conf": {}, "optim2_conf": {}, "scheduler_conf": conf}
    with pytest.raises(ConfigError, match=f"scheduler_conf: max_lr {text} is text in YAML"):
        check_numbers(argparse.Namespace(**wrong))


@pytest.mark.parametrize(
    "text", ["lambda_commit: 1e1", "loss_weights: {mel_loss: 1e1}", "a: {b: {betas: [0.9, 1e1]}}"]
)
def test_numbers_of_the_codec_that_yaml_reads_as_text(text):
    args = argparse.Namespace(codec_conf=yaml.safe_load(text))
    with pytest.raises(ConfigError, match=r"codec_conf: \w+ 1e1 is text in YAML"):
        check_numbers(args, ["codec_conf"])
    with pytest.raises(ConfigError, match=r"codec_conf: \w+ 1e1 is text in YAML"):
        STACodecTask.build_model(argparse.Namespace(codec="stacodec", codec_conf=args.codec_conf))


def test_a_fingerprint_is_no_number():
    conf = {"semantic_fingerprint": "12345678901234e5", "generator_params": None}
    check_numbers(argparse.Namespace(codec_conf=conf), ["codec_conf"])


def test_schedules_without_a_length_are_left_alone(options):
    args = options([16], scheduler="warmuplr", scheduler_conf={"warmup_steps": 25000})
    fit_schedules(args)
    assert args.scheduler_conf == {"warmup_steps": 25000}


def rate_and_steps(out) -> tuple[float, int]:
    checkpoint = torch.load(out / "checkpoint.pth", weights_only=True)
    (rate,) = {group["lr"] for group in checkpoint["optimizers"][0]["param_groups"]}
    return rate, int(checkpoint["model"]["codec.generator_steps"])


def test_a_training_ends_at_the_lowest_rate_and_a_longer_one_goes_on(toy_task, tmp_path, caplog):
    """Its second half has the rates of a training that was longer from the start."""
    out = toy_task.train(tmp_path / "exp", max_epoch=2, **COSINE)
    rate, steps = rate_and_steps(out)
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["scheduler_conf"]["first_cycle_steps"] == steps
    assert rate == pytest.approx(0.0, abs=1e-3)  # the last step's is one before the end
    with caplog.at_level(logging.WARNING):
        toy_task.train(out, max_epoch=4, resume=True, **COSINE)
    assert f"ends after {2 * steps} steps, not after {steps} as when" in caplog.text
    straight = toy_task.train(tmp_path / "straight", max_epoch=4, **COSINE)
    assert rate_and_steps(out) == pytest.approx(rate_and_steps(straight))
    # As it was said with a number, a longer training is refused before anything is written.
    explicit = {**COSINE["scheduler_conf"], "first_cycle_steps": 2 * steps}
    before = (out / "config.yaml").read_bytes()
    with pytest.raises(ConfigError, match=f"{2 * steps} is less than the {3 * steps} steps"):
        toy_task.train(out, max_epoch=6, resume=True, **COSINE | {"scheduler_conf": explicit})
    assert (out / "config.yaml").read_bytes() == before


def test_statistics_are_collected_without_a_schedule(toy_task, tmp_path):
    from espnet_stacodec.bin import train

    options = toy_task.options(
        tmp_path / "stats", collect_stats=True, train_shape_file=[], valid_shape_file=[], **COSINE
    )
    train.main(options)
    assert (tmp_path / "stats" / "train" / "audio_shape").exists()
