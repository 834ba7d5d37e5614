"""Tokens that another tokenizer made: checked, and brought to the layout of ours."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from typeguard import typechecked

from espnet_stacodec.errors import DataError, TokenError
from espnet_stacodec.fileio.files import read_scp
from espnet_stacodec.fileio.provenance import Provenance
from espnet_stacodec.frames import align_tokens
from espnet_stacodec.semantic.token_files import (
    SCP_NAME,
    TokenReader,
    Utterance,
    check_tokens,
    read_utterances,
    write_tokens,
)
from espnet_stacodec.semantic.tokenizer_info import INFO_NAME, TokenizerInfo


class _TextTokens(Mapping[str, np.ndarray]):
    """Tokens of a text file, one `<utterance id> <id> <id> ...` a line."""

    def __init__(self, path: Path, num_clusters: int) -> None:
        self._path = path
        self._lines = read_scp(path)
        self._num_clusters = num_clusters

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, utt_id: str) -> np.ndarray:
        try:
            tokens = np.array([int(word) for word in self._lines[utt_id].split()])
        except ValueError as error:
            raise TokenError(
                f"{self._path}: {utt_id} has more than token ids ({error})."
            ) from error
        return check_tokens(utt_id, tokens, self._num_clusters)

    def identify(self) -> dict[str, str]:
        """Return what tells the tokens of each utterance from others: they themselves."""
        return self._lines

    def places(self) -> dict[str, str]:
        """Return where the tokens are, by utterance."""
        return dict.fromkeys(self._lines, str(self._path))


def _open_set(tokens_dir: Path, name: str, num_clusters: int) -> _TextTokens | TokenReader:
    """Return the tokens of a set, from <set>/semantic.scp or the text file <set>."""
    path = tokens_dir / name
    if path.is_file():
        return _TextTokens(path, num_clusters)
    if (path / SCP_NAME).is_file():
        return TokenReader(path / SCP_NAME, num_clusters)
    raise DataError(f"{tokens_dir}: neither {name}/{SCP_NAME} nor a text file {name} is there.")


@typechecked
def import_tokens(
    tokens_dir: Path | str, dump_dir: Path | str, sets: Sequence[str], out_dir: Path | str
) -> TokenizerInfo:
    """Use the tokens in `tokens_dir` for the sets of `dump_dir`.

    Args:
        tokens_dir: tokenizer.yaml (num_clusters, and name or upstream) and, for each set,
            <set>/semantic.scp or a text file <set> with `<utterance id> <id> <id> ...` lines.
        dump_dir: Holds <set>/{wav.scp,utt2num_samples}.
        sets: Names of the sets.
        out_dir: Gets tokenizer.yaml and <set>/{semantic.scp,semantic.<N>.ark}.

    Raises:
        DataError: If a set or an utterance has no tokens.
        LengthError: If an utterance has another number of tokens than frames, by more than one.
        TokenError: If a token is outside [0, num_clusters), or `out_dir` holds other tokens.
    """
    tokens_dir, dump_dir, out_dir = Path(tokens_dir), Path(dump_dir), Path(out_dir)
    info = TokenizerInfo.read(tokens_dir)
    if (out_dir / INFO_NAME).exists():
        there = TokenizerInfo.read(out_dir)
        if there != info:
            raise TokenError(
                f"{out_dir}: holds tokens with fingerprint {there.fingerprint}, {tokens_dir} has"
                f" {info.fingerprint}; choose another name in its {INFO_NAME} or remove {out_dir}."
            )
    for name in sets:
        utterances = read_utterances(dump_dir / name)
        given = _open_set(tokens_dir, name, info.num_clusters)
        for utterance in utterances:
            if utterance.utt_id not in given:
                raise DataError(f"{tokens_dir}: set {name} has no tokens for {utterance.utt_id}.")

        def tokenize(
            wanted: Sequence[Utterance], given: Mapping[str, np.ndarray] = given
        ) -> Iterator[np.ndarray]:
            for utt in wanted:
                yield align_tokens(utt.utt_id, given[utt.utt_id], utt.num_frames)

        folder, sources = out_dir / name, given.identify()
        audio = {utterance.utt_id: utterance.wav for utterance in utterances}
        made = Provenance(
            __name__,
            {},
            {"audio": audio, "tokens": given.places(), "tokenizer": info.fingerprint},
        )
        write_tokens(folder, utterances, info.fingerprint, tokenize, sources, made)
    info.write(out_dir)
    return info
