"""What ESPnet's own asr2.sh and slu.sh read, as their scripts say it.

The scripts are ESPnet's and are not here; what they read is said with each test.
"""

from pathlib import Path

import kaldiio
import numpy as np
import pytest
from safetensors.numpy import save_file

from espnet_stacodec.bin import export_espnet
from espnet_stacodec.downstream.code_dir_info import VECTORS_NAME, CodesInfo
from espnet_stacodec.downstream.code_dirs import flatten_codes
from espnet_stacodec.downstream.espnet_dumps import export_asr2, export_slu1
from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.arks import write_arks
from espnet_stacodec.fileio.files import read_scp, write_scp

SIZES = [4, 3]
CODES = {  # the second frame repeats the first, the fourth does in its first codebook
    "b-2": np.array([[1, 1, 3, 3, 0], [2, 2, 0, 1, 1]]),
    "a-10": np.array([[0, 0], [1, 1]]),
    "a-9": np.array([[2, 3, 2], [0, 0, 0]]),
}
BOOKS = {
    str(q): np.array([[q, c, 10 * c] for c in range(size)], np.float32)
    for q, size in enumerate(SIZES, 1)
}
SETS = ["train", "dev", "test"]
NAME = "codec_x_q"


@pytest.fixture
def codes_dir(tmp_path):
    folder = tmp_path / "codec1" / "exp" / "codec_x" / "codes"
    utts = dict.fromkeys(sorted(CODES, key=str.encode))
    for part in SETS:
        write_arks(
            folder / part / "codes.scp",
            utts,
            "",
            lambda ids: [flatten_codes(CODES[utt], SIZES) for utt in ids],
        )
        write_scp(folder / part / "text", dict.fromkeys(utts, "LIGHTS ON"))
        write_scp(folder / part / "utt2spk", {utt: utt[0] for utt in utts})
        write_scp(folder / part / "intent", dict.fromkeys(utts, "lights_on"))
    save_file(BOOKS, folder / VECTORS_NAME)
    CodesInfo(SIZES, 50.0, "abc", [1, 2]).write(folder)
    return folder


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def keys(path):
    return [line.split(" ")[0] for line in lines(path)]


def test_asr2_reads_one_codebook_as_characters(codes_dir, tmp_path):
    # Its stage 5 writes cluster n as chr(0x4e00 + n), without blanks: what its stage 7 learns
    # sentencepiece units from.
    options = export_asr2(codes_dir, SETS, tmp_path / "dump")
    raw = tmp_path / "dump" / "raw"
    assert {path.name for path in (raw / "dev").iterdir()} == {
        f"text.rm.{NAME}1", "text.ts.en", "utt2spk", "spk2utt", "feats_type",
    }  # fmt: skip
    assert lines(raw / "train" / f"text.rm.{NAME}1") == ["a-10 一", "a-9 丂七丂", "b-2 丁七一"]
    assert lines(raw / "train" / "text.ts.en")[0] == "a-10 LIGHTS ON"
    assert lines(raw / "dev" / "feats_type") == ["raw"]
    assert options[options.index("--src_lang") + 1] == f"{NAME}1"
    assert options[options.index("--src_case") + 1] == "rm"
    assert options[options.index("--src_nbpe") + 1] == str(3 * len("一丁丂七"))


def test_repeated_codes_are_kept_where_asked_for(codes_dir, tmp_path):
    options = export_asr2(codes_dir, SETS, tmp_path / "dump", deduplicated=False)
    text = lines(tmp_path / "dump" / "raw" / "test" / f"text.ts.{NAME}1")
    assert text == ["a-10 一一", "a-9 丂七丂", "b-2 丁丁七七一"]
    assert options[options.index("--src_case") + 1] == "ts"


def test_asr2_reads_several_codebooks_as_those_of_a_codec(codes_dir, tmp_path):
    # Its stage 7 puts <blank> and <unk> before codec_token_list of the validation set, <sos/eos>
    # after it; the arks hold positions in that list, codebook by codebook of each frame.
    options = export_asr2(codes_dir, SETS, tmp_path / "dump", codebooks="1-2")
    folder = tmp_path / "dump" / "raw" / "dev"
    tokens = lines(folder / "token_lists" / "codec_token_list")
    assert tokens == ["<q0_0>", "<q0_1>", "<q0_2>", "<q0_3>", "<q1_0>", "<q1_1>", "<q1_2>"]
    tokens = ["<blank>", "<unk>", *tokens, "<sos/eos>"]
    place = read_scp(folder / f"text.rm.{NAME}1-2")["b-2"]
    flat = kaldiio.load_mat(place)
    assert flat.dtype == np.int32
    assert [tokens[code] for code in flat] == [
        "<q0_1>", "<q1_2>", "<q0_3>", "<q1_0>", "<q0_3>", "<q1_1>", "<q0_0>", "<q1_1>",
    ]  # fmt: skip
    assert "--tokenization_choice codec --src_token_type null" in " ".join(options)
    assert "token_per_frame=2" in options[-1] and "patch_size=2" in options[-1]


def test_lm_train_of_asr2_says_which_text_it_is(codes_dir, tmp_path):
    # Its stage 6 puts what follows "text" in the file's name after each utterance id.
    export_asr2(codes_dir, SETS, tmp_path / "dump")
    lm_train = lines(tmp_path / "dump" / "raw" / "lm_train.txt")
    assert lm_train[0] == "a-10.ts.en LIGHTS ON" and len(lm_train) == len(CODES)


