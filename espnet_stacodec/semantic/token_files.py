"""Semantic tokens on disk: <folder>/<set>/{semantic.scp, semantic.<N>.ark} (kaldiio, int32)."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from typeguard import typechecked

from espnet_stacodec.errors import DataError, LengthError, TokenError, naming
from espnet_stacodec.fileio.arks import read_ark, write_arks
from espnet_stacodec.fileio.audio import read_audio
from espnet_stacodec.fileio.files import identify, read_scp, require
from espnet_stacodec.fileio.provenance import Provenance
from espnet_stacodec.semantic.tokenizer_info import INFO_NAME, TOKEN_FRAMES, TokenizerInfo

SCP_NAME = "semantic.scp"


@dataclasses.dataclass(frozen=True)
class Utterance:
    """One utterance of dump/raw/<set>: its 16 kHz audio file and its length (samples)."""

    utt_id: str
    wav: str
    num_samples: int

    @property
    def num_frames(self) -> int:
        """T, the number of its tokens."""
        return TOKEN_FRAMES.num_frames(self.num_samples)


@typechecked
def read_utterances(folder: Path | str) -> list[Utterance]:
    """Read wav.scp and utt2num_samples of a formatted set.

    Raises:
        StageError: If the set has not been made.
        DataError: If a list is missing or malformed, or they hold different utterances.
    """
    folder = Path(folder)
    wavs = read_scp(require(folder / "wav.scp", "stage 2"))
    lengths = read_scp(folder / "utt2num_samples")
    for utt_id in sorted(set(wavs) ^ set(lengths)):
        lacking = "wav.scp" if utt_id in lengths else "utt2num_samples"
        raise DataError(f"{folder}: {utt_id} is missing in {lacking}; run stage 2 again.")
    for utt_id, length in lengths.items():
        if not length.isdecimal() or int(length) == 0:
            raise DataError(f"{folder}/utt2num_samples: {utt_id} has length '{length}'.")
    return [Utterance(utt_id, wav, int(lengths[utt_id])) for utt_id, wav in wavs.items()]


def read_wave(utterance: Utterance) -> np.ndarray:
    """Return the samples (N,) float32 of a formatted utterance.

    Raises:
        DataError: If they cannot be read, or are not what stage 2 wrote.
    """
    wave, rate = read_audio(utterance.wav)
    if rate != TOKEN_FRAMES.sample_rate:
        raise DataError(
            f"{utterance.utt_id}: {utterance.wav} has {rate} Hz, not {TOKEN_FRAMES.sample_rate};"
            " format the audio (stage 2)."
        )
    if len(wave) != utterance.num_samples:
        raise DataError(
            f"{utterance.utt_id}: {utterance.wav} has {len(wave)} samples, utt2num_samples says"
            f" {utterance.num_samples}; format the audio again (stage 2)."
        )
    return wave


@dataclasses.dataclass(frozen=True)
class CodecInput:
    """Inputs of the codes of one utterance.

    Attributes:
        utt_id: The utterance.
        wav: Its audio file.
        tokens: `<ark>:<offset>` of its semantic tokens; None where the codec is given none.
    """

    utt_id: str
    wav: str
    tokens: str | None = None

    def read(self) -> tuple[np.ndarray, int, np.ndarray | None]:
        """Return samples (N,) float32, their rate (Hz), and the tokens (T,), to be checked."""
        wave, rate = read_audio(self.wav)
        return wave, rate, None if self.tokens is None else _load(self.tokens)


class CodecInputs(Mapping[str, CodecInput]):
    """The inputs of a codec of a set, by utterance.

    Args:
        wav_scp: Audio of the set (stage 2).
        semantic_scp: Its semantic tokens (stage 3); None where the codec is given none.

    Raises:
        StageError: If a list is not there.
        DataError: If a list is malformed, or an utterance has no tokens.
    """

    def __init__(self, wav_scp: Path, semantic_scp: Path | None) -> None:
        self._wavs = read_scp(require(wav_scp, "stage 2"))
        self._tokens: dict[str, str] | None = None
        if semantic_scp is None:
            return
        self._tokens = read_scp(require(semantic_scp, "stage 3"))
        missing = [utt_id for utt_id in self._wavs if utt_id not in self._tokens]
        if missing:
            raise DataError(
                f"{semantic_scp}: {len(missing)} utterances of {wav_scp} have no tokens (first:"
                f" {missing[0]}); extract them again (stage 3)."
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._wavs)

    def __len__(self) -> int:
        return len(self._wavs)

    def __getitem__(self, utt_id: str) -> CodecInput:
        tokens = None if self._tokens is None else self._tokens[utt_id]
        return CodecInput(utt_id, self._wavs[utt_id], tokens)

    def places(self) -> dict[str, dict[str, str]]:
        """Return where `audio`, and `tokens` where there are any, are, by utterance."""
        tokens = {} if self._tokens is None else {"tokens": {u: self._tokens[u] for u in self}}
        return {"audio": self._wavs, **tokens}

    def identify(self) -> dict[str, list]:
        """Return what tells the input of each utterance from others with the same name."""
        audio = identify(self._wavs)
        if self._tokens is None:
            return {utt_id: [audio[utt_id], None] for utt_id in audio}
        tokens = identify({utt_id: self._tokens[utt_id] for utt_id in audio})
        return {utt_id: [audio[utt_id], tokens[utt_id]] for utt_id in audio}


class TokenReader(Mapping[str, np.ndarray]):
    """The tokens (T,) int32 of each utterance of a semantic.scp, read when asked for."""

    def __init__(self, scp: Path, num_clusters: int) -> None:
        self._places = read_scp(scp)
        self._num_clusters = num_clusters

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, utt_id: str) -> np.ndarray:
        with naming(utt_id):
            tokens = _load(self._places[utt_id])
        return check_tokens(utt_id, tokens, self._num_clusters)

    def identify(self) -> dict[str, list]:
        """Return what tells the tokens of each utterance from others at the same place."""
        return identify(self._places)

    def places(self) -> dict[str, str]:
        """Return where the tokens are, by utterance."""
        return self._places


def _load(place: str) -> np.ndarray:
    """Return the tokens of an utterance from `<ark>:<offset>`, as they are."""
    return read_ark(place, "the tokens", "extract them again (stage 3)")


@typechecked
def read_tokens(scp: Path | str) -> TokenReader:
    """Open <folder>/<set>/semantic.scp; every utterance is checked when it is read.

    Raises:
        ConfigError: If <folder>/tokenizer.yaml, which says how many tokens there are, is missing.
        DataError: If the list is missing or malformed, or (on reading) an ark is.
        TokenError: On reading, for tokens outside [0, num_clusters).
    """
    scp = Path(scp)
    return TokenReader(scp, TokenizerInfo.read(scp.parent.parent / INFO_NAME).num_clusters)


def check_tokens(utt_id: str, tokens: np.ndarray, num_clusters: int) -> np.ndarray:
    """Return `tokens` as (T,) int32 if they are ids in [0, num_clusters), else raise TokenError."""
    if tokens.ndim != 1 or len(tokens) == 0 or not np.issubdtype(tokens.dtype, np.integer):
        raise TokenError(
            f"{utt_id}: an array of shape {tokens.shape} and type {tokens.dtype} is not a list of"
            " token ids."
        )
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= num_clusters:
        raise TokenError(
            f"{utt_id}: token {low if low < 0 else high} is outside 0 to {num_clusters - 1};"
            " these tokens are of another tokenizer, extract them again (stage 3)."
        )
    return tokens.astype(np.int32, copy=False)


@typechecked
def write_tokens(
    folder: Path | str,
    utterances: Sequence[Utterance],
    fingerprint: str,
    tokenize: Callable[[Sequence[Utterance]], Iterable[np.ndarray]],
    sources: Mapping[str, Any] | None = None,
    provenance: Provenance | None = None,
) -> None:
    """Write the tokens of a set, going on from whole parts of the same utterances and tokenizer.

    Args:
        folder: <out_dir>/<set>; as given, it becomes part of the paths in semantic.scp.
        utterances: Sorted by id.
        fingerprint: The tokenizer's.
        tokenize: Yields the tokens (T,) of the utterances it is given, in their order.
        sources: What the tokens of each utterance are made from; None for its audio file.
        provenance: As for `write_arks`.
    """
    by_id = {utterance.utt_id: utterance for utterance in utterances}

    def compute(utt_ids: Sequence[str]) -> Iterator[np.ndarray]:
        wanted = [by_id[utt_id] for utt_id in utt_ids]
        for utterance, tokens in zip(wanted, tokenize(wanted), strict=True):
            if len(tokens) != utterance.num_frames:
                raise LengthError(
                    f"{utterance.utt_id}: {len(tokens)} semantic tokens for"
                    f" {utterance.num_frames} frames; this is a bug of the extraction."
                )
            yield tokens

    made_of = (
        identify({utt_id: u.wav for utt_id, u in by_id.items()}) if sources is None else sources
    )
    described = {utt_id: [made_of[utt_id], u.num_samples] for utt_id, u in by_id.items()}
    scp = Path(folder) / SCP_NAME
    write_arks(scp, described, fingerprint, compute, provenance=provenance)
