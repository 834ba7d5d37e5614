"""Systems on the same originals, from folders to tables; also through the command."""

import json
from pathlib import Path

import pytest
import soundfile

from espnet_stacodec.bin.stacodec import main
from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.evaluation import words
from espnet_stacodec.evaluation.score_sets import name_systems, read_figures, read_rows
from espnet_stacodec.fileio.files import write_scp


@pytest.fixture
def folders(tmp_path, noise) -> Path:
    """Originals, and two systems that add little and much noise to them."""
    for level, folder in ((0.0, "ref"), (0.01, "good"), (0.3, "bad")):
        for speaker in "st":
            (tmp_path / folder / speaker).mkdir(parents=True)
            for seed, name in enumerate("ab"):
                signal = noise(8000, seed) + level * noise(8000, seed + 5)
                soundfile.write(tmp_path / folder / speaker / f"{name}.wav", signal, 16000)
    return tmp_path


def score(folders: Path, *options: str) -> dict:
    main(
        ["score", str(folders / "ref"), str(folders / "good"), str(folders / "bad"), "--out",
         str(folders / "out"), "--metrics", "si_sdr", *options]
    )  # fmt: skip
    return json.loads((folders / "out" / "results.json").read_text())


def test_two_folders_and_their_difference(folders, capsys):
    found = score(folders, "--speakers", "folder")
    table = capsys.readouterr().out
    assert table == (folders / "out" / "RESULTS.md").read_text()
    assert list(found["sets"]) == ["good", "bad"] and list(found["differences"]) == [
        "bad less good"
    ]
    good, bad = found["sets"]["good"], found["sets"]["bad"]
    assert good["utterances"] == 4 and good["speakers"] == 2 and good["missing"] == 0
    assert good["si_sdr"] - bad["si_sdr"] == pytest.approx(29.5, abs=1)
    difference = found["differences"]["bad less good"]["figures"]["si_sdr"]
    assert difference["difference"] == pytest.approx(bad["si_sdr"] - good["si_sdr"])
    assert difference["clear"] and "| SI-SDR (dB) | **-29" in table
    rows = read_rows(folders / "out" / "bad" / "scores.jsonl")
    assert [row["utt"] for row in rows] == ["s/a", "s/b", "t/a", "t/b"]
    assert [row["speaker"] for row in rows] == ["s", "s", "t", "t"]


def test_two_files_are_a_pair_whatever_their_names(folders):
    (folders / "good/s/a.wav").rename(folders / "resynthesized.wav")
    files = [str(folders / "ref/s/a.wav"), str(folders / "resynthesized.wav")]
    main(["score", *files, "--out", str(folders / "out"), "--metrics", "si_sdr"])
    (row,) = read_rows(folders / "out" / "resynthesized.wav" / "scores.jsonl")
    assert row["utt"] == "a" and row["si_sdr"] > 30


def test_names_that_are_no_utf_8(folders):
    for name in ("ref", "good", "bad"):
        (folders / name / "s/a.wav").rename(folders / name / "s/\udcff a.wav")
    assert score(folders)["sets"]["good"]["utterances"] == 4
    names = [row["utt"] for row in read_rows(folders / "out" / "bad" / "scores.jsonl")]
    assert names == ["s/b", "s/\udcff a", "t/a", "t/b"]


def test_words_and_other_programs(folders, monkeypatch):
    heard = {"ref": "hello there", "good": "hello there", "bad": "hello bear"}
    monkeypatch.setattr(
        words,
        "_recognize",
        lambda recognition, item: next(w for f, w in heard.items() if f"/{f}/" in item[1]),
    )
    write_scp(folders / "text", {"s/a": "HELLO, THERE", "t/a": "hello chair"})
    for name in ("good", "bad"):
        line = {"key": "s/a", "utmos": 4.0, "ref_text": "hello", "nothing": None}
        (folders / f"{name}.jsonl").write_text(json.dumps(line) + "\n")
    found = score(
        folders, "--text", str(folders / "text"), "--recognizer", str(folders / "text"),
        "--others", str(folders / "good.jsonl"), str(folders / "bad.jsonl"),
    )  # fmt: skip
    good, bad = found["sets"]["good"], found["sets"]["bad"]
    assert good["text_is"] == "recognized original or transcript"
    assert good["wer_resynthesis"] == pytest.approx(100 / 8)  # t/a: chair for there
    assert good["wer_original"] == pytest.approx(100 / 4)  # of two transcripts
    assert bad["wer_resynthesis"] == pytest.approx(100 * 4 / 8)
    assert good["good_utmos"] == 4.0
    assert (folders / "out" / "bad" / "text").read_text().startswith("s/a hello bear\n")


