"""Inputs and targets of the ASR and SLU recipes."""

import logging
import os
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from safetensors.numpy import save_file

from espnet_stacodec.downstream.code_bpe import as_characters
from espnet_stacodec.downstream.code_dir_info import VECTORS_NAME, CodesInfo
from espnet_stacodec.downstream.code_dirs import flatten_codes, unflatten_codes
from espnet_stacodec.downstream.inputs import (
    deduplicate,
    parse_codebooks,
    prepare_audio,
    prepare_inputs,
)
from espnet_stacodec.downstream.targets import TARGETS
from espnet_stacodec.errors import ConfigError, DataError, StageError
from espnet_stacodec.fileio.arks import write_arks
from espnet_stacodec.fileio.files import read_scp, write_scp

SIZES = [4, 3, 5]
# Entry c of codebook q is (q, c, q).
BOOKS = {
    str(q): np.array([[q, c, q] for c in range(size)], np.float32)
    for q, size in enumerate(SIZES, 1)
}
TEXT = {"train": "LIGHTS ON", "test": "MUSIC OFF"}


@pytest.fixture
def codes_dir(tmp_path):
    """Codes of three codebooks, made in one folder and read from another."""
    rng = np.random.default_rng(0)
    here = Path.cwd()
    (tmp_path / "codec1").mkdir()
    os.chdir(tmp_path / "codec1")
    folder = tmp_path / "codec1" / "codes"
    for part, text in TEXT.items():
        utts = {f"{part}{number}": number for number in range(3)}

        def compute(ids):
            return [flatten_codes(rng.integers(3, size=(3, 7)), SIZES) for _ in ids]

        write_arks(
            (folder / part / "codes.scp").relative_to(tmp_path / "codec1"), utts, "", compute
        )
        write_scp(folder / part / "text", dict.fromkeys(utts, text))
        write_scp(folder / part / "utt2spk", dict.fromkeys(utts, "s"))
        write_scp(folder / part / "intent", dict.fromkeys(utts, text.split()[0].lower()))
    save_file(BOOKS, folder / VECTORS_NAME)
    CodesInfo(SIZES, 50.0, "abc", [1, 2, 3]).write(folder)
    os.chdir(here)
    return folder


@pytest.mark.parametrize(
    ("spec", "chosen"), [("1", [1]), ("1-3", [1, 2, 3]), ("3,1-2", [3, 1, 2]), ("2-2", [2])]
)
def test_codebooks_by_name(spec, chosen):
    assert parse_codebooks(spec, 3) == chosen


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("9", "codebooks '9': these codes have codebooks 1-8; codebook 9 is not one of them"),
        ("0-1", "codebook 0 is not one of them"),
        ("1-2,2", "each is named once, and ranges go up"),
        ("3-2", "each is named once, and ranges go up"),
        ("1,3-2", "each is named once, and ranges go up"),
        ("one", "'one' is not a list such as 1, 1-8 or 1,3-4"),
        ("1-", "is not a list"),
    ],
)
def test_codebooks_that_are_not_there(spec, message):
    with pytest.raises(ConfigError, match=message):
        parse_codebooks(spec, 8)


def test_chosen_codebooks_are_those_of_the_codec(codes_dir, tmp_path):
    out = tmp_path / "dump"
    prepare_inputs(codes_dir, ["train", "test"], "1,3", "intent_words", out)
    info = CodesInfo.read(out)
    assert info.codebook_sizes == [4, 5] and info.codebooks == [1, 3]
    assert info.codec_fingerprint == "abc"
    tokens = (out / "src_tokens.txt").read_text().split()
    assert len(tokens) == 2 + 9 + 1 and tokens[2:7] == [
        "<q0_0>",
        "<q0_1>",
        "<q0_2>",
        "<q0_3>",
        "<q2_0>",
    ]
    for utt, place in read_scp(out / "train" / "codes.scp").items():
        whole = kaldiio.load_mat(
            str(codes_dir / "train" / "codes.1.ark") + ":" + utt_offset(codes_dir, utt)
        )
        chosen = unflatten_codes(kaldiio.load_mat(place), [4, 5])
        np.testing.assert_array_equal(chosen, unflatten_codes(whole, SIZES)[[0, 2]])
    assert read_scp(out / "train" / "text")["train0"] == "lights LIGHTS ON"
    assert read_scp(out / "test" / "intent")["test2"] == "music"


