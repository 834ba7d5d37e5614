"""The stage script of codecs, with commands that only note how they were called."""

import subprocess
import sys
from pathlib import Path

import pytest
from recipe_copies import HOSTILE, SETS, copy_recipe, errors, make_all

from espnet_stacodec.bin.decode import get_parser
from espnet_stacodec.data_prep.audio_rules import FASTEST, SLOWEST
from espnet_stacodec.inference.computing import PRECISIONS


def test_blanks_and_quotes_come_through_every_stage(codec):
    exp = make_all(codec, HOSTILE, f"exp {HOSTILE}", HOSTILE)
    done = codec.run(
        "--stage", "02", "--stop-stage", "09", "--nj", "08", "--hub_repo", "a/b",
        "--dumpdir", HOSTILE, "--expdir", f"exp {HOSTILE}", "--tag", HOSTILE,
        "--train_args", "--init_param 'my exp/a.pth'", "--semantic_tokens", HOSTILE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    calls = codec.called()
    report = calls.pop(8)  # of stage 6, by the command that users have
    assert report[""] == ["stacodec", "report", exp]
    assert [call[""] for call in calls] == [
        *[["format_audio"]] * 4, ["extract_semantic"], ["train"], ["train"],
        ["decode"], ["dump_codes"], ["pack"], ["upload"],
    ]  # fmt: skip
    assert calls[0]["--out_dir"] == [f"{HOSTILE}/raw/train_960"] and calls[0]["--nj"] == ["8"]
    assert calls[4]["--semantic_tokens"] == [HOSTILE] and calls[4]["--sets"] == list(SETS)
    for train in calls[5:7]:
        assert train["--train_data_path_and_name_and_type"] == [
            f"{HOSTILE}/raw/train_960/wav.scp,audio,sound",
            f"{HOSTILE}/semantic/toy/train_960/semantic.scp,semantic,kaldi_ark",
        ]
        assert train["--init_param"] == ["my exp/a.pth"]
    assert calls[6]["--output_dir"] == [exp]
    for call in calls[7:]:
        assert call["--model"] == [exp]
    assert calls[9]["--out"] == [f"{exp}.zip"]


def test_the_model_of_the_tokens_and_its_revision_come_to_stage_three(codec):
    make_all(codec, "dump", "exp", "train_sta_toy")
    options = ["--ssl_path", "a/b", "--hub_revision", "v1"]
    done = codec.run("--stage", "3", "--stop_stage", "3", *options)
    assert done.returncode == 0, done.stderr
    (extract,) = codec.called()
    assert (extract["--path_or_url"], extract["--hub_revision"]) == (["a/b"], ["v1"])


def test_a_set_that_is_two_is_made_once(codec):
    make_all(codec, "dump", "exp", "train_sta_toy")
    options = ["--test_sets", "dev_clean dev_clean", "--stage", "2", "--stop_stage", "3"]
    assert codec.run(*options).returncode == 0
    *formatted, extract = codec.called()
    assert [call["--data_dir"] for call in formatted] == [["data/train_960"], ["data/dev_clean"]]
    assert extract["--sets"] == ["train_960", "dev_clean"]


def test_sets_may_be_named_on_lines(codec):
    """As of --test_sets "$(ls ...)"."""
    make_all(codec, "dump", "exp", "train_sta_toy")
    options = ["--test_sets", "test_clean\n test_other\n", "--valid_set", " dev_clean"]
    assert codec.run(*options, "--stage", "6", "--stop_stage", "6").returncode == 0
    assert codec.called()[0]["--sets"] == ["test_clean", "test_other"]


def test_what_was_made_is_said_where_it_is(codec, tmp_path):
    for expdir in ("exp", str(tmp_path / "my exp")):
        exp = make_all(codec, "dump", expdir, "train_sta_toy")
        codec.make(f"{exp}/decode/RESULTS.md")
        done = codec.run("--stage", "7", "--stop_stage", "8", "--expdir", expdir)
        said = [line.partition(": ")[2] for line in done.stdout.splitlines()]
        assert Path(said[0].removeprefix("scores:").strip()).samefile(
            codec.folder / exp / "decode" / "RESULTS.md"
        )


def test_stage_one_gets_its_options(codec):
    data = codec.folder / "local" / "data.sh"
    data.write_text('#!/bin/sh\nprintf "<%s>" "$@" > asked\n')
    done = codec.run("--stop_stage", "1", "--local_data_opts", "--base_url 'http://a b/'")
    assert done.returncode == 0, done.stderr
    assert (codec.folder / "asked").read_text() == (
        "<--train_set><train_960><--valid_set><dev_clean><--test_sets><test_clean test_other>"
        "<--base_url><http://a b/>"
    )


def test_another_training_set_takes_nothing_of_the_first(codec):
    make_all(codec, "dump", "exp", "train_sta_toy")
    assert codec.run("--stage", "3", "--stop_stage", "5").returncode == 0
    own = [call.get("--output_dir") for call in codec.called()]
    assert own == [None, ["exp/codec_stats_toy"], ["exp/codec_train_sta_toy"]]

    codec.make("dump/raw/train_clean_5/wav.scp")
    other = ["--train_set", "train_clean_5", "--stop_stage", "5"]
    assert codec.run("--stage", "3", *other).returncode == 1
    assert codec.called()[0]["--tag_suffix"] == ["_train_clean_5"]
    # The tokens, statistics and experiment of the first one are not taken for its own.
    for stage in ("4", "5"):
        done = codec.run("--stage", stage, *other)
        assert "semantic/toy_train_clean_5/" in done.stderr and "run stage 3 first" in done.stderr
    codec.make("dump/raw/train_clean_5/wav.scp")
    for part in ("train_clean_5", *SETS[1:]):
        codec.make(f"dump/semantic/toy_train_clean_5/{part}/semantic.scp")
    done = codec.run("--stage", "5", *other)
    assert "needs exp/codec_stats_toy_train_clean_5/train/audio_shape" in done.stderr
    for part in ("train", "valid"):
        codec.make(f"exp/codec_stats_toy_train_clean_5/{part}/audio_shape")
    assert codec.run("--stage", "5", *other).returncode == 0
    assert codec.called()[0]["--output_dir"] == ["exp/codec_train_sta_toy_train_clean_5"]


def test_stages_six_to_nine_take_the_checkpoint_that_is_asked_for(codec):
    exp = make_all(codec, "dump", "exp", "train_sta_toy")
    options = ["--stage", "6", "--stop_stage", "9", "--hub_repo", "a/b"]
    assert codec.run(*options).returncode == 0
    assert not any("--model_file" in call for call in codec.called())
    assert codec.run(*options, "--inference_model", "3epoch.pth").returncode == 0
    decode, report, dump, pack, upload = codec.called()
    for call in (decode, report, dump, pack, upload):
        assert call["--model_file"] == ["3epoch.pth"]
    # Beside what the best checkpoint gave, not over it.
    assert decode["--out_dir"] == [f"{exp}/decode_3epoch"]
    assert report["--decode"] == ["decode_3epoch"]
    assert dump["--out_dir"] == [f"{exp}/codes_3epoch"]
    assert pack["--out"] == [f"{exp}_3epoch.zip"]


def test_stages_six_and_seven_compute_in_the_precision_that_is_asked_for(codec):
    exp = make_all(codec, "dump", "exp", "train_sta_toy")
    options = ["--stage", "6", "--stop_stage", "8", "--inference_model", "3epoch.pth"]
    assert codec.run(*options, "--inference_precision", "bfloat16").returncode == 0
    decode, report, dump, pack = codec.called()
    assert decode["--precision"] == dump["--precision"] == ["bfloat16"]
    assert decode["--out_dir"] == [f"{exp}/decode_3epoch_bfloat16"]
    assert report["--decode"] == ["decode_3epoch_bfloat16"]
    assert dump["--out_dir"] == [f"{exp}/codes_3epoch_bfloat16"]
    assert pack["--out"] == [f"{exp}_3epoch.zip"]
    assert codec.run(*options).returncode == 0
    assert codec.called()[0]["--out_dir"] == [f"{exp}/decode_3epoch"]
    wrong = codec.run(*options, "--inference_precision", "bf16")
    assert wrong.returncode == 1
    known = ", ".join(PRECISIONS)
    assert f"--inference_precision 'bf16' is unknown; known are {known}." in wrong.stderr
    commands = get_parser()._option_string_actions
    assert list(commands["--precision"].choices or []) == list(PRECISIONS)


def test_commands_of_wav_scp_are_allowed_by_an_option(codec):
    make_all(codec, "dump", "exp", "x")
    for value in ("false", "true"):
        codec.run("--stage", "2", "--stop_stage", "2", "--allow_commands", value)
        assert all(("--allow_commands" in call) == (value == "true") for call in codec.called())


def test_features_are_kept_by_an_option(codec):
    make_all(codec, "dump", "exp", "train_sta_toy")
    kept = ("train_960", "dev_clean")
    options = ["--stage", "3", "--stop_stage", "5", "--keep_features"]
    assert codec.run(*options, "false").returncode == 0
    assert not any("--features_of" in call or "features" in str(call) for call in codec.called())
    missing = codec.run(*options, "true")
    place = "dump/semantic/toy/train_960/features/features.scp"
    assert f"needs {place}; run stage 3" in missing.stderr and missing.returncode == 1
    (extract,) = codec.called()
    assert extract["--features_of"] == list(kept)
    codec.make(*(f"dump/semantic/toy/{part}/features/features.scp" for part in kept))
    assert codec.run(*options, "true").returncode == 0
    for call in codec.called()[1:]:
        for kind, part in zip(("train", "valid"), kept, strict=True):
            path = f"dump/semantic/toy/{part}/features/features.scp,features,kaldi_ark"
            assert path in call[f"--{kind}_data_path_and_name_and_type"]


@pytest.mark.parametrize("stage", ["3", "5", "6", "7"])
def test_gpus_that_are_not_there_are_said_before_anything_runs(codec, stage):
    make_all(codec, "dump", "exp", "train_sta_toy")
    options = ["--stage", stage, "--stop_stage", stage, "--ngpu", "2"]
    done = codec.run(*options, gpus=1)
    assert done.returncode == 1 and not codec.calls.exists()
    sentence = "--ngpu 2, but PyTorch finds 1 GPUs here; leave --ngpu out to use the CPU."
    assert done.stderr.splitlines()[-1] == f"run.sh: error: {sentence}"
    assert codec.run(*options, gpus=2).returncode == 0


def test_a_cluster_is_for_everything_but_training(codec):
    make_all(codec, "dump", "exp", "train_sta_toy")
    codec.make("conf/my cluster.yaml")
    options = ["--parallel", "conf/my cluster.yaml", "--ngpu", "3", "--nj", "5"]
    for stage in ("2", "3", "6", "7"):  # GPUs of another machine
        done = codec.run("--stage", stage, "--stop_stage", stage, *options, gpus=0)
        assert done.returncode == 0, done.stderr
        made = [call for call in codec.called() if "report" not in call[""]]
        assert len(made) == (4 if stage == "2" else 1)
        for call in made:
            assert call["--parallel"] == ["conf/my cluster.yaml"]
            assert call.get("--ngpu") == (None if stage == "2" else ["3"])
    assert codec.run("--stage", "5", "--stop_stage", "5", *options).returncode == 1
    assert codec.run("--stage", "5", "--stop_stage", "5", *options, gpus=3).returncode == 0
    assert "--parallel" not in codec.called()[0]


def test_stages_that_need_no_gpu_do_not_ask_for_one(codec):
    make_all(codec, "dump", "exp", "train_sta_toy")
    for stage in ("2", "4", "8"):
        assert codec.run("--stage", stage, "--stop_stage", stage, "--ngpu", "1").returncode == 0


ERRORS = [
    (["--nj", "two"], "--nj is a whole number, not 'two'."),
    (["--ngpu", "-1"], "--ngpu is a whole number, not '-1'."),
    (["--train_set", "a b"], "--train_set is the name of one data set, not 'a b'."),
    (["--test_sets", "../x"], "--test_sets: '../x' is not the name of a data set"),
    (["--valid_set", ""], "--valid_set is not given."),
    (["--train_config", ""], "--train_config is not given."),
    (["--train_args", "'--x"], "--train_args has an unclosed quote: '--x"),
    (["--train_config", "conf/train_cii.yaml"], "--train_config: there is no file /"),
    (["--parallel", "conf/parallel/slrum.yaml"], "--parallel: there is no file /"),
    (["--inference_model", "exp/a.pth"], "--inference_model is the name of a checkpoint in the"),
    (["--dumpdir", "a,b"], "the folder 'a,b"),
    (["--tag", "a,b"], "the folder '"),
]


@pytest.mark.parametrize(("options", "sentence"), ERRORS, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("name", ["librispeech/codec1", "librispeech/asr2", "slurp/slu1"])
def test_options_that_no_recipe_can_use(tmp_path, name, options, sentence):
    recipe = copy_recipe(tmp_path, name)
    more = [] if name.endswith("codec1") else ["--codes_dir", "codes"]
    done = recipe.run("--stage", "7", *more, *options)
    assert done.returncode == 1 and not recipe.calls.exists()
    (said,) = errors(done)
    assert said.startswith(f"run.sh: error: {sentence}")


@pytest.mark.parametrize("name", ["librispeech/codec1", "librispeech/asr2", "slurp/slu1"])
def test_the_options_that_are_known_are_those_of_the_help(tmp_path, name):
    recipe = copy_recipe(tmp_path, name)
    said = errors(recipe.run("--no_such", "1"))[-1]
    known = said.rpartition("known are ")[2].rstrip(".").split()
    lines = recipe.run("--help").stdout.splitlines()
    helped = [line.split("--")[1].split("=")[0] for line in lines if line.startswith("  --")]
    assert known == sorted(helped)


@pytest.mark.parametrize("factors", ["0.9,1.1", "0.9, 1.1", "90%", "1 --nj 7"])
def test_speeds_that_are_no_numbers_are_said_before_anything_runs(codec, factors):
    done = codec.run("--speed_perturb_factors", factors)
    assert done.returncode == 1 and not codec.calls.exists()
    (said,) = errors(done)
    assert said.startswith("run.sh: error: --speed_perturb_factors: '")


@pytest.mark.parametrize("factors", ["0.9 1 1.0", "0.4 1", "1 2.01"])
def test_speeds_that_cannot_be_made_are_said_before_anything_runs(codec, factors):
    done = codec.run("--speed_perturb_factors", factors)
    assert done.returncode == 1 and not codec.calls.exists()
    sentence = f"speeds are from {SLOWEST:g} to {FASTEST:g}, each given once."
    assert errors(done) == [f"run.sh: error: --speed_perturb_factors '{factors}': {sentence}"]


def test_copies_are_looked_at_where_they_are_first_used(codec):
    exp = make_all(codec, "dump", "exp", "train_sta_toy_sp")
    codec.make("dump/raw/train_960_sp/wav.scp", "dump/semantic/toy/train_960_sp/semantic.scp")
    codec.make(*(f"exp/codec_stats_toy_sp/{part}/audio_shape" for part in ("train", "valid")))
    for stage in ("2", "3", "4", "5"):
        options = ["--stage", stage, "--stop_stage", stage, "--speed_perturb_factors", "0.9 1.1"]
        done = codec.run(*options)
        assert done.returncode == 0, done.stderr
        (speeds,) = (call for call in codec.called() if call[""] == ["perturb_speed"])
        assert speeds["--factors"] == ["0.9", "1.1"]
        assert speeds["--out_dir"] == ["dump/raw/train_960_sp"]
        assert ("--check" in speeds) == (stage != "2")
    assert codec.called()[-1]["--output_dir"] == [exp]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--metrics", "pesq speed"], "--metrics: 'speed' is unknown; known are pesq, stoi,"),
        (["--recognizer", "gone"], "gone: not a recognizer: neither a folder with a config.json"),
    ],
)
def test_scores_that_cannot_be_had_are_said_before_anything_runs(codec, options, sentence):
    (codec.calls.parent / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    done = codec.run(*options)
    assert done.returncode == 1
    (said,) = errors(done)
    assert said.startswith(f"check_scoring.py: error: {sentence}")


@pytest.mark.parametrize("option", [["--train_minutes", "7.5"], ["--train_steps", "0700"]])
def test_the_length_of_a_training_is_planned_from_its_options(codec, option):
    exp = make_all(codec, "dump", "exp", "a tag", "toy")
    options = ["--stage", "5", "--stop_stage", "5", "--tag", "a tag"]
    done = codec.run(*options, *option, "--train_args", "--seed 3")
    assert done.returncode == 0, done.stderr
    plan, train = codec.called()
    assert plan[option[0]] == [option[1].lstrip("0")] and plan["--experiment"] == [exp]
    planned = ("--steps_per_epoch", "--max_epoch")
    assert [train.pop(name) for name in planned] == [["70"], ["10"]]
    # The steps that are timed are those of the training.
    own = {"", "--experiment", "--", option[0], "--output_dir", "--resume"}
    assert {k: v for k, v in plan.items() if k not in own} == {
        k: v for k, v in train.items() if k not in own
    }
    assert train["--seed"] == ["3"] and train["--output_dir"] == [exp]


def test_a_training_has_one_length(codec):
    done = codec.run("--stage", "7", "--train_minutes", "1", "--train_steps", "2")
    assert errors(done) == ["run.sh: error: --train_minutes and --train_steps exclude each other."]
    done = codec.run("--stage", "7", "--train_steps", "2", "--num_nodes", "3")
    assert errors(done) == [
        "run.sh: error: --train_minutes and --train_steps are for one machine; with --num_nodes 3"
        ' leave them empty, and give --train_args "--max_epoch N".'
    ]
    done = codec.run("--stage", "7", "--train_minutes", "long")
    assert errors(done) == ["run.sh: error: --train_minutes is a number, not 'long'."]
    for option in ("--train_minutes", "--train_steps"):
        done = codec.run("--stage", "7", option, "0")
        assert len(errors(done)) == 1 and "of 0 minutes or steps is none" in errors(done)[0]


def test_the_folder_recipe_has_options_of_its_own(tmp_path):
    recipe = copy_recipe(tmp_path, "folder/codec1")
    shown = recipe.run("--help").stdout
    assert (
        "--audio_dir= " in shown and "--dev_share=0.05 " in shown and "--train_minutes= " in shown
    )
    done = recipe.run(
        "--stop_stage", "1", "--audio_dir", "my 'audio'", "--speakers", r"^(\w+) ",
        "--dev-share=0.1",
        "--nj", "3", "--train_set", "mine", "--valid_set", "others", "--test_sets", "others",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (call,) = recipe.called()
    assert call == {
        "": ["prepare_folder"],
        "--audio_dir": ["my 'audio'"],
        "--speakers": [r"^(\w+) "],
        "--dev_share": ["0.1"],
        "--train_set": ["mine"],
        "--valid_set": ["others"],
        "--nj": ["3"],
        "--out_dir": [str(recipe.folder / "data")],
    }
    done = recipe.run("--stop_stage", "1", "--audio_dir", "x", "--test_sets", "test")
    assert done.returncode == 1 and not recipe.calls.exists()
    assert "a folder is divided into train and dev; there is no test set 'test'" in done.stderr


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ([], "--train_minutes", "60"),
        (["--train_minutes", "5"], "--train_minutes", "5"),
        (["--train_steps", "9"], "--train_steps", "9"),
        (["--train-steps=9"], "--train_steps", "9"),
    ],
)
def test_a_folder_is_trained_on_for_an_hour_unless_asked_otherwise(tmp_path, options, name, value):
    recipe = copy_recipe(tmp_path, "folder/codec1")
    recipe.make(*(f"dump/semantic/toy/{part}/semantic.scp" for part in ("train", "dev")))
    recipe.make(*(f"exp/codec_stats_toy/{part}/audio_shape" for part in ("train", "valid")))
    done = recipe.run("--stage", "5", "--stop_stage", "5", *options)
    assert done.returncode == 0, done.stderr
    plan, _ = recipe.called()
    assert plan[name] == [value]


def test_a_folder_may_be_relative_to_where_the_recipe_is_called(tmp_path):
    recipe = copy_recipe(tmp_path, "folder/codec1")
    python = recipe.calls.parent / "bin" / "python"
    python.write_text(python.read_text().replace("printf '%q ' ", 'pwd >>"$CALLS"; exit\n'))
    command = [str(recipe.folder / "run.sh"), "--stop_stage", "1", "--audio_dir", "audio"]
    subprocess.run(command, cwd=tmp_path, env=recipe.environment, check=True, capture_output=True)
    assert recipe.calls.read_text().splitlines()[-1] == str(tmp_path)


def test_modules_where_the_recipe_is_called_are_not_those_of_python(tmp_path):
    recipe = copy_recipe(tmp_path, "folder/codec1")
    (recipe.calls.parent / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "soundfile.py").write_text("raise SystemExit('a script of somebody')")
    done = subprocess.run(
        [str(recipe.folder / "local" / "data.sh"), "--audio_dir", "gone"],
        cwd=recipe.folder, env=recipe.environment | {"CALLED_FROM": str(tmp_path)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr.endswith(f"{tmp_path / 'gone'}: there is no such folder.\n")
