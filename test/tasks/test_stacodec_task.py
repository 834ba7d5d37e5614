"""The ESPnet task: trainings of a second on a few utterances, and what stops them."""

import argparse
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from espnet_stacodec.bin import train as command
from espnet_stacodec.errors import ConfigError, DataError, TokenError
from espnet_stacodec.fileio.files import read_scp, write_scp
from espnet_stacodec.semantic.tokenizer_info import TokenizerInfo
from espnet_stacodec.tasks.stacodec import STACodecTask


def weights(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def assert_equal(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.fixture
def other_tokenizer(toy_task, tmp_path) -> Path:
    """The toy's tokens, said to be of another tokenizer with as many tokens."""
    folder = tmp_path / "other"
    shutil.copytree(toy_task.tokenizer, folder)
    (folder / "tokenizer.yaml").write_text("name: other\nnum_clusters: 8\n")
    return folder


def test_statistics_are_collected_for_both_streams(toy_task, tmp_path):
    command.main(toy_task.options(tmp_path / "stats", collect_stats=True))
    found = read_scp(tmp_path / "stats" / "train" / "audio_shape")
    frames = toy_task.FRAMES["train"]
    assert found == {f"train{i}": str(n * 320 - 7) for i, n in enumerate(frames)}
    found = read_scp(tmp_path / "stats" / "valid" / "semantic_shape")
    assert found == {f"valid{i}": str(n) for i, n in enumerate(toy_task.FRAMES["valid"])}
    # Statistics are no experiment: what is decided by the tokenizer is decided in training.
    assert not (tmp_path / "stats" / "semantic").exists()


def test_an_experiment_says_all_that_decoding_needs(toy_task, sta_experiment):
    config = yaml.safe_load((sta_experiment / "config.yaml").read_text())
    fingerprint = TokenizerInfo.read(toy_task.tokenizer).fingerprint
    assert config["codec_conf"]["semantic_fingerprint"] == fingerprint
    assert config["codec_conf"]["generator_params"]["semantic_clusters"] == 8
    assert (config["fs"], config["frame_shift"]) == (16000, 320)
    kept = sta_experiment / "semantic" / "tokenizer.yaml"
    assert kept.read_bytes() == (toy_task.tokenizer / "tokenizer.yaml").read_bytes()


def test_training_uses_every_token_and_both_optimizers(sta_experiment):
    state = weights(sta_experiment / "checkpoint.pth")
    model = state["model"]
    seen = model["codec.generator.quantizer.layers.0.seen"]
    assert seen.tolist() == [True] * 8 + [False] * 8
    # Chunks of 10 frames: 1, 1, 5 to 6, 3 to 4, 4 to 5, 4 to 5 in an epoch, in batches of 4.
    steps = int(model["codec.generator_steps"])
    assert 2 * 5 <= steps <= 2 * 6
    assert [len(s["state"]) > 0 for s in state["optimizers"]] == [True, True]
    assert model["codec.generator.quantizer.updates"] == steps
    assert model["codec.balancer.norm_counts"].min() > 0


def test_scores_and_codebooks_are_reported_each_epoch(sta_experiment):
    reports = weights(sta_experiment / "checkpoint.pth")["reporter"]["stats"]
    for epoch in (1, 2):
        valid = reports[epoch]["valid"]
        assert {"mel_loss", "stoi", "perplexity_1", "usage_3", "adv_loss", "real_loss"} <= set(
            valid
        )
        assert valid["usage_1"] == 1.0 and 1 < valid["perplexity_1"] <= 8
        assert {"codec_commit_loss", "discriminator_loss"} <= set(reports[epoch]["train"])


def test_a_resumed_training_ends_like_an_uninterrupted_one(toy_task, sta_experiment, tmp_path):
    out = toy_task.train(tmp_path / "resumed", max_epoch=1)
    assert_equal(weights(out / "1epoch.pth"), weights(sta_experiment / "1epoch.pth"))
    toy_task.train(out, max_epoch=2, resume=True)
    assert_equal(weights(out / "2epoch.pth"), weights(sta_experiment / "2epoch.pth"))

    # Killed while the checkpoint of epoch 2 was written: epoch 2 is done again.
    whole = (out / "checkpoint.pth").read_bytes()
    (out / "checkpoint.pth").write_bytes(whole[: len(whole) // 2])
    (out / "2epoch.pth").unlink()
    toy_task.train(out, max_epoch=2, resume=True)
    assert_equal(weights(out / "2epoch.pth"), weights(sta_experiment / "2epoch.pth"))


def test_the_adversary_waits_and_starts_in_the_middle_of_an_epoch(toy_task, tmp_path):
    """Five or six steps an epoch: it starts in the second one, after a resume."""
    late = {"codec_conf": {"adversary_start_step": 8}, "optim2_conf": {"lr": 0.01}}
    out = toy_task.train(tmp_path / "late", max_epoch=1, **late)
    first = weights(out / "checkpoint.pth")
    assert first["optimizers"][1]["state"] == {}
    assert first["optimizers"][0]["state"] != {}
    toy_task.train(out, max_epoch=2, resume=True, **late)
    second = weights(out / "checkpoint.pth")
    steps = int(second["model"]["codec.generator_steps"])
    turns = {int(s["step"]) for s in second["optimizers"][1]["state"].values()}
    assert turns == {steps - 8} and steps > 8
    moved = {
        name.split(".")[1]
        for name, value in first["model"].items()
        if not torch.equal(value, second["model"][name])
    }
    assert {"generator", "discriminator", "generator_steps", "balancer"} <= moved


def test_espnets_seed_reaches_the_quantizer(sta_experiment):
    config = yaml.safe_load((sta_experiment / "config.yaml").read_text())
    for seed in (config["seed"], 12):
        model = STACodecTask.build_model(argparse.Namespace(**config | {"seed": seed}))
        assert model.codec.generator.quantizer.seed == seed


def test_plain_quantization_needs_no_tokens(plain_experiment):
    model = weights(plain_experiment / "1epoch.pth")
    assert not any("seen" in name for name in model)
    assert model["codec.generator.quantizer.updates"] > 4
    assert not (plain_experiment / "semantic").exists()


def test_espnets_own_codecs_train_on_the_same_chunks(toy_task, tiny_encodec_conf, tmp_path):
    """So that they can be compared with this one."""
    out = tmp_path / "encodec"
    options = toy_task.options(out, semantic=False, codec="encodec", max_epoch=1)
    config = yaml.safe_load(Path(options[1]).read_text()) | {"codec_conf": tiny_encodec_conf}
    Path(options[1]).write_text(yaml.safe_dump(config))
    command.main(options)
    reports = weights(out / "checkpoint.pth")["reporter"]["stats"]
    assert "stoi" in reports[1]["valid"]


def test_tokens_of_another_tokenizer(toy_task, other_tokenizer, tmp_path):
    """Beside the tokens lies another tokenizer.yaml than the one that is given."""
    tokens = [[str(other_tokenizer / "train" / "semantic.scp"), "semantic", "kaldi_ark"]]
    audio = [[str(toy_task.folder / "dump/raw/train/wav.scp"), "audio", "sound"]]
    with pytest.raises(TokenError, match=r"train/semantic\.scp: semantic tokenizer \w+ instead of"):
        toy_task.train(tmp_path / "exp", train_data_path_and_name_and_type=audio + tokens)


def test_a_resume_with_another_tokenizer(toy_task, sta_experiment, other_tokenizer, tmp_path):
    out = tmp_path / "exp"
    shutil.copytree(sta_experiment, out, symlinks=True)
    before = (out / "config.yaml").read_bytes()
    with pytest.raises(
        ConfigError,
        match=r"exp: this experiment was started with another codec_conf.semantic_fingerprint",
    ):
        toy_task.train(out, semantic_tokenizer=str(other_tokenizer), resume=True)
    assert (out / "config.yaml").read_bytes() == before


def test_a_saved_configuration_with_another_tokenizer(
    toy_task, sta_experiment, other_tokenizer, tmp_path
):
    config = yaml.safe_load((sta_experiment / "config.yaml").read_text())
    with pytest.raises(
        TokenError, match=r"semantic_fingerprint: .* semantic tokenizer \w+ instead"
    ):
        toy_task.train(
            tmp_path / "exp",
            codec_conf=config["codec_conf"],
            semantic_tokenizer=str(other_tokenizer),
        )


def test_a_saved_configuration_builds_the_model_where_there_is_no_tokenizer(
    sta_experiment, tmp_path
):
    config = yaml.safe_load((sta_experiment / "config.yaml").read_text())
    config["semantic_tokenizer"] = str(tmp_path / "gone")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    model, _ = STACodecTask.build_model_from_file(
        tmp_path / "config.yaml", sta_experiment / "2epoch.pth"
    )
    assert model.codec.generator.quantizer.layers[0].num_tokens == 8
    assert_equal(model.state_dict(), weights(sta_experiment / "2epoch.pth"))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"semantic_tokenizer": None}, ConfigError, r"--semantic_tokenizer DIR"),
        (
            {"codec_conf": {"generatr_params": {}}},
            ConfigError,
            "unknown key generatr_params; known",
        ),
        ({"chunk_length": "3201"}, ConfigError, "chunk_length 3201 .* nearest one is 3200"),
        ({"semantic": False}, ConfigError, r"--semantic_tokenizer DIR"),
        ({"optim_conf": {"lr": -1.0}}, ConfigError, "optim 'adam' cannot be .*Invalid learning"),
        ({"optim2_conf": {"lrr": 1.0}}, ConfigError, "built with optim2_conf {'lrr': 1.0}"),
        ({"optim": "adamm"}, ConfigError, "optim 'adamm' is unknown; known are adam, "),
        ({"scheduler2": "steps"}, ConfigError, "scheduler2 'steps' is unknown; known are"),
        (
            {"scheduler": "steplr", "scheduler_conf": {"gamma": 0.5}},
            ConfigError,
            "scheduler 'steplr' cannot be built with scheduler_conf {'gamma': 0.5} .*step_size",
        ),
        ({"batch_size": 0}, ConfigError, "batch_size 0 is below 1"),
        ({"codec_conf": {"generator_params": "a"}}, ConfigError, "'a' is no mapping"),
    ],
)
def test_configurations_that_cannot_be_trained(toy_task, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        toy_task.train(tmp_path / "exp", **changes)


def test_the_command_names_what_is_missing(toy_task, tmp_path):
    lines = (toy_task.tokenizer / "train" / "semantic.scp").read_text().splitlines()
    scp = tmp_path / "semantic.scp"
    scp.write_text("\n".join(lines[:3] + lines[4:]) + "\n")
    audio = [str(toy_task.folder / "dump/raw/train/wav.scp"), "audio", "sound"]
    for path, message in (
        (scp, "1 utterances of .* are missing .first: train3."),
        (tmp_path / "no.scp", r"no\.scp"),
    ):
        data = [audio, [str(path), "semantic", "kaldi_ark"]]
        with pytest.raises(SystemExit) as end:
            command.main(toy_task.options(tmp_path / "e", train_data_path_and_name_and_type=data))
        assert re.search(f"train: error: .*{message}", str(end.value.code))
        assert "\n" not in str(end.value.code)


def test_statistics_need_not_be_sorted(toy_task, tmp_path):
    shapes = (toy_task.folder / "stats" / "train" / "audio_shape").read_text().splitlines()
    (tmp_path / "audio_shape").write_text("\n".join(shapes[::-1]) + "\n")
    toy_task.train(tmp_path / "exp", train_shape_file=[str(tmp_path / "audio_shape")], max_epoch=1)


@pytest.mark.parametrize("change", [{"train9": "800"}, {"train3": None}])
def test_statistics_of_other_utterances_are_refused(toy_task, tmp_path, change):
    """As where a data set was prepared again, or another one is trained on."""
    shapes = read_scp(toy_task.folder / "stats" / "train" / "audio_shape") | change
    path = tmp_path / "audio_shape"
    write_scp(path, {utt_id: shape for utt_id, shape in shapes.items() if shape})
    with pytest.raises(DataError, match=r"audio_shape: these are statistics of other utterances"):
        toy_task.train(tmp_path / "exp", train_shape_file=[str(path)])


@pytest.mark.parametrize("workers", [0, 1])
def test_the_command_says_bad_tokens_in_one_sentence(toy_task, tmp_path, workers):
    """Also where a loader's process met them."""
    scp = tmp_path / "semantic.scp"
    lines = (toy_task.tokenizer / "train" / "semantic.scp").read_text().splitlines()
    rows = dict(line.split(" ", 1) for line in lines)
    rows["train0"] = rows["train2"]  # 43 tokens for 10 frames
    scp.write_text("".join(f"{utt} {place}\n" for utt, place in rows.items()))
    audio = [str(toy_task.folder / "dump/raw/train/wav.scp"), "audio", "sound"]
    data = [audio, [str(scp), "semantic", "kaldi_ark"]]
    options = toy_task.options(
        tmp_path / "exp", train_data_path_and_name_and_type=data, num_workers=workers
    )
    with pytest.raises(SystemExit) as end:
        command.main(options)
    assert str(end.value.code) == (
        "espnet_stacodec.bin.train: error: train0: 43 semantic tokens for 10 codec frames"
        " (at most 1 may differ); extract its tokens again (stage 3)."
    )


def test_espnets_own_task_stops_instead_of_training_without_tokens(
    toy_task, sta_experiment, tmp_path
):
    from espnet2.tasks.gan_codec import GANCodecTask

    def train(conf: dict) -> None:
        options = toy_task.options(
            tmp_path / "exp", semantic=False, codec_conf=conf, iterator_type="chunk"
        )
        config = yaml.safe_load(Path(options[1]).read_text())
        for name in ("semantic_tokenizer", "num_scored_utts"):
            del config[name]
        Path(options[1]).write_text(yaml.safe_dump(config))
        GANCodecTask.main(cmd=options)

    advice = r"python -m espnet_stacodec\.bin\.train"
    with pytest.raises(ConfigError, match=advice):
        train({})
    # A configuration that one of our trainings has completed gets as far as the first batch.
    saved = yaml.safe_load((sta_experiment / "config.yaml").read_text())["codec_conf"]
    with pytest.raises(TokenError, match=advice):
        train(saved)
    assert not list((tmp_path / "exp").glob("*.pth"))


def test_frames_that_are_not_as_long_as_the_tokens(toy_task, tmp_path):
    """A codec of 24 kHz with hops for 16 kHz has 75 frames a second, its tokens 50."""
    with pytest.raises(ConfigError, match=r"75 a second, the tokens of .* 50; .* product is 480"):
        toy_task.train(tmp_path / "exp", codec_conf={"sampling_rate": 24000})
    assert not (tmp_path / "exp" / "config.yaml").exists()


@pytest.mark.parametrize(
    ("processes", "changes", "message"),
    [
        (3, {"batch_size": 2}, "the batch_size 2 is less than the 3 processes"),
        (99, {"batch_size": 100}, "the number of utterances [0-9]+ is less than the 99 processes"),
    ],
)
def test_every_process_has_something_to_train_on(
    toy_task, tmp_path, monkeypatch, processes, changes, message
):
    monkeypatch.setattr("espnet_stacodec.tasks.stacodec.world_size", lambda: processes)
    with pytest.raises(ConfigError, match=message):
        toy_task.train(tmp_path / "exp", **changes)
