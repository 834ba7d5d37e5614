"""Trainings of given minutes or steps."""

import math

import pytest
import torch
import yaml

from espnet_stacodec.bin import plan_training as command
from espnet_stacodec.errors import ConfigError, StageError
from espnet_stacodec.fileio.temporaries import exclusive
from espnet_stacodec.tasks import training_length
from espnet_stacodec.tasks.training_length import Length, Speed, fit, plan

# Without an adversary; with one from step 400 on, which makes a step three times as slow.
ALONE = Speed(0.1, 0.1, 0, 2.0, {})
LATE = Speed(0.1, 0.3, 400, 2.0, {})


@pytest.mark.parametrize("speed", [ALONE, LATE, Speed(2.0, 5.0, 100, 20.0, {})])
@pytest.mark.parametrize("minutes", [5, 30, 240])
def test_minutes_are_filled_and_not_exceeded(speed, minutes):
    length = fit(speed, minutes=minutes)
    seconds = speed.seconds(length.steps, length.epochs)
    assert 0.9 * minutes * 60 <= seconds <= minutes * 60
    # A killed training loses ten minutes and a validation at most; little time goes to validations.
    assert seconds / length.epochs <= 700
    assert length.epochs * speed.pause_seconds <= 0.1 * minutes * 60


def test_minutes_by_hand():
    # Ten epochs of a minute each, of which 2 s validate: 5800 steps.
    assert fit(ALONE, minutes=10) == Length(580, 10)
    # 400 steps of 0.1 s, then steps of 0.3 s.
    assert LATE.seconds(500, 2) == pytest.approx(40 + 30 + 4)
    assert LATE.steps(70) == 500 and LATE.steps(30) == 300


def test_a_training_shorter_than_an_epoch_is_one_short_epoch():
    assert fit(ALONE, minutes=0.2) == Length(100, 1)  # 12 s, 2 s of which validate
    assert fit(ALONE, minutes=0.01).steps == 1


@pytest.mark.parametrize("steps", [1, 7, 100, 1999, 100_000])
@pytest.mark.parametrize("speed", [ALONE, LATE])
def test_steps_are_reached_and_hardly_exceeded(speed, steps):
    length = fit(speed, steps=steps)
    assert steps <= length.steps < steps + length.epochs


def test_a_longer_training_goes_on_with_epochs_of_the_same_length():
    first = fit(ALONE, minutes=10)
    longer = fit(ALONE, minutes=60, steps_per_epoch=first.steps_per_epoch)
    assert longer.steps_per_epoch == first.steps_per_epoch and longer.epochs > 5 * first.epochs
    assert fit(ALONE, steps=6001, steps_per_epoch=600) == Length(600, 11)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "Give --train_minutes or --train_steps, not both"),
        ({"minutes": 1.0, "steps": 1}, "Give --train_minutes or --train_steps, not both"),
        ({"minutes": 0.0}, "A training of 0 minutes or steps is none"),
        ({"minutes": math.nan}, "is none"),
        ({"steps": -1}, "A training of -1 minutes or steps is none"),
    ],
)
def test_lengths_that_are_none(asked, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        plan(tmp_path, ["--config", "x"], **asked)
    assert not list(tmp_path.iterdir())


def test_warm_ups_are_a_tenth_of_a_short_training_at_most():
    warmups = {"scheduler_conf": 200, "scheduler2_conf": 20}
    options = ["--steps_per_epoch", "100", "--max_epoch", "5"]
    assert Length(100, 5).options(warmups) == [*options, "--scheduler_conf", "warmup_steps=50"]
    assert Length(100, 20).options(warmups)[4:] == []


def test_what_was_measured_is_kept(tmp_path, monkeypatch):
    calls = []

    def measure(experiment, options):
        calls.append(options)
        return Speed(0.1, 0.1, 0, 2.0, {"scheduler_conf": 10_000})

    monkeypatch.setattr(training_length, "measure", measure)
    options = plan(tmp_path, ["--x"], minutes=10.0)
    assert options == [
        "--steps_per_epoch", "580", "--max_epoch", "10", "--scheduler_conf", "warmup_steps=580"
    ]  # fmt: skip
    assert plan(tmp_path, ["--x"], minutes=10.0) == options
    assert plan(tmp_path, ["--x"], steps=6000)[1:4] == ["580", "--max_epoch", "11"]
    assert calls == [["--x"]]
    kept = yaml.safe_load((tmp_path / training_length.NAME).read_text())
    assert kept["asked"] == {"steps": 6000} and kept["length"]["epochs"] == 11


def test_what_is_timed_or_trained_by_another_command_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(training_length, "measure", lambda *_: ALONE)
    plan(tmp_path, [], minutes=10.0)
    before = (tmp_path / training_length.NAME).read_bytes()
    with (
        exclusive(tmp_path),
        pytest.raises(StageError, match=r"process .* is writing here"),
    ):
        plan(tmp_path, [], minutes=20.0)
    assert (tmp_path / training_length.NAME).read_bytes() == before


def options_of(toy_task, out_dir, **changes) -> list[str]:
    """Return the options of a training but for its folder."""
    return toy_task.options(out_dir, **changes)[:2]


def test_the_adversary_is_timed_where_a_training_reaches_it(tmp_path, monkeypatch):
    speed, late = Speed(0.1, None, 1000, 1.0, {}), []
    monkeypatch.setattr(training_length, "measure", lambda *_: speed)

    def with_adversary(known, *_):
        late.append(known)
        return Speed(0.1, 0.3, 1000, 1.0, {})

    monkeypatch.setattr(training_length, "with_adversary", with_adversary)
    plan(tmp_path, [], steps=1000)
    assert not late
    plan(tmp_path, [], steps=2000)
    assert late == [speed]
    plan(tmp_path, [], steps=3000)
    kept = yaml.safe_load((tmp_path / training_length.NAME).read_text())
    assert len(late) == 1 and kept["speed"]["late_step_seconds"] == 0.3


def test_the_steps_of_a_training_are_timed(toy_task, tmp_path, capsys):
    conf = {"adversary_start_step": 25}
    options = options_of(toy_task, tmp_path / "timed", codec_conf=conf)
    command.main(["--train_steps", "30", "--experiment", str(tmp_path / "exp"), "--", *options])
    words = capsys.readouterr().out.split()
    assert words[0] == "--steps_per_epoch" and words[2] == "--max_epoch"
    assert int(words[1]) * int(words[3]) >= 30
    assert [path.name for path in (tmp_path / "exp").iterdir()] == [training_length.NAME]
    speed = yaml.safe_load((tmp_path / "exp" / training_length.NAME).read_text())["speed"]
    assert 0 < speed["step_seconds"] < 60 and speed["pause_seconds"] > 0
    assert speed["adversary_start"] == 25
    assert speed["late_step_seconds"] not in (None, speed["step_seconds"])


def test_a_planned_training_has_its_steps(toy_task, tmp_path):
    experiment = toy_task.train(tmp_path / "exp", steps_per_epoch=3, max_epoch=2)
    state = torch.load(experiment / "checkpoint.pth", weights_only=True)
    assert state["optimizers"][0]["state"][0]["step"] == 6


def test_steps_that_fail_are_said_in_one_sentence(toy_task, tmp_path):
    options = options_of(toy_task, tmp_path / "broken", chunk_length="3201")
    with pytest.raises(
        StageError, match=r"exp: the first steps, to be timed, failed: .*chunk_length"
    ):
        plan(tmp_path / "exp", options, minutes=1.0)
    assert not list((tmp_path / "exp").glob("*"))