def test_units_of_several_codes_say_the_same_codes(codes_dir, tmp_path):
    alone, units = tmp_path / "alone", tmp_path / "units"
    prepare_inputs(codes_dir, ["train", "test"], "1", "words", alone)
    prepare_inputs(codes_dir, ["train", "test"], "1", "words", units, num_units=12)
    tokens = (units / "src_tokens.txt").read_text().split()
    assert not (units / "vectors.npy").exists()  # a BPE over codes has no entries
    for part in ("train", "test"):
        for utt, place in read_scp(alone / part / "codes.scp").items():
            codes = unflatten_codes(kaldiio.load_mat(place), SIZES[:1])[0]
            ids = kaldiio.load_mat(read_scp(units / part / "codes.scp")[utt])
            assert "".join(tokens[i] for i in ids) == as_characters(codes)


def test_units_of_another_training_set_are_others(codes_dir, tmp_path):
    out = tmp_path / "dump"
    for first, second in (("train", "test"), ("test", "train")):
        prepare_inputs(codes_dir, [first, second], "1", "words", out, num_units=12)
        again = tmp_path / first
        prepare_inputs(codes_dir, [first, second], "1", "words", again, num_units=12)
        for part in ("train", "test"):
            places = read_scp(again / part / "codes.scp")
            for utt, place in read_scp(out / part / "codes.scp").items():
                assert np.array_equal(kaldiio.load_mat(place), kaldiio.load_mat(places[utt]))


def test_units_are_of_one_codebook(codes_dir, tmp_path):
    with pytest.raises(ConfigError, match="src_nbpe -1 is negative"):
        prepare_inputs(codes_dir, ["train"], "1", "words", tmp_path / "dump", num_units=-1)
    with pytest.raises(
        ConfigError, match="src_nbpe learns a BPE over one codebook, not over '1,3'"
    ):
        prepare_inputs(codes_dir, ["train"], "1,3", "words", tmp_path / "dump", num_units=12)


def utt_offset(codes_dir, utt):
    return read_scp(codes_dir / "train" / "codes.scp")[utt].rsplit(":", 1)[1]


@pytest.mark.parametrize(
    ("target", "text"),
    [("words", "LIGHTS ON"), ("intent", "lights_on"), ("scenario", "lights")],
)
def test_what_is_to_be_said(codes_dir, tmp_path, target, text):
    utts = read_scp(codes_dir / "train" / "intent")
    write_scp(codes_dir / "train" / "intent", dict.fromkeys(utts, "lights_on"))
    prepare_inputs(codes_dir, ["train"], "1", target, tmp_path / "dump")
    assert set(read_scp(tmp_path / "dump" / "train" / "text").values()) == {text}


def test_an_intent_without_words_is_not_what_is_to_be_said():
    texts = {name: target.text("", "lights_on") for name, target in TARGETS.items()}
    assert texts == {"words": "", "intent_words": "", "intent": "lights_on", "scenario": "lights"}