def test_slu_reads_dequantized_features(codes_dir, tmp_path):
    # From stage 5 on: <dumpdir>/<feats_type>/<set>/{feats.scp,feats_dim,feats_type,text} and
    # utt2spk; transcript and lm_train_transcript.txt with --use_transcript true.
    options = export_slu1(codes_dir, SETS, tmp_path / "dump", codebooks="1-2")
    root = tmp_path / "dump" / "extracted"
    folder = root / "test"
    assert {path.name for path in folder.iterdir()} == {
        "feats.scp", "feats_dim", "feats_shape", "feats_type", "text", "transcript", "utt2spk",
        "spk2utt",
    }  # fmt: skip
    assert lines(folder / "feats_type") == ["extracted"] and lines(folder / "feats_dim") == ["3"]
    assert lines(folder / "feats_shape") == ["a-10 2,3", "a-9 3,3", "b-2 5,3"]
    for utt, place in read_scp(folder / "feats.scp").items():
        features = kaldiio.load_mat(place)
        first, second = CODES[utt]
        assert features.dtype == np.float32
        np.testing.assert_array_equal(features, BOOKS["1"][first] + BOOKS["2"][second])
    assert lines(folder / "text")[0] == "a-10 lights_on LIGHTS ON"
    assert lines(folder / "transcript")[0] == "a-10 LIGHTS ON"
    assert lines(root / "lm_train.txt") == lines(root / "train" / "text")
    assert lines(root / "lm_train_transcript.txt") == lines(root / "train" / "transcript")
    assert options[options.index("--feats_type") + 1] == "extracted"


@pytest.mark.parametrize(("export", "kind"), [(export_asr2, "raw"), (export_slu1, "extracted")])
def test_lists_are_sorted_alike_and_can_be_read_from_any_folder(
    codes_dir, tmp_path, monkeypatch, export, kind
):
    # Scores paste texts and utt2spk line by line; names are as `LC_ALL=C sort` has them.
    monkeypatch.chdir(tmp_path)
    export(codes_dir.relative_to(tmp_path), SETS, Path("dump"), "1-2")
    folder = tmp_path / "dump" / kind / "train"
    for path in folder.iterdir():
        if path.is_file() and path.name not in ("feats_type", "feats_dim", "spk2utt"):
            assert keys(path) == ["a-10", "a-9", "b-2"], path
            for entry in read_scp(path).values():
                assert ".ark" not in entry or entry.startswith("/")
    assert lines(folder / "spk2utt") == ["a a-10 a-9", "b b-2"]


def test_dumps_of_other_codes_are_not_overwritten(codes_dir, tmp_path):
    # Trained models read them again when they decode.
    export_asr2(codes_dir, SETS, tmp_path / "dump", codebooks="1-2")
    scp = tmp_path / "dump" / "raw" / "test" / f"text.rm.{NAME}1-2"
    before = {utt: kaldiio.load_mat(place).tolist() for utt, place in read_scp(scp).items()}
    export_asr2(codes_dir, SETS, tmp_path / "dump", codebooks="1-2", deduplicated=False)
    export_asr2(codes_dir, SETS, tmp_path / "dump", codebooks="2,1")
    assert before == {utt: kaldiio.load_mat(place).tolist() for utt, place in read_scp(scp).items()}


def test_slu_needs_transcripts(codes_dir, tmp_path):
    (codes_dir / "train" / "text").unlink()
    with pytest.raises(
        DataError, match=r"codes/train: there are no transcripts \(text\), which slu1"
    ):
        export_slu1(codes_dir, SETS, tmp_path / "dump", target="intent")


def test_features_need_entries(codes_dir, tmp_path):
    (codes_dir / VECTORS_NAME).unlink()
    with pytest.raises(DataError, match="entries of these codebooks are not known"):
        export_slu1(codes_dir, SETS, tmp_path / "dump")


def test_plain_tokens_are_named_by_their_folder(codes_dir, tmp_path):
    tokens = tmp_path / "dump" / "codes" / "mfcc_l0_km4"
    tokens.parent.mkdir(parents=True)
    codes_dir.rename(tokens)
    assert "mfcc_l0_km4_q1" in export_asr2(tokens, SETS, tmp_path / "out")


def test_the_command_prints_how_to_go_on(codes_dir, tmp_path, capsys):
    dump = tmp_path / "dump"
    sets = ["--train_set", "train", "--valid_set", "dev", "--test_sets", "test", "dev"]
    for recipe in ("asr2", "slu1"):
        options = ["--codes_dir", str(codes_dir), "--dumpdir", str(dump), *sets]
        export_espnet.main(["--recipe", recipe, "--no-deduplicate", *options])
    asr2, slu1 = capsys.readouterr().out.splitlines()
    assert asr2 == (
        f"./asr2.sh --stage 7 --stop_stage 15 --src_lang {NAME}1 --src_case ts --src_token_type bpe"
        f" --src_nbpe 12 --dumpdir {dump} --train_set train --valid_set dev --test_sets 'test dev'"
    )
    assert slu1 == (
        f"./slu.sh --stage 5 --feats_type extracted --expdir exp/{NAME}1_ts_intent_words"
        f" --dumpdir {dump} --train_set train --valid_set dev --test_sets 'test dev'"
    )


def test_the_command_ends_in_one_sentence(tmp_path):
    sets = ["--train_set", "a", "--valid_set", "b", "--test_sets", "c"]
    with pytest.raises(SystemExit, match=r"codes.json: not there; run stage 7"):
        export_espnet.main(["--recipe", "asr2", "--codes_dir", str(tmp_path), *sets])
