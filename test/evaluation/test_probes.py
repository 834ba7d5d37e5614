"""All questions together, and the command."""

import json

import kaldiio
import numpy as np
import pytest
import soundfile

from espnet_stacodec.bin.stacodec import main
from espnet_stacodec.downstream.code_dir_info import CodesInfo
from espnet_stacodec.downstream.code_dirs import flatten_codes
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.evaluation.probes import read_labels
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.fileio.files import write_scp


@pytest.fixture
def folder(tmp_path):
    """Codes of 24 utterances of 4 speakers: the first codebook knows what, the second who."""
    lists: dict[str, dict[str, str]] = {"intent": {}, "text": {}, "utt2spk": {}, "tokens": {}}
    for i in range(24):
        name, what, who = f"u{i:02}", i % 2, i % 4
        letters = ["ab", "ba"][what]
        first = np.repeat([2 * what, 2 * what + 1, 5], 4)
        second = np.repeat([who, 7, who], 4)
        Codes(np.stack([first, second]), 12 * 320, 16000, "f" * 16).save(
            tmp_path / "codes" / f"{name}.npz"
        )
        lists["intent"][name] = ["order", "cancel"][what]
        lists["text"][name] = letters
        lists["utt2spk"][name] = f"s{who}"
        lists["tokens"][name] = " ".join(map(str, first))
    for name, entries in lists.items():
        write_scp(tmp_path / name, entries)
    write_scp(tmp_path / "test", {f"u{i:02}": "x" for i in range(8)})
    return tmp_path


def test_the_command_asks_what_it_is_given(folder, capsys):
    options = {
        "--out": "out", "--tokens": "tokens", "--text": "text", "--utt2spk": "utt2spk",
        "--test": "test",
    }  # fmt: skip
    words = [str(word) for key, value in options.items() for word in (key, folder / value)]
    main(["probe", str(folder / "codes"), *words, "--labels", f"intent={folder / 'intent'}"])
    table = capsys.readouterr().out
    assert table == (folder / "out" / "PROBE.md").read_text()
    found = json.loads((folder / "out" / "probe.json").read_text())
    assert found["utterances"] == 24 and found["frame_rate_hz"] == 50
    assert [book["used"] for book in found["books"]] == [5, 5]
    first = found["labels"]["intent"][0]
    assert first["accuracy"] == 100 and first["utterances"] == 8
    assert "| 1 | 100.0 (100.0 to 100.0) |" in table
    who = found["speaker"]
    assert who[1]["accuracy"] == 100 > who[0]["accuracy"] and who[1]["labels"] == 4
    information = found["information"]["the semantic tokens"]
    assert information[0]["share"] > 0.9 > information[1]["share"]
    assert len(found["spelling"]) == 2 and found["spelling"][0]["utterances"] == 8
    assert set(found["kbps"]) == {"nominal", "order_0", "order_1"}
    assert "stability" not in found


@pytest.mark.parametrize("speaker", ["{}", "one"])
def test_speakers_that_no_probe_can_tell_are_kept_apart_all_the_same(folder, caplog, speaker):
    """Of voices/dev each has one utterance."""
    write_scp(folder / "utt2spk", {f"u{i:02}": speaker.format(f"s{i}") for i in range(24)})
    label = [] if speaker == "one" else ["--labels", f"intent={folder / 'intent'}"]
    lists = ["--utt2spk", str(folder / "utt2spk"), "--out", str(folder / "out"), *label]
    main(["probe", str(folder / "codes"), *lists])
    found = json.loads((folder / "out" / "probe.json").read_text())
    assert "speaker" not in found and "no probe for the speaker" in caplog.text
    assert not label or found["labels"]["intent"][0]["accuracy"] == 100


def test_speakers_of_other_utterances(folder):
    write_scp(folder / "utt2spk", {"other": "s1", "another": "s2"})
    lists = ["--utt2spk", str(folder / "utt2spk"), "--out", str(folder / "out")]
    with pytest.raises(SystemExit, match="No utterance has codes and a speaker"):
        main(["probe", str(folder / "codes"), *lists])


def test_stability_by_the_command(folder, plain_experiment, noise, capsys):
    soundfile.write(folder / "a.wav", noise(16000), 16000)
    write_scp(folder / "wav.scp", {"a": folder / "a.wav"})
    main(
        [
            "encode",
            "--model",
            str(plain_experiment),
            "--out",
            str(folder / "c"),
            str(folder / "a.wav"),
        ]
    )
    options = ["--model", str(plain_experiment), "--out", str(folder / "out")]
    audio = ["--audio", str(folder / "wav.scp"), "--copies", "level_-20dB", "mp3_32k"]
    main(["probe", str(folder / "c"), *options, *audio])
    table = capsys.readouterr().out
    assert "## Stability" in table and "| mp3_32k |" in table
    found = json.loads((folder / "out" / "probe.json").read_text())["stability"]
    assert list(found) == ["level_-20dB", "mp3_32k"] and len(found["mp3_32k"]) == 3
    with pytest.raises(SystemExit, match="--copies: 'louder' is unknown"):
        main(["probe", str(folder / "c"), *options, "--audio", audio[1], "--copies", "louder"])
    with pytest.raises(SystemExit, match="--audio needs --model"):
        main(["probe", str(folder / "c"), *options[2:], *audio])


def test_codes_of_stage_7(tmp_path, capsys):
    codes = {"a": np.array([[0, 1], [3, 2]]), "b": np.array([[3, 1], [4, 2]])}
    flat = {name: flatten_codes(one, [4, 5]) for name, one in codes.items()}
    (tmp_path / "codes" / "test").mkdir(parents=True)
    scp = tmp_path / "codes" / "test" / "codes.scp"
    kaldiio.save_ark(str(scp.with_suffix(".ark")), flat, scp=str(scp))
    CodesInfo([4, 5], 25.0, "abc", [1, 2]).write(tmp_path / "codes")
    main(["probe", str(scp), "--out", str(tmp_path / "out")])
    assert "| 1 | 4 | 3 | 1 |" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert [book["entries"] for book in found["books"]] == [4, 5]
    assert found["frame_rate_hz"] == 25


def test_labels_are_names_and_files(tmp_path):
    write_scp(tmp_path / "one", {"a": "x"})
    write_scp(tmp_path / "two", {"b": "y"})
    options = [f"intent={tmp_path / 'one'}", f"intent={tmp_path / 'two'}"]
    assert read_labels(options) == {"intent": {"a": "x", "b": "y"}}
    with pytest.raises(ConfigError, match="--labels: 'intent' is not NAME=FILE"):
        read_labels(["intent"])
