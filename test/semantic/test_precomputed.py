from pathlib import Path

import kaldiio
import numpy as np
import pytest

from espnet_stacodec.bin.extract_semantic import main
from espnet_stacodec.errors import DataError, LengthError, TokenError
from espnet_stacodec.fileio.files import write_scp
from espnet_stacodec.semantic.precomputed import import_tokens
from espnet_stacodec.semantic.token_files import read_tokens
from espnet_stacodec.semantic.tokenizer_info import TokenizerInfo

# b0 has 25 frames, b1 to b4 have 26 (8000 + i samples).
FRAMES = {f"b{i}": 25 + (i > 0) for i in range(5)}


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "tokenizer.yaml").write_text("name: theirs\nnum_clusters: 20\n")
    write_lines(folder, {utt: list(range(20)) + [3] * (n - 20) for utt, n in FRAMES.items()})
    return folder


def write_lines(folder: Path, tokens: dict[str, list]) -> None:
    lines = {utt: " ".join(str(token) for token in ids) for utt, ids in tokens.items()}
    write_scp(folder / "test", lines)


def test_text_tokens_come_out_as_ours(theirs: Path, dump_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--semantic_tokens", str(theirs), "--dump_dir", str(dump_dir)]
    main([*options, "--sets", "test", "--out_dir", str(out)])
    tokens = read_tokens(out / "theirs_km20" / "test" / "semantic.scp")
    assert {utt: len(ids) for utt, ids in tokens.items()} == FRAMES
    assert tokens["b1"].tolist() == [*range(20), *[3] * 6]
    assert TokenizerInfo.read(out / "theirs_km20") == TokenizerInfo.read(theirs)


def test_ark_tokens_are_aligned_by_one_frame(theirs: Path, dump_dir: Path, tmp_path: Path) -> None:
    (theirs / "test").unlink()
    (theirs / "test").mkdir()
    arrays = {utt: np.arange(25, dtype=np.int32) % 20 for utt in FRAMES}
    kaldiio.save_ark(
        str(theirs / "test" / "x.ark"), arrays, scp=str(theirs / "test" / "semantic.scp")
    )
    import_tokens(theirs, dump_dir, ["test"], tmp_path / "out")
    tokens = read_tokens(tmp_path / "out" / "test" / "semantic.scp")
    assert tokens["b0"].tolist() == arrays["b0"].tolist()
    assert tokens["b1"].tolist() == [*arrays["b1"].tolist(), 4]


@pytest.mark.parametrize(
    ("utt_id", "tokens", "error", "message"),
    [
        ("b2", [1] * 24, LengthError, "b2: 24 semantic tokens for 26 codec frames"),
        ("b2", [20] * 26, TokenError, "b2: token 20 is outside 0 to 19"),
        ("b2", [-1] * 26, TokenError, "b2: token -1 is outside 0 to 19"),
        ("b2", ["x"] * 26, TokenError, "b2 has more than token ids"),
        ("b2", None, DataError, "set test has no tokens for b2"),
    ],
)
def test_unusable_tokens_name_the_utterance(
    theirs: Path,
    dump_dir: Path,
    tmp_path: Path,
    utt_id: str,
    tokens: list | None,
    error: type[Exception],
    message: str,
) -> None:
    lines: dict[str, list] = {utt: [1] * n for utt, n in FRAMES.items()} | {utt_id: tokens or []}
    write_lines(theirs, {utt: ids for utt, ids in lines.items() if ids})
    with pytest.raises(error, match=message):
        import_tokens(theirs, dump_dir, ["test"], tmp_path / "out")
    assert not (tmp_path / "out" / "test" / "semantic.scp").exists()


def test_a_set_without_tokens(theirs: Path, dump_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither train/semantic\.scp nor a text file train"):
        import_tokens(theirs, dump_dir, ["train"], tmp_path / "out")


def test_other_tokens_of_the_same_name(theirs: Path, dump_dir: Path, tmp_path: Path) -> None:
    import_tokens(theirs, dump_dir, ["test"], tmp_path / "out")
    (theirs / "tokenizer.yaml").write_text("name: theirs\nnum_clusters: 20\nversion: 2\n")
    with pytest.raises(TokenError, match="choose another name"):
        import_tokens(theirs, dump_dir, ["test"], tmp_path / "out")