def test_what_is_counted_apart_has_no_words_and_no_other_figures(folders, noise, monkeypatch):
    monkeypatch.setattr(words, "_recognize", lambda recognition, item: "thank you")
    soundfile.write(folders / "ref/s/a.wav", 0 * noise(8000), 16000)
    soundfile.write(folders / "good/t/a.wav", 0 * noise(8000), 16000)
    for name in ("good", "bad"):
        (folders / f"{name}.jsonl").write_text('{"key": "s/a", "utmos": 1.0}\n')
    (folders / "text").write_text("s/a\nt/a hello\n")
    others = [str(folders / f"{name}.jsonl") for name in ("good", "bad")]
    options = ["--recognizer", str(folders / "text"), "--text", str(folders / "text")]
    found = score(folders, *options, "--others", *others)
    good = found["sets"]["good"]
    assert good["statuses"] == {"silent": 1, "resynthesized as silence": 1}
    assert good["wer_resynthesis"] == pytest.approx(100 * 2 / 5)  # of t/a, and no error of s/b, t/b
    assert "good_utmos" not in good
    table = (folders / "out" / "RESULTS.md").read_text()
    assert "good: 1 utterances are silent, and counted apart." in table
    assert "good: 1 utterances are resynthesized as silence.\n" in table
    assert (folders / "out/good/text").read_text().split()[0] == "s/b"


def test_what_one_side_lacks_is_counted(folders):
    (folders / "bad" / "s" / "a.wav").unlink()
    found = score(folders)
    assert found["sets"]["bad"]["missing"] == 1 and found["sets"]["bad"]["utterances"] == 3
    assert found["differences"]["bad less good"]["utterances"] == 3
    assert found["sets"]["good"]["speakers"] is None


def test_names_of_systems():
    def named(*places: str) -> list[str]:
        return [system.name for system in name_systems([Path(place) for place in places])]

    assert named("/x/a", "/x/b.v1") == ["a", "b.v1"]
    assert named("/x/a/test", "/x/b/test/wav.scp") == ["a-test", "b-test"]
    assert named("/a", "/x/a", "/y/x/a") == ["a", "x-a", "y-x-a"]
    with pytest.raises(DataError, match="is given twice"):
        named("/x/a", "/x/a")
    with pytest.raises(ConfigError, match="--others: 1 files for 2 systems"):
        name_systems([Path("/a"), Path("/b")], [Path("c")])


def test_lines_that_are_not_scores(tmp_path):
    path = tmp_path / "x.jsonl"
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(path)
    path.write_text('{"utt": "a"}\nno\n')
    with pytest.raises(DataError, match=r"x\.jsonl:2: not a line of JSON"):
        read_rows(path)
    path.write_text('{"name": "a"}\n')
    with pytest.raises(DataError, match=r"x\.jsonl:1: no utterance is named"):
        read_rows(path)
    for line in ("3", "null", "[1]", '"a"'):
        path.write_text(f"{line}\n")
        with pytest.raises(DataError, match=r"x\.jsonl:1: no utterance is named"):
            read_rows(path)
    path.write_bytes(b'{"utt": "\xe4"}\n')
    with pytest.raises(DataError, match=r"x\.jsonl: not lines of JSON, which are UTF-8 text"):
        read_rows(path)
    path.write_text('{"key": "a", "b": 1, "c": true, "d": NaN, "e": "f"}\n')
    assert read_figures(path) == {"a": {"x_b": 1.0}}
    # Such as a recognizer's text may have, and a program may write as it is.
    path.write_text('{"key": "a", "b": 1, "e": "f\u2028g\u0085h"}\r\n{"key": "c"}\n', "utf-8")
    assert [row["utt"] for row in read_rows(path)] == ["a", "c"]