def test_intents_that_are_not_in_training_are_counted(codes_dir, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        prepare_inputs(codes_dir, ["train", "test"], "1", "intent", tmp_path / "dump")
    assert "test: 3 utterances have intents that are not in training" in caplog.text
    assert caplog.text.rstrip().endswith("music")


@pytest.mark.parametrize("lacking", ["text", "codes.scp"])
def test_too_many_utterances_without_something(codes_dir, tmp_path, lacking):
    path = codes_dir / "test" / lacking
    entries = read_scp(path)
    write_scp(path, {utt: value for utt, value in entries.items() if utt != "test1"})
    if lacking == "text":
        write_scp(codes_dir / "test" / "intent", {"test0": "a", "test2": "a"})
    with pytest.raises(DataError, match=r"1 of 3 utterances have no \w+ \(test1\); at most 1%"):
        prepare_inputs(codes_dir, ["test"], "1", "words", tmp_path / "dump")
    assert not (tmp_path / "dump" / "test" / "codes.scp").exists()


@pytest.mark.parametrize(
    ("gone", "target", "needed"),
    [
        ("text", "words", "it lacks text; a codec needs none, but this target does"),
        ("text", "intent_words", "it lacks text and intent;"),
        ("intent", "scenario", "it lacks intent;"),
    ],
)
def test_sets_without_labels_are_said_to_have_none(codes_dir, tmp_path, gone, target, needed):
    (codes_dir / "train" / gone).unlink()
    with pytest.raises(DataError, match=f"codes/train: there is nothing to recognize .*{needed}"):
        prepare_inputs(codes_dir, ["train"], "1", target, tmp_path / "out")


def test_intents_need_no_transcripts(codes_dir, tmp_path):
    (codes_dir / "train" / "text").unlink()
    prepare_inputs(codes_dir, ["train"], "1", "intent", tmp_path / "out")
    assert set(read_scp(tmp_path / "out" / "train" / "text").values()) == {"lights"}


def test_few_utterances_without_text_are_left_out(codes_dir, tmp_path, monkeypatch, caplog):
    from espnet_stacodec.downstream import inputs

    monkeypatch.setattr(inputs, "TOLERATED_SHARE", 0.5)
    write_scp(codes_dir / "test" / "text", {"test0": "A", "test2": "B"})
    prepare_inputs(codes_dir, ["test"], "1", "words", tmp_path / "dump")
    assert list(read_scp(tmp_path / "dump" / "test" / "codes.scp")) == ["test0", "test2"]
    assert "1 of 3 utterances have no text (test1) and are left out" in caplog.text


def test_stages_that_were_not_run(codes_dir, tmp_path):
    with pytest.raises(StageError, match="codes.json: not there; run stage 7"):
        prepare_inputs(tmp_path, ["train"], "1", "words", tmp_path / "dump")
    with pytest.raises(StageError, match=r"dev/codes.scp: not there; run stage 7"):
        prepare_inputs(codes_dir, ["dev"], "1", "words", tmp_path / "dump")


@pytest.mark.parametrize(
    ("codes", "merged"),
    [
        ([[1, 1, 2, 2, 2, 1]], [[1, 2, 1]]),
        ([[3]], [[3]]),
        # A frame repeats another only if all its codes do.
        ([[1, 1, 1, 2, 2], [4, 4, 5, 5, 5]], [[1, 1, 2], [4, 5, 5]]),
    ],
)
def test_runs_by_hand(codes, merged):
    assert deduplicate(np.array(codes)).tolist() == merged


def test_no_deduplicated_frame_repeats_the_one_before(codes_dir, tmp_path):
    parts = {}
    for deduplicated in (False, True):
        out = tmp_path / f"dump_{deduplicated}"
        prepare_inputs(codes_dir, ["train"], "1-2", "words", out, deduplicated)
        places = read_scp(out / "train" / "codes.scp")
        parts[deduplicated] = [
            unflatten_codes(kaldiio.load_mat(p), SIZES[:2]) for p in places.values()
        ]
    for whole, merged in zip(parts[False], parts[True], strict=True):
        np.testing.assert_array_equal(deduplicate(whole), merged)
        assert (merged[:, 1:] != merged[:, :-1]).any(axis=0).all()
    assert sum(m.shape[1] for m in parts[True]) < sum(w.shape[1] for w in parts[False])


def test_merging_makes_the_inputs_anew(codes_dir, tmp_path):
    def make(deduplicated):
        prepare_inputs(codes_dir, ["train"], "1", "words", tmp_path / "dump", deduplicated)
        place = read_scp(tmp_path / "dump" / "train" / "codes.scp")["train0"]
        return kaldiio.load_mat(place).tolist()

    whole = make(False)
    assert make(True) != whole and make(False) == whole


@pytest.mark.parametrize("codebooks", ["1-3", "3,1", "2"])
def test_vectors_are_the_entries_of_the_source_tokens(codes_dir, tmp_path, codebooks):
    out = tmp_path / "dump"
    prepare_inputs(codes_dir, ["train"], codebooks, "words", out)
    vectors = np.load(out / "vectors.npy")
    tokens = (out / "src_tokens.txt").read_text().split()
    assert vectors.dtype == np.float32 and len(vectors) == len(tokens)
    for token, vector in zip(tokens, vectors, strict=True):
        if token in ("<blank>", "<unk>", "<sos/eos>"):
            assert not vector.any()
        else:
            book, code = (int(number) for number in token.strip("<q>").split("_"))
            np.testing.assert_array_equal(vector, BOOKS[str(book + 1)][code])


def test_the_vectors_of_flat_codes_are_their_entries(codes_dir, tmp_path):
    prepare_inputs(codes_dir, ["train"], "3,1", "words", tmp_path / "dump")
    flat = kaldiio.load_mat(read_scp(tmp_path / "dump" / "train" / "codes.scp")["train0"])
    vectors = np.load(tmp_path / "dump" / "vectors.npy")[flat].reshape(-1, 2, 3)
    codes = unflatten_codes(flat, [5, 4])
    np.testing.assert_array_equal(vectors[:, 0], BOOKS["3"][codes[0]])
    np.testing.assert_array_equal(vectors[:, 1], BOOKS["1"][codes[1]])


def test_codecs_whose_entries_are_not_known_have_no_vectors(codes_dir, tmp_path):
    (codes_dir / VECTORS_NAME).unlink()
    prepare_inputs(codes_dir, ["train"], "1-2", "words", tmp_path / "dump")
    assert not (tmp_path / "dump" / "vectors.npy").exists()
    assert len((tmp_path / "dump" / "src_tokens.txt").read_text().split()) == 2 + 7 + 1


@pytest.fixture
def dump_dir(tmp_path):
    """Audio of a codec's recipe, whose lists are relative to its folder."""
    for part, text in TEXT.items():
        folder = tmp_path / "codec1" / "dump" / "raw" / part
        utts = [f"{part}{number}" for number in range(3)]
        write_scp(folder / "wav.scp", {utt: f"dump/raw/{part}/{utt}.flac" for utt in utts})
        write_scp(folder / "text", dict.fromkeys(utts, text))
        write_scp(folder / "utt2spk", dict.fromkeys(utts, "s"))
        write_scp(folder / "intent", dict.fromkeys(utts, text.split()[0].lower()))
        for utt in utts:
            (folder / f"{utt}.flac").touch()
    return tmp_path / "codec1" / "dump" / "raw"


def test_audio_is_found_from_another_folder(dump_dir, tmp_path, monkeypatch):
    (tmp_path / "slu1").mkdir()
    monkeypatch.chdir(tmp_path / "slu1")
    raw = Path("../codec1/dump/raw")
    prepare_audio(raw, ["train", "test"], "intent_words", Path("dump"))
    for part in TEXT:
        for utt, place in read_scp(Path("dump") / part / "wav.scp").items():
            assert Path(place) == dump_dir / part / f"{utt}.flac" and Path(place).exists()
    assert read_scp("dump/test/text")["test1"] == "music MUSIC OFF"
    assert read_scp("dump/train/utt2spk")["train1"] == "s"


def test_absolute_paths_of_audio_are_kept(dump_dir, tmp_path):
    paths = {f"test{n}": tmp_path / "audio" / f"{n}.wav" for n in range(3)}
    (tmp_path / "audio").mkdir()
    for path in paths.values():
        path.write_bytes(b"any")
    write_scp(dump_dir / "test" / "wav.scp", paths)
    prepare_audio(dump_dir, ["test"], "words", tmp_path / "out")
    assert read_scp(tmp_path / "out" / "test" / "wav.scp")["test2"] == str(paths["test2"])


def test_audio_that_is_not_there_or_lacks_its_text(dump_dir, tmp_path):
    with pytest.raises(StageError, match=r"dev/wav.scp: not there; run stages 1 and 2"):
        prepare_audio(dump_dir, ["dev"], "words", tmp_path / "out")
    write_scp(dump_dir / "test" / "text", {"test0": "A", "test1": "A"})
    with pytest.raises(DataError, match=r"1 of 3 utterances have no text \(test2\)"):
        prepare_audio(dump_dir, ["test"], "words", tmp_path / "out")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"codebook_sizes": [4], "books": 1}'])
def test_a_file_that_does_not_describe_codes(codes_dir, tmp_path, content):
    (codes_dir / "codes.json").write_text(content)
    with pytest.raises(DataError, match=r"codes.json: does not describe codes \(.*make it again"):
        prepare_inputs(codes_dir, ["train"], "1", "words", tmp_path / "dump")
