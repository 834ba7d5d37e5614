"""Any folder of audio: what is found in it, who speaks, and how it is divided."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_stacodec.bin import prepare_folder as command
from espnet_stacodec.data_prep import folder
from espnet_stacodec.data_prep.audio_tree import AudioFile, Found, find_audio
from espnet_stacodec.data_prep.folder import (
    PIECE_SECONDS,
    Piece,
    list_pieces,
    make_ids,
    pieces_of,
    speakers_of,
    split,
)
from espnet_stacodec.data_prep.format_audio import MAX_ID_BYTES, format_set
from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.fileio.data_dir import DataDir

RATE = 8000


def write_tone(path: Path, seconds: float = 1.0, rate: int = RATE, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    soundfile.write(path, tone, rate, **options)


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """Two minutes of six speakers, in formats and trees of all kinds."""
    root = tmp_path / "my audio"
    for speaker in range(6):
        ending = ("wav", "flac", "mp3", "ogg", "aiff", "WAV")[speaker]
        for take in range(2):
            write_tone(root / f"set {speaker % 2}" / f"spk{speaker}" / f"t{take}.{ending}", 10)
    return root


def files(*names: str, seconds: float = 1.0) -> list[AudioFile]:
    return [AudioFile(name, seconds, RATE) for name in names]


def test_audio_of_all_formats_is_found_and_the_rest_is_counted(audio, caplog):
    caplog.set_level("INFO")
    (audio / "notes.txt").write_text("no audio")
    (audio / "set 0" / "page.flac").write_text("<html>")
    (audio / "talk.m4a").write_bytes(b"x")
    (audio / "empty.wav").touch()
    write_tone(audio / ".hidden" / "a.wav")
    write_tone(audio / "._t0.wav")
    write_tone(audio / "two\nlines.wav")
    soundfile.write(audio / "nothing.wav", np.zeros(0), RATE)
    found = find_audio(audio, num_jobs=2)
    assert len(found.files) == 12 and found.others == 1
    assert found.seconds == pytest.approx(120, abs=0.5)
    assert [file.name for file in found.files] == sorted(file.name for file in found.files)
    reasons = {file.name: file.rejection.split(":")[0] for file in found.rejected}
    assert reasons == {
        "empty.wav": "broken",
        "nothing.wav": "broken",
        "set 0/page.flac": "broken",
        "talk.m4a": "format",
        "'two\\nlines.wav'": "name",
    }


def test_names_that_are_not_utf8_are_rejected(audio):
    name = os.fsencode(audio) + b"/\xff.wav"
    try:
        Path(os.fsdecode(name)).write_bytes((audio / "set 0/spk0/t0.wav").read_bytes())
    except OSError:
        pytest.skip("this file system has no such names")
    found = find_audio(audio)
    assert [file.rejection for file in found.rejected] == ["name: it is not UTF-8; rename the file"]


def test_files_that_do_not_say_how_long_they_are_are_rejected(audio, headless_flac):
    headless_flac(audio / "piped.flac")
    found = find_audio(audio)
    assert found.seconds == pytest.approx(120, abs=0.5)
    (rejected,) = found.rejected
    assert rejected.rejection.startswith("length: its header does not say how long it is")


def test_linked_folders_are_read_once(audio):
    (audio / "again").symlink_to(audio)
    (audio.parent / "other" / "x").mkdir(parents=True)
    write_tone(audio.parent / "other" / "x" / "y.wav")
    (audio / "other").symlink_to(audio.parent / "other")
    names = [file.name for file in find_audio(audio).files]
    assert "other/x/y.wav" in names and len(names) == 13


def test_folders_that_cannot_be_read_are_said(audio, monkeypatch):
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("spk4"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)  # root can read all
    found = find_audio(audio)
    assert len(found.files) == 10
    (rejected,) = found.rejected
    assert rejected.name == "set 0/spk4"
    assert rejected.rejection == "folder: it cannot be read (Permission denied)"


def said(root: Path) -> str:
    with pytest.raises(DataError) as error:
        find_audio(root)
    return str(error.value)


def test_folders_without_enough_audio_are_said_in_one_sentence(tmp_path):
    assert said(tmp_path / "gone") == f"{tmp_path / 'gone'}: there is no such folder."
    (tmp_path / "a.txt").touch()
    assert "there are no audio files in it (1 others); their names end in aif, " in said(tmp_path)
    write_tone(tmp_path / "a.wav", 59)
    assert "there are 59 s of audio in it, at least 60 s are needed to train a" in said(tmp_path)
    (tmp_path / "b.m4a").touch()
    assert "codec; 1 files cannot be used, b.m4a: format: .m4a is not read;" in said(tmp_path)
    write_tone(tmp_path / "b.wav", 1)
    assert len(find_audio(tmp_path).files) == 2


TREE = files("a/x.wav", "b/c/y.wav", "b/c/z.wav", "w.wav")


@pytest.mark.parametrize(
    ("rule", "speakers"),
    [
        ("", ["a", "b/c", "b/c", "."]),
        ("folder", ["a", "b/c", "b/c", "."]),
        ("file", ["a/x.wav", "b/c/y.wav", "b/c/z.wav", "w.wav"]),
        (r"([xyz]|w)\.wav", ["x", "y", "z", "w"]),
        (r"^[abw]", ["a", "b", "b", "w"]),
    ],
)
def test_who_speaks(rule, speakers):
    assert list(speakers_of(TREE, rule).values()) == speakers


def test_files_in_one_folder_are_speakers_of_their_own():
    assert speakers_of(files("d/a.wav", "d/b.wav"), "") == {
        "d/a.wav": "d/a.wav",
        "d/b.wav": "d/b.wav",
    }


@pytest.mark.parametrize("folder", ["", "s/"])
def test_a_file_that_is_called_as_a_piece_of_another_is_kept(folder):
    long = AudioFile(f"{folder}a.wav", 50.0, RATE)
    found = Found(Path("/in"), [*files(f"{folder}a-00001.wav", "t/b.wav"), long], [], 0)
    pieces = pieces_of(found, speakers_of(found.files, ""))
    assert len({piece.utt_id for piece in pieces}) == len(pieces) == 5
    listed = list_pieces(found.folder, pieces)
    assert len(listed.segments) == len(listed.utt2spk) == 5


def test_expressions_that_find_no_speaker():
    with pytest.raises(
        DataError, match=r"'\^\(a\|b\)/' finds no speaker in 1 of 4 names .*: w.wav"
    ):
        speakers_of(TREE, "^(a|b)/")
    with pytest.raises(DataError, match="finds no speaker in 4 of 4"):
        speakers_of(TREE, "(q?)")  # matches, but with nothing
    with pytest.raises(
        ConfigError, match=r"--speakers '\(' is neither folder nor file nor a regular"
    ):
        speakers_of(TREE, "(")


def test_ids_are_different_short_and_readable():
    names = ["a b.c", "a/b.c", "ü/x", "x" * 300, "x" * 299 + "y", "//", "a'b\"c"]
    ids = make_ids({name: name for name in names})
    assert len(set(ids.values())) == len(names)
    assert ids["ü/x"] == "ü-x" and ids["a'b\"c"] == "a-b-c" and ids["//"] == "x"
    assert ids["a b.c"].startswith("a-b.c-") and ids["a/b.c"].startswith("a-b.c-")
    for utt_id in ids.values():
        assert not set(utt_id) & set(" /'\"\n") and len(utt_id.encode()) <= MAX_ID_BYTES - 12
    # Further names change no id, but for those that become ambiguous.
    assert make_ids({"ü/x": "ü/x"}) == {"ü/x": "ü-x"}


def made_pieces(rule: str, *listed: AudioFile) -> list[Piece]:
    return pieces_of(Found(Path("/top"), listed, [], 0), speakers_of(listed, rule))


def test_utterances_begin_with_their_speaker():
    ids = [(piece.utt_id, piece.speaker) for piece in made_pieces("", *TREE)]
    assert ids == [("a-x", "a"), ("b-c-y", "b-c"), ("b-c-z", "b-c"), ("top-w", "top")]
    (piece,) = made_pieces(r"_(p\d+)", *files("d/take_p7.wav"))
    assert (piece.utt_id, piece.speaker) == ("p7-d-take_p7", "p7")
    ids = [(piece.utt_id, piece.speaker) for piece in made_pieces("file", *TREE[:2])]
    assert ids == [("a-x", "a-x"), ("b-c-y", "b-c-y")]


def test_two_endings_of_one_name_are_two_utterances():
    ids = {piece.utt_id for piece in made_pieces("file", *files("a.wav", "a.flac"))}
    assert len(ids) == 2 and all(utt_id.startswith("a-") for utt_id in ids)


def test_long_files_are_cut_into_equal_pieces():
    pieces = made_pieces("file", AudioFile("a.wav", 2.5 * PIECE_SECONDS, RATE), *files("b.wav"))
    assert [piece.utt_id for piece in pieces] == ["a-00001", "a-00002", "a-00003", "b"]
    third = 2.5 * PIECE_SECONDS / 3
    starts = [piece.start for piece in pieces]
    assert starts == pytest.approx([0, third, 2 * third, 0], abs=1e-3)
    assert [piece.end for piece in pieces] == [*starts[1:3], None, None]
    assert sum(piece.seconds for piece in pieces) == pytest.approx(2.5 * PIECE_SECONDS + 1)


def many(speakers: int, each: int = 3) -> list[Piece]:
    names = [f"s{speaker}/{take}.wav" for speaker in range(speakers) for take in range(each)]
    return made_pieces("folder", *files(*names))


def dev_speakers(pieces: list[Piece], share: float) -> set[str]:
    train, dev = split(pieces, share)
    assert train and dev and sorted([*train, *dev], key=pieces.index) == pieces
    speakers = {piece.speaker for piece in dev}
    assert not speakers & {piece.speaker for piece in train}
    return speakers


@pytest.mark.parametrize(
    ("speakers", "share", "chosen"), [(100, 0.05, 5), (40, 0.1, 4), (2, 0.5, 1)]
)
def test_speakers_are_not_divided(speakers, share, chosen):
    assert len(dev_speakers(many(speakers), share)) == chosen


def test_the_split_is_the_same_each_time_and_further_speakers_change_little():
    first = dev_speakers(many(60), 0.1)
    assert dev_speakers(many(60)[::-1], 0.1) == first
    assert len(first & dev_speakers(many(66), 0.1)) >= len(first) - 2


def test_where_nothing_fits_the_shortest_is_taken():
    long, short = AudioFile("a/a.wav", 9.0, RATE), AudioFile("b/b.wav", 8.0, RATE)
    assert dev_speakers(made_pieces("folder", long, short), 0.05) == {"b"}


def test_one_speaker_is_divided_by_file_and_one_file_by_piece(caplog):
    train, dev = split(made_pieces("folder", *files(*(f"{n}.wav" for n in range(40)))), 0.05)
    assert (len(train), len(dev)) == (38, 2)
    assert "There is only one speaker, top: the development set is of the same voice" in caplog.text
    train, dev = split(made_pieces("file", AudioFile("a.wav", 20 * PIECE_SECONDS, RATE)), 0.1)
    assert (len(train), len(dev)) == (18, 2)
    assert "(split by piece)" in caplog.text


@pytest.mark.parametrize("share", [0, -0.1, 0.51, float("nan")])
def test_shares_that_are_impossible(share):
    with pytest.raises(ConfigError, match=r"--dev_share .* is not above 0 and at most 0\.5"):
        split(many(3), share)


def test_the_command_writes_sets_that_stage_2_reads(audio, tmp_path, caplog):
    caplog.set_level("INFO")
    write_tone(audio / "set 1" / "spk9" / "long.mp3", 2.2 * PIECE_SECONDS, 16000)
    options = ["--audio_dir", str(audio), "--out_dir", str(tmp_path / "data"), "--dev_share", "0.2"]
    command.main(options)
    assert f"{audio}: 13 audio files, 0.05 h, 7 speakers; 8000 Hz: 12, 16000 Hz: 1;" in caplog.text
    assert (
        "12 files have less than 16000 Hz: after resampling there is nothing above" in caplog.text
    )
    assert (tmp_path / "data" / folder.REJECTED_NAME).read_text() == ""
    sets = {name: DataDir.read(tmp_path / "data" / name) for name in ("train", "dev")}
    assert not set(sets["train"].utt2spk.values()) & set(sets["dev"].utt2spk.values())
    kept: dict[str, float] = {}
    for name, data in sets.items():
        assert not data.text
        made = format_set(tmp_path / "data" / name, tmp_path / "raw" / name)
        kept |= {utt: soundfile.info(path).duration for utt, path in made.wav.items()}
    assert len(kept) == 12 + 3
    assert sum(kept.values()) == pytest.approx(120 + 2.2 * PIECE_SECONDS, abs=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--audio_dir is not given: say where the audio files are."),
        (["--dev_share", "0.9"], "--dev_share 0.9 is not above 0"),
        (["--speakers", "("], "is neither folder nor file nor a regular expression"),
        (["--train_set", "dev"], "--train_set and --valid_set are both 'dev'"),
    ],
)
def test_the_command_ends_in_one_sentence(audio, tmp_path, options, message, monkeypatch):
    monkeypatch.setattr(folder, "find_audio", None)  # not called: that could take minutes
    more = ["--audio_dir", str(audio) if options else "", "--out_dir", str(tmp_path / "data")]
    with pytest.raises(SystemExit) as end:
        command.main([*more, *options])
    assert message in str(end.value.code)
    assert not (tmp_path / "data" / "train").exists()
