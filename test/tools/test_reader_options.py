"""The stage scripts of recipes that read codes; commands only note how they were called."""

import shlex
import shutil

import pytest
from recipe_copies import HOSTILE, copy_recipe, errors

from espnet_stacodec.downstream.targets import TARGETS


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--target", "word"], f"--target 'word' is unknown; known are {', '.join(TARGETS)}."),
        (["--token_type", "bp"], "--token_type 'bp' is unknown; known are char, word, bpe."),
        (["--input", "mel"], "--input 'mel' is unknown; known are codes, audio."),
        (["--codebooks", "1:3"], "--codebooks '1:3' is not a list such as 1, 1-8 or 1,3-4."),
        (
            ["--codebooks", "1-3", "--src_nbpe", "200"],
            "--src_nbpe learns a BPE over one codebook, not over '1-3'.",
        ),
        (["--nbpe", "0"], "--nbpe is the number of units of a BPE, not 0."),
    ],
)
def test_options_that_no_reader_can_use(reader, options, sentence):
    done = reader.run(*options)
    assert done.returncode == 1 and not reader.calls.exists()
    assert errors(done) == [f"run.sh: error: {sentence}"]


@pytest.mark.parametrize("option", ["codec_exp", "codes_dir", "semantic_tokens"])
def test_codes_that_are_not_there_are_said_before_anything_runs(reader, option):
    done = reader.run(f"--{option}", "no such")
    assert done.returncode == 1 and not reader.calls.exists()
    path = reader.folder / "no such"
    assert errors(done) == [f"run.sh: error: --{option}: there is no folder {path}."]


def test_codes_in_this_folder_are_named_by_it(reader):
    options = ["--codes_dir", "codes", "--stage", "2", "--stop_stage", "2"]
    assert reader.run(*options).returncode == 0
    assert reader.called()[0]["--out_dir"] == ["dump/inputs/asr2_q1_words"]


@pytest.mark.parametrize("target", TARGETS)
def test_readers_take_every_target(reader, target):
    options = ["--codes_dir", "a/codes", "--stage", "2", "--stop_stage", "2", "--target", target]
    assert reader.run(*options).returncode == 0
    assert reader.called()[0]["--target"] == [target]


def test_intents_are_recognized_as_words_unless_asked_otherwise(tmp_path):
    recipe = copy_recipe(tmp_path, "slurp/slu1")
    options = ["--codes_dir", "a/codes", "--stage", "3", "--stop_stage", "3"]
    for more, inputs in (([], "a_q1_intent"), (["--target", "scenario"], "a_q1_scenario")):
        recipe.make(f"dump/inputs/{inputs}/train/text")
        assert recipe.run(*options, *more).returncode == 0
        assert recipe.called()[0]["--out_dir"] == [f"dump/inputs/{inputs}/word"]


