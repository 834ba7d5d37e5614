"""Decoding with several processes of ESPnet, and keeping what is finished."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from espnet_stacodec.bin import espnet
from espnet_stacodec.downstream import recognition
from espnet_stacodec.downstream.recognition import read_hypotheses, recognize
from espnet_stacodec.errors import ConfigError, DataError, StageError
from espnet_stacodec.fileio.arks import write_arks
from espnet_stacodec.fileio.files import read_scp, write_scp, write_text
from espnet_stacodec.parallel import Workers

UTTS = [f"utt{number}" for number in range(5)]
WORDS = ["lights", "music", "on", "off"]
# Says the checkpoint's content of each utterance, in place of Python and ESPnet.
SAYS = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
        --key_file) keys=$2 ;;
        --output_dir) out=$2 ;;
        --slu_model_file) model=$2 ;;
    esac
    shift
done
echo "loading $model"
grep -q fail "$model" && { printf 'one\\ntwo\\nthree\\n' >&2; exit 3; }
mkdir -p "$out/1best_recog"
grep -q lose "$model" && { head -n 1 "$keys" >"$out/1best_recog/text"; exit 0; }
grep -q kill "$model" && { printf 'utt0 o' >"$out/1best_recog/text"; kill -9 $$; }
sed "s/ .*/ $(cat "$model")/" "$keys" >"$out/1best_recog/text"
"""


@pytest.fixture
def processes(monkeypatch) -> list[list[str]]:
    """The command lines of the processes that are started."""
    started = []

    class Watched(subprocess.Popen):
        def __init__(self, words, **kwargs):
            started.append(words)
            super().__init__(words, **kwargs)

    monkeypatch.setattr(recognition.subprocess, "Popen", Watched)
    return started


