"""Files that appear whole or not at all, Kaldi's two-column lists, and content fingerprints."""

import codecs
import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from espnet_stacodec.errors import DataError, StageError
from espnet_stacodec.fileio.temporaries import remove, remove_leftovers, temporary_path

FINGERPRINT_DIGITS = 16


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yield a temporary file beside `path`, and move it there when the block succeeds.

    The folder is made if needed. The file's permissions follow the umask, whatever the block does
    with it. On any error the temporary file is removed and `path` is left as it was.

    Raises:
        OSError: Naming `path`, if it cannot be written, also where a library says so by another
            error.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        with errors_of_writing(path):
            temporary.touch(exist_ok=False)
            mode = stat.S_IMODE(temporary.stat().st_mode)
            yield temporary
            # Some writers, safetensors among them, make a file that only its owner can read.
            temporary.chmod(mode)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def errors_of_writing(path: Path | str) -> Iterator[None]:
    """Raise OSError, naming `path`, also where a library says by another error what the system did.

    Errors that name a file stay as they are.
    """
    try:
        yield
    except Exception as error:
        number = _os_error_of(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _os_error_of(error: Exception) -> int | None:
    """Return the system's number of an error, though it is not an OSError or has no number."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.filename is None else None
    # As safetensors says it.
    if said := re.search(r"\(os error (\d+)\)", str(error)):
        return int(said[1])
    # As shutil says it of a folder.
    if isinstance(error, shutil.Error) and (said := re.search(r"\[Errno (\d+)\]", str(error))):
        return int(said[1])
    # As numpy says it, and torch.
    short = isinstance(error, OSError) and re.search(r"\d+ requested and \d+ written", str(error))
    return errno.ENOSPC if short or is_of_torchs_writer(str(error)) else None


def is_of_torchs_writer(message: str) -> bool:
    """Whether torch says so that it could not write a checkpoint, which it does as RuntimeError."""
    return "inline_container" in message and "StreamReader" not in message


@contextlib.contextmanager
def scratch_folder(path: Path | str) -> Iterator[Path]:
    """Yield a new folder beside `path` that is removed afterwards.

    Those that killed processes left there are removed first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    temporary = temporary_path(path)
    try:
        temporary.mkdir()
        yield temporary
    finally:
        remove(temporary)


def move_folder(made: Path, path: Path) -> None:
    """Move a folder to `path`, unless another process has put one there meanwhile.

    What both have made is taken to be the same.
    """
    try:
        made.rename(path)
    except OSError:
        if not path.is_dir():
            raise


def require(path: Path | str, stage: str) -> Path:
    """Return `path`, which `stage` makes, e.g. "stage 2".

    Raises:
        StageError: If it is not there.
    """
    if not Path(path).exists():
        raise StageError(f"{path}: not there; run {stage} first.")
    return Path(path)


def look_again(folder: Path | str) -> None:
    """Find files in `folder` that another machine has just made.

    A network file system remembers for a minute that a name was not there, unless the folder is
    read again.
    """
    for _ in Path(folder).iterdir():
        pass


def identify(places: Mapping[str, str]) -> dict[str, list]:
    """Return what tells the files of a list from others at the same paths, by utterance.

    Args:
        places: By utterance, a path or `<ark>:<offset>`.

    Returns:
        For each [place, size in bytes, time of the last change in ns]: cheap to find, and another
        whenever the file was made again.

    Raises:
        DataError: If a file is missing.
    """
    known: dict[str, list[int]] = {}
    identities = {}
    for utt_id, place in places.items():
        path = re.sub(r":\d+$", "", place)
        if path not in known:
            try:
                status = Path(path).stat()
            except OSError as error:
                raise DataError(
                    f"{utt_id}: {path} cannot be read ({error.strerror}); run the stage that makes"
                    " it again."
                ) from error
            known[path] = [status.st_size, status.st_mtime_ns]
        identities[utt_id] = [place, *known[path]]
    return identities


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


def one_word(name: str) -> str:
    """Return a name as an utterance id of a list, which white space would end: it becomes %20.

    So do bytes that are no UTF-8, which file names may have and lists may not.
    """
    return re.sub(
        r"[\s\udc80-\udcff]", lambda found: quote(found[0], errors="surrogateescape"), name
    )


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
