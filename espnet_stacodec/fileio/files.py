"""Files that appear whole or not at all, Kaldi's two-column lists, and content fingerprints."""

import codecs
import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from espnet_stacodec.errors import DataError

FINGERPRINT_DIGITS = 16


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and move it there when the block succeeds.

    The folder is made if needed. On any error the temporary file is removed and `path` is left
    as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays last: writers of audio and arrays choose the format by it.
    temporary = path.with_name(f".{os.getpid()}.tmp.{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` (UTF-8) atomically; a file that holds it already stays, with its time."""
    path = Path(path)
    if path.is_file() and path.read_bytes() == text.encode():
        return
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_scp(path: Path | str, allow_empty: bool = False) -> dict[str, str]:
    """Read `<utterance id> <value>` lines (wav.scp, text, utt2spk, semantic.scp, ...).

    The lines are read as ESPnet reads them: any white space ends the utterance id, and a line ends
    with LF, CRLF or CR. A byte order mark is skipped.

    Args:
        path: The list.
        allow_empty: Whether a line may have no value, as transcripts may; it is "" then.

    Raises:
        DataError: If the file is missing, empty or not UTF-8, a line has no value, or ids are
            repeated or not sorted (as `LC_ALL=C sort` sorts them).
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; run the stage that makes it first.")
    entries: dict[str, str] = {}
    previous = ""
    for number, line in enumerate(_read_lines(path), 1):
        if not line.strip():
            raise DataError(f"{path}:{number}: the line is blank; remove it.")
        utt_id, *rest = line.strip().split(maxsplit=1)
        if not rest and not allow_empty:
            raise DataError(f"{path}:{number}: '{line}' has no value after the utterance id.")
        if utt_id in entries:
            raise DataError(f"{path}:{number}: utterance id '{utt_id}' is there twice.")
        if utt_id.encode() < previous.encode():
            raise DataError(
                f"{path}:{number}: '{utt_id}' comes after '{previous}'; sort it with LC_ALL=C sort."
            )
        entries[utt_id] = rest[0] if rest else ""
        previous = utt_id
    if not entries:
        raise DataError(f"{path}: there are no utterances in it.")
    return entries


def _read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 text file, without their ends."""
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path}: this is UTF-16 text; convert it to UTF-8, e.g. with iconv.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{number}: byte 0x{content[error.start]:02x} is not UTF-8 text; convert the"
            " file, e.g. with iconv."
        ) from error
    # Not splitlines(), which also cuts at characters that may be part of a transcript.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    return lines if any(lines) else []


def write_scp(path: Path | str, entries: Mapping[str, object]) -> None:
    """Write `<utterance id> <value>` lines, sorted as `LC_ALL=C sort` sorts them, atomically."""
    lines = (f"{utt_id} {entries[utt_id]}" for utt_id in sorted(entries, key=str.encode))
    write_text(path, "".join(f"{line.removesuffix(' ')}\n" for line in lines))


def fingerprint(arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    """Return 16 hexadecimal digits that identify named arrays (names, dtypes, shapes, bytes)."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays, key=lambda item: item[0]):
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:FINGERPRINT_DIGITS]


def content_key(content: Any) -> str:
    """Return 16 hexadecimal digits that identify a JSON-like value."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[
        :FINGERPRINT_DIGITS
    ]
