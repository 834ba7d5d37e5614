"""Codes of one utterance, and the .npz file that holds them.

It is a zip archive of NumPy arrays, which NumPy alone reads (`docs/codes.md` has examples):

| array       | type              | content                                                       |
|-------------|-------------------|---------------------------------------------------------------|
| codes       | (n, T) uint16     | entry of each of n codebooks in each of T frames, from 0      |
| num_samples | () int64          | length of the audio, at `sample_rate`                         |
| sample_rate | () int64          | of the codec and of the audio that decoding gives (Hz)        |
| fingerprint | () text           | 16 hexadecimal digits that identify the codec                 |
| made_from   | () text, optional | 16 hexadecimal digits that identify the audio and the options |

Codes of codebooks with more than 65536 entries are uint32. Files of earlier versions, with int64
codes and without `made_from`, are read as well. Bits packed without gaps would save a sixth of the
file, but no program could read them without a description.
"""

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from espnet_stacodec.errors import TokenError
from espnet_stacodec.fileio.files import atomic_write

# What numpy raises for files that are missing, empty, cut off, or of another kind.
UNREADABLE = (EOFError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile)


@dataclasses.dataclass(frozen=True)
class Codes:
    """Codes and what decoding needs to give back exactly the input's length.

    Attributes:
        codes: (n_codebooks, T) int64.
        num_samples: Length of the audio, N samples.
        sample_rate: Of the audio that decoding gives (Hz).
        fingerprint: Of the codec that made the codes.
        made_from: Identifies the audio file and the options; empty where they are not known.
    """

    codes: np.ndarray
    num_samples: int
    sample_rate: int
    fingerprint: str
    made_from: str = ""

    def check_codec(self, fingerprint: str) -> None:
        """Raise TokenError if another codec than that of `fingerprint` made the codes."""
        check_fingerprint(self.fingerprint, fingerprint)

    def save(self, path: Path | str) -> None:
        """Write an .npz file with one array per attribute, whole or not at all."""
        arrays = dataclasses.asdict(self) | {"codes": _compact(self.codes)}
        if not self.made_from:
            del arrays["made_from"]
        with atomic_write(path) as temporary:
            np.savez_compressed(temporary, **arrays)

    @classmethod
    def load(cls, path: Path | str) -> "Codes":
        """Read an .npz file.

        Raises:
            TokenError: If it is missing, unreadable, or not a file of codes.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                codes = arrays["codes"]
                if codes.ndim != 2 or codes.dtype.kind not in "iu":
                    raise TokenError(
                        f"{path}: codes must be integers (n_codebooks, T), not {codes.dtype}"
                        f" {codes.shape}."
                    )
                num_samples, sample_rate = int(arrays["num_samples"]), int(arrays["sample_rate"])
                if min(num_samples, sample_rate) < 1:
                    raise TokenError(
                        f"{path}: {num_samples} samples at {sample_rate} Hz are no audio."
                    )
                return cls(
                    codes=codes.astype(np.int64),
                    num_samples=num_samples,
                    sample_rate=sample_rate,
                    fingerprint=str(arrays["fingerprint"]),
                    made_from=str(arrays["made_from"]) if "made_from" in arrays else "",
                )
        except UNREADABLE as error:
            reason = " ".join(str(error).split())
            raise TokenError(
                f"{path}: not a readable file of codes ({reason}); make it with `stacodec encode`."
            ) from error


def check_fingerprint(made_by: str, fingerprint: str) -> None:
    """Raise TokenError if codes that one codec made are to be decoded by another one."""
    if made_by != fingerprint:
        # It comes from a file, and may hold anything, such as the end of a line.
        shown = made_by.encode("unicode_escape").decode()
        raise TokenError(
            f"these codes were made by codec {shown}, not by {fingerprint}; decode them with the"
            " codec that made them."
        )


def _compact(codes: np.ndarray) -> np.ndarray:
    """Return codes in the smallest type of the format that holds them; others as they are."""
    if codes.dtype.kind in "iu" and codes.size and codes.min() >= 0:
        for dtype in (np.uint16, np.uint32):
            if codes.max() <= np.iinfo(dtype).max:
                return codes.astype(dtype)
    return codes


def form_of_codes(sizes: Sequence[int]) -> str:
    """Return what codes of such codebooks must be, in words that an error begins with."""
    return f"Codes must be integers (n, T) of 1 to {len(sizes)} codebooks"


def check_codes(codes: np.ndarray, sizes: Sequence[int], may_be_empty: bool = False) -> np.ndarray:
    """Return codes (n, T) as int64.

    Args:
        codes: Integers of the first n codebooks.
        sizes: Entries of each codebook that the codec has.
        may_be_empty: Whether T may be 0.

    Raises:
        TokenError: If the codes are not what such codebooks hold.
    """
    if codes.ndim != 2 or codes.dtype.kind not in "iu" or not 1 <= len(codes) <= len(sizes):
        raise TokenError(f"{form_of_codes(sizes)}, not {codes.dtype} {codes.shape}.")
    if codes.shape[1] == 0 and not may_be_empty:
        raise TokenError("There are no frames in these codes.")
    wrong = np.argwhere((codes < 0) | (codes >= np.asarray(sizes[: len(codes)])[:, None]))
    if len(wrong):
        book, frame = wrong[0]
        raise TokenError(
            f"Code {codes[book, frame]} of codebook {book + 1}, frame {frame}, is outside"
            f" 0..{sizes[book] - 1}."
        )
    return codes.astype(np.int64)