def test_readers_of_codes_pass_blanks_and_quotes_on(reader):
    inputs = f"{HOSTILE}/inputs/{HOSTILE}_q1_words"
    exp = f"exp {HOSTILE}/mt_{HOSTILE}"
    reader.make(f"{HOSTILE}/codes/codes.json", f"{inputs}/train_clean_100/text")
    reader.make(f"{inputs}/bpe1000/tokens.txt")
    reader.make(f"{exp}/stats/train/src_text_shape", f"{exp}/valid.acc.best.pth")
    reader.make(f"{exp}/decode/test_clean/text", f"{exp}/decode/test_other/text")
    done = reader.run(
        "--stage", "01", "--stop-stage", "07", "--codes_dir", f"{HOSTILE}/codes",
        "--dumpdir", HOSTILE, "--expdir", f"exp {HOSTILE}", "--tag", HOSTILE, "--nbpe", "01000",
        "--train_args", "--init_param 'my exp/a.pth'",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    prepare, token_list, stats, train, recognize, score = reader.called()
    assert prepare["--codes_dir"] == [f"{HOSTILE}/codes"] and prepare["--out_dir"] == [inputs]
    assert token_list["--nbpe"] == ["1000"]
    for call in (stats, train):
        assert call["--train_data_path_and_name_and_type"] == [
            f"{inputs}/train_clean_100/codes.scp,src_text,kaldi_ark",
            f"{inputs}/train_clean_100/text,text,text",
        ]
        assert call["--init_param"] == ["my exp/a.pth"]
    assert recognize["--model"] == [f"{exp}/valid.acc.best.pth"]
    assert score["--decode_dir"] == [f"{exp}/decode"]


def test_readers_find_codecs_in_folders_with_blanks(reader):
    codecs = reader.folder.parent / "codec 1" / "exp"
    for name in ("codec_a b", "codec_c"):
        (codecs / name).mkdir(parents=True)
        (codecs / name / "valid.mel_loss.best.pth").touch()
    done = reader.run("--codec_recipe", "../codec 1", "--stage", "2", "--stop_stage", "2")
    assert done.returncode == 1
    listed = "../codec 1/exp/codec_a b ../codec 1/exp/codec_c"
    assert errors(done) == [f"run.sh: error: several codecs; choose one with --codec_exp: {listed}"]
    shutil.rmtree(codecs / "codec_c")
    done = reader.run("--codec_recipe", "../codec 1", "--stage", "2", "--stop_stage", "2")
    assert done.returncode == 0, done.stderr


def test_readers_of_another_training_set_take_nothing_of_the_first(reader):
    options = ["--codes_dir", "a/codes", "--stage", "2", "--stop_stage", "2"]
    folders = []
    for more in ([], ["--train_set", "train_960"]):
        assert reader.run(*options, *more).returncode == 0
        folders += reader.called()[0]["--out_dir"]
    assert folders == ["dump/inputs/a_q1_words", "dump/inputs/a_q1_words_train_960"]


def test_readers_keep_the_results_of_two_checkpoints_apart(reader):
    exp = "exp/mt_x"
    options = ["--codes_dir", "a/codes", "--tag", "x", "--stage", "6", "--test_sets", "test"]
    for more, name, folder in (
        ([], "valid.acc.best.pth", "decode"),
        (
            ["--inference_model", "valid.loss.ave.pth"],
            "valid.loss.ave.pth",
            "decode_valid.loss.ave",
        ),
    ):
        reader.make(f"{exp}/{name}", f"{exp}/{folder}/test/text")
        assert reader.run(*options, *more).returncode == 0
        recognize, score = reader.called()
        assert recognize["--model"] == score["--title"] == [f"{exp}/{name}"]
        assert recognize["--out_dir"] == score["--decode_dir"] == [f"{exp}/{folder}"]


def test_readers_keep_the_codes_of_two_checkpoints_apart(reader):
    folders = []
    for name in ("codes", "codes_3epoch", "mine"):
        options = ["--codes_dir", f"a/{name}", "--stage", "2", "--stop_stage", "2"]
        assert reader.run(*options).returncode == 0
        folders += reader.called()[0]["--out_dir"]
    names = ("a_q1_words", "a_3epoch_q1_words", "a_mine_q1_words")
    assert folders == [f"dump/inputs/{name}" for name in names]


def test_a_trained_reader_is_given_no_codes_of_another_codec(reader):
    """A codec that was trained on has the name it had."""
    inputs, exp = "dump/inputs/a_q1_words", "exp/mt_x"
    reader.make(f"{inputs}/bpe1000/tokens.txt", f"{exp}/stats/train/src_text_shape")
    for name in ("src_tokens.txt", "codebooks.txt"):
        reader.make(f"{inputs}/{name}")
    codes, kept = reader.folder / inputs / "codes.json", reader.folder / exp / "codes.json"
    options = ["--codes_dir", "a/codes", "--tag", "x", "--stop_stage", "6", "--test_sets", "test"]

    codes.write_text("of the first codec")
    done = reader.run("--stage", "5", "--stop_stage", "5", *options[:-4])
    assert done.returncode == 0, done.stderr
    # Before anything is trained, the codec may be another one.
    codes.write_text("of the codec")
    assert reader.run(*options, "--stage", "5", "--stop_stage", "5").returncode == 0
    assert kept.read_text() == "of the codec"
    reader.make(f"{exp}/checkpoint.pth", f"{exp}/valid.acc.best.pth")
    assert reader.run(*options, "--stage", "5").returncode == 0
    assert [call[""] for call in reader.called()] == [["espnet", "mt_train"], ["recognize"]]

    codes.write_text("of another codec")
    for stage in ("5", "6"):
        done = reader.run(*options, "--stage", stage)
        assert done.returncode == 1 and not reader.calls.exists()
        sentence = f"{exp} was trained with another codec than that of the codes in {inputs}"
        assert sentence in errors(done)[-1]


@pytest.mark.parametrize(
    "other", [["--deduplicate", "true"], ["--target", "intent"], ["--token_type", "char"]]
)
def test_a_trained_reader_is_given_no_other_inputs_under_its_tag(reader, other):
    exp = "exp/mt_x"
    for name in ("a_q1_words", "a_q1_dedup_words", "a_q1_intent"):
        reader.make(*(f"dump/inputs/{name}/{units}/tokens.txt" for units in ("bpe1000", "char")))
    reader.make(f"{exp}/stats/train/src_text_shape")
    options = ["--codes_dir", "a/codes", "--tag", "x"]
    done = reader.run(*options, "--stage", "5", "--stop_stage", "5")
    assert done.returncode == 0, done.stderr
    assert (reader.folder / exp / "inputs.txt").read_text() == "a_q1_words bpe1000\n"
    reader.make(f"{exp}/checkpoint.pth", f"{exp}/valid.acc.best.pth")
    for stage in ("4", "5", "6"):
        done = reader.run(*options, *other, "--stage", stage)
        assert done.returncode == 1 and not reader.calls.exists()
        said = errors(done)[-1]
        assert f"{exp} was trained on other inputs or units ('a_q1_words bpe1000' " in said


def test_a_reader_that_was_killed_while_it_saved_an_epoch_is_a_trained_one(reader):
    """It has the checkpoint of the epoch before alone, under its name."""
    exp = "exp/mt_x"
    for name in ("a_q1_words", "a_q1_intent"):
        reader.make(f"dump/inputs/{name}/bpe1000/tokens.txt")
    reader.make(f"{exp}/stats/train/src_text_shape")
    options = ["--codes_dir", "a/codes", "--tag", "x", "--stage", "5", "--stop_stage", "5"]
    assert reader.run(*options).returncode == 0
    reader.make(f"{exp}/checkpoint.previous.pth")
    done = reader.run(*options, "--target", "intent")
    assert done.returncode == 1
    assert "trained on other inputs or units" in errors(done)[-1]
    assert (reader.folder / exp / "inputs.txt").read_text() == "a_q1_words bpe1000\n"


@pytest.mark.parametrize("option", [["--input", "audio"], ["--input=audio"]])
def test_audio_is_recognized_by_espnets_task_for_it(reader, option):
    reader.make("dump/inputs/audio_words/bpe1000/tokens.txt")
    done = reader.run(*option, "--stage", "4", "--stop_stage", "4")
    assert done.returncode == 0, done.stderr
    assert shlex.split(reader.calls.read_text())[2] == "asr_train"


def test_readers_take_a_cluster_from_their_own_folder(reader):
    reader.make("../codec1/exp/codec_a/config.yaml", "conf/cluster.yaml")
    reader.make("../codec1/exp/codec_a/valid.mel_loss.best.pth")
    options = ["--parallel", "conf/cluster.yaml"]
    done = reader.run("--stage", "1", "--stop_stage", "1", *options)
    assert done.returncode == 0, done.stderr
    (call,) = reader.called()
    assert call["--parallel"] == [str((reader.folder / "conf" / "cluster.yaml").resolve())]


def test_readers_say_which_gpus_are_missing(reader):
    reader.make("dump/inputs/audio_words/bpe1000/tokens.txt")
    done = reader.run("--input", "audio", "--stage", "5", "--ngpu", "1")
    assert "needs exp/asr" in done.stderr
    exp = "exp/asr_train_e_branchformer_audio_words_bpe1000"
    reader.make(f"{exp}/stats/train/speech_shape")
    done = reader.run("--input", "audio", "--stage", "5", "--ngpu", "1")
    assert done.returncode == 1 and "--ngpu 1, but PyTorch finds 0 GPUs here" in done.stderr