@pytest.fixture
def says(tmp_path, monkeypatch):
    """Decode with processes that say the checkpoint's content; returns what is recognized."""
    (tmp_path / "python").write_text(SAYS)
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(recognition, "PART_UTTERANCES", 3)
    write_text(tmp_path / "codes.ark", "codes")
    write_scp(tmp_path / "codes.scp", dict.fromkeys(UTTS, f"{tmp_path / 'codes.ark'}:5"))
    write_text(tmp_path / "1epoch.pth", "on")
    write_text(tmp_path / "2epoch.pth", "off")

    def call(model="1epoch.pth", num_jobs=2, options=()):
        stream = f"{tmp_path / 'codes.scp'},speech,kaldi_ark"
        out = tmp_path / "out"
        recognize("slu", tmp_path / model, [stream], options, out, Workers(num_jobs))
        return read_hypotheses(out / "text")

    return call


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A checkpoint of a tiny SLU model with random weights, and beside it codes to decode."""
    from espnet2.tasks.slu import SLUTask

    folder = tmp_path_factory.mktemp("exp")
    small = {"attention_heads": 2, "linear_units": 8, "num_blocks": 1}
    conf = {
        "frontend": "code_mixture",
        "frontend_conf": {"input_size": 12, "n_codebooks": 2, "embed_dim": 8},
        "token_type": "word",
        "token_list": ["<blank>", "<unk>", *WORDS, "<sos/eos>"],
        "normalize": None,
        "specaug": None,
        "encoder": "transformer",
        "encoder_conf": small | {"output_size": 8, "input_layer": "linear"},
        "decoder": "transformer",
        "decoder_conf": small,
        "model_conf": {"ctc_weight": 0.3},
    }
    write_text(folder / "conf.yaml", yaml.safe_dump(conf))
    words = ["--config", str(folder / "conf.yaml"), "--output_dir", str(folder)]
    args = SLUTask.get_parser().parse_args(words)
    torch.manual_seed(0)
    built = SLUTask.build_model(args)
    write_text(folder / "config.yaml", yaml.safe_dump(vars(args)))
    torch.save(built.state_dict(), folder / "1epoch.pth")

    rng = np.random.default_rng(0)
    utts = {utt: 2 * (4 + number) for number, utt in enumerate(UTTS)}
    write_arks(
        folder / "codes.scp",
        utts,
        "",
        lambda ids: (rng.integers(2, 11, utts[utt]).astype(np.int32) for utt in ids),
    )
    write_text(folder / "decode.yaml", "beam_size: 2\nctc_weight: 0.3\nmaxlenratio: -3\n")
    return folder / "1epoch.pth"


def test_two_processes_recognize_what_one_does(model, tmp_path, processes, monkeypatch):
    monkeypatch.setattr(recognition, "PART_UTTERANCES", 3)
    stream = f"{model.parent / 'codes.scp'},speech,kaldi_ark"
    options = ["--config", str(model.parent / "decode.yaml")]
    path = recognize("slu", model, [stream], options, tmp_path / "two", Workers(2))
    recognized = read_hypotheses(path)
    assert len(processes) == 2 and list(recognized) == UTTS
    assert all("--end_with" in words for words in processes)
    said = [text.split() for text in recognized.values()]
    assert {word for words in said for word in words} <= {*WORDS, "<unk>"}
    assert len(set(recognized.values())) > 1  # not the same of all
    assert all(len(words) <= 3 for words in said)  # maxlenratio of the configuration

    recognize("slu", model, [stream], options, tmp_path / "two", Workers(2))
    assert len(processes) == 2

    espnet.main(
        [
            "slu_inference", "--output_dir", str(tmp_path / "one"), "--num_workers", "0", *options,
            "--slu_train_config", str(model.parent / "config.yaml"),
            "--slu_model_file", str(model), "--data_path_and_name_and_type", stream,
        ]
    )  # fmt: skip
    assert read_hypotheses(tmp_path / "one" / "1best_recog" / "text") == recognized


def test_every_utterance_is_decoded_once(says, processes, tmp_path):
    assert says(num_jobs=2) == dict.fromkeys(UTTS, "on")
    parts = sorted((tmp_path / "out").glob(".text.*.txt"))
    keys = [list(read_hypotheses(part)) for part in parts]
    assert keys == [["utt0", "utt2", "utt4"], ["utt1", "utt3"]]


def test_another_number_of_processes_keeps_what_is_finished(says, processes, tmp_path):
    first = says(num_jobs=1)
    next((tmp_path / "out").glob(".text.2.*.txt")).unlink()
    del processes[:]
    assert says(num_jobs=9) == first and len(processes) == 1


def test_a_long_set_is_cut_into_parts_of_about_one_size():
    for number, sizes in ((1, [1]), (100, [100]), (101, [51, 50]), (299, [100, 100, 99])):
        items = {f"utt{n:03}": [n] for n in range(number)}
        parts = recognition._cut(items)
        assert [len(part) for part in parts] == sizes
        assert {utt: value for part in parts for utt, value in part.items()} == items


def test_finished_parts_are_kept(says, processes, tmp_path):
    first = says()
    (tmp_path / "out" / "text").unlink()
    assert says() == first and len(processes) == 2

    next((tmp_path / "out").glob(".text.2.*.txt")).unlink()
    del processes[:]
    assert says() == first and len(processes) == 1


def test_a_process_that_is_killed_halfway_leaves_no_part(says, processes, tmp_path):
    write_text(tmp_path / "1epoch.pth", "kill")
    with pytest.raises(StageError, match="decoding failed"):
        says()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"logs"}
    write_text(tmp_path / "1epoch.pth", "on")
    assert says() == dict.fromkeys(UTTS, "on")


def test_a_process_that_leaves_out_utterances_is_an_error(says, tmp_path):
    write_text(tmp_path / "1epoch.pth", "lose")
    with pytest.raises(StageError, match=r"logs/inference\.1\.log: decoding left out 2 of 3"):
        says()


@pytest.mark.parametrize("how", ["another name", "another content", "a link to another"])
def test_another_checkpoint_is_decoded_anew(says, processes, tmp_path, how):
    (tmp_path / "best.pth").symlink_to("1epoch.pth")
    says("best.pth")
    if how == "another content":
        write_text(tmp_path / "1epoch.pth", "off")
    elif how == "a link to another":
        (tmp_path / "best.pth").unlink()
        (tmp_path / "best.pth").symlink_to("2epoch.pth")
    name = "2epoch.pth" if how == "another name" else "best.pth"
    assert says(name) == dict.fromkeys(UTTS, "off")
    assert len(processes) == 4


def test_other_options_and_utterances_are_decoded_anew(says, processes, tmp_path):
    config = tmp_path / "decode.yaml"
    write_text(config, "beam_size: 1\n")
    options = ["--config", str(config)]
    says(options=options)
    says(options=options)
    assert len(processes) == 2
    write_text(config, "beam_size: 5\n")
    says(options=options)
    assert len(processes) == 4
    says(options=[*options, "--beam_size", "2"])
    assert len(processes) == 6
    ark = tmp_path / "codes.ark"
    write_scp(tmp_path / "codes.scp", {"utt3": f"{ark}:5", "utt7": f"{ark}:9"})
    assert list(says(options=[*options, "--beam_size", "2"])) == ["utt3", "utt7"]


def test_inputs_that_were_made_again_are_decoded_anew(says, processes, tmp_path):
    says()
    scp = tmp_path / "codes.scp"
    places = read_scp(scp)
    scp.unlink()  # as write_arks does
    write_scp(scp, places)  # the same list of the same arks
    says()
    assert len(processes) == 2
    (tmp_path / "codes.ark").unlink()
    write_text(tmp_path / "codes.ark", "other")  # at the same path, as long
    says()
    assert len(processes) == 4


def test_audio_that_was_made_again_is_decoded_anew(says, processes, tmp_path):
    """Only the part of the changed utterance."""
    for utt in UTTS:
        write_text(tmp_path / f"{utt}.flac", "audio")
    write_scp(tmp_path / "codes.scp", {utt: tmp_path / f"{utt}.flac" for utt in UTTS})
    says()
    write_text(tmp_path / "utt3.flac", "AUDIO")
    says()
    assert len(processes) == 3
    (tmp_path / "utt0.flac").unlink()
    with pytest.raises(DataError, match=r"utt0: .*utt0\.flac cannot be read"):
        says()


def test_text_inputs_are_what_their_list_holds(tmp_path):
    write_scp(tmp_path / "text", dict.fromkeys(UTTS, "a b"))
    identities = recognition._identify_inputs([f"{tmp_path / 'text'},src_text,text"])
    assert identities == {utt: ["a b"] for utt in UTTS}


def test_processes_end_with_the_one_that_started_them(tmp_path):
    """The child says its id; its parent is killed."""
    child = "import os, sys, time; from espnet_stacodec.parallel import end_with\n"
    child += "end_with(int(sys.argv[1])); print(os.getpid(), flush=True); time.sleep(600)"
    parent = "import os, subprocess, sys\n"
    parent += f"subprocess.run([sys.executable, '-c', {child!r}, str(os.getpid())])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        process.kill()
        assert process.stdout.read() == b""  # the child held the other end until it ended


def test_a_process_that_fails_names_its_log(says, processes, tmp_path):
    write_text(tmp_path / "1epoch.pth", "fail")
    with pytest.raises(StageError) as error:
        says()
    log = tmp_path / "out" / "logs" / "inference.1.log"
    assert str(error.value) == f"{log}: decoding failed: one two three"
    assert log.read_text().startswith("loading ")
    assert not (tmp_path / "out" / "text").exists()

    write_text(tmp_path / "1epoch.pth", "on")
    assert says() == dict.fromkeys(UTTS, "on")


def test_what_is_recognized_may_be_empty_or_have_odd_characters(tmp_path):
    (tmp_path / "text").write_text("a play\u2028it\nb \nc\n", encoding="utf-8")
    assert read_hypotheses(tmp_path / "text") == {"a": "play\u2028it", "b": "", "c": ""}


def test_an_unknown_task(tmp_path):
    with pytest.raises(ConfigError, match="task 'tts' is unknown; known are asr, mt, slu"):
        recognize("tts", tmp_path / "1epoch.pth", ["codes.scp,speech,kaldi_ark"], [], tmp_path)
