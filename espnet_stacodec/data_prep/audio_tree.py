"""The audio files of a folder and of all folders below it, as their headers describe them."""

import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import soundfile
from typeguard import typechecked

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.audio import LENGTH_IS_UNKNOWN, UNKNOWN_LENGTH
from espnet_stacodec.parallel import Workers

# Endings of what libsndfile reads; other files are not looked at.
READABLE = {
    *("wav", "wave", "flac", "mp3", "ogg", "oga", "opus", "aif", "aiff", "aifc", "au", "snd"),
    *("caf", "w64", "rf64", "sph", "nist", "voc", "avr", "ircam"),
}
# Audio that it does not read: not used, but not passed over in silence.
UNREADABLE = {
    *("m4a", "mp4", "aac", "wma", "webm", "mka", "amr", "3gp", "ac3", "ape", "wv", "shn", "tta"),
}
MIN_SECONDS = 60.0  # of audio in all
CHUNK_FILES = 64  # handed to a worker at once


@dataclasses.dataclass(frozen=True)
class AudioFile:
    """An audio file as its header describes it.

    Attributes:
        name: Its path below the folder, with "/".
        seconds: How long it is.
        rate: Sampling rate (Hz).
        rejection: Why it cannot be used; empty if it can.
    """

    name: str
    seconds: float = 0.0
    rate: int = 0
    rejection: str = ""


@dataclasses.dataclass(frozen=True)
class Found:
    """What a folder holds.

    Attributes:
        folder: Absolute path.
        files: Audio that can be used, sorted by name.
        rejected: Audio that cannot.
        others: How many files are not audio by their names.
    """

    folder: Path
    files: Sequence[AudioFile]
    rejected: Sequence[AudioFile]
    others: int

    @property
    def seconds(self) -> float:
        """Of all audio that can be used."""
        return sum(file.seconds for file in self.files)


@typechecked
def find_audio(folder: Path | str, num_jobs: int = 1) -> Found:
    """Find the audio files in a folder and all folders below it; hidden ones are left out.

    Raises:
        DataError: If there is no such folder, no audio in it, or less than a minute.
    """
    folder = Path(folder).expanduser().absolute()
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder.")
    names, others = [], 0
    unreadable: list[OSError] = []
    for name in _walk(folder, unreadable):
        if Path(name).suffix.lower().removeprefix(".") in READABLE | UNREADABLE:
            names.append(name)
        else:
            others += 1
    with Workers(num_jobs) as workers:
        inspect = functools.partial(_inspect, folder)
        done = workers.map(inspect, sorted(names), "find audio", "files", chunk_size=CHUNK_FILES)
        files = [*done, *(_closed(folder, error) for error in unreadable)]
    found = Found(
        folder,
        [file for file in files if not file.rejection],
        [file for file in files if file.rejection],
        others,
    )
    if not files:
        raise DataError(
            f"{folder}: there are no audio files in it ({others} others); their names end in"
            f" {', '.join(sorted(READABLE))}."
        )
    if found.seconds < MIN_SECONDS:
        reason = f"; {len(found.rejected)} files cannot be used" if found.rejected else ""
        first = f", {found.rejected[0].name}: {found.rejected[0].rejection}" if reason else ""
        raise DataError(
            f"{folder}: there are {found.seconds:.0f} s of audio in it, at least"
            f" {MIN_SECONDS:.0f} s are needed to train a codec{reason}{first}."
        )
    return found


def _walk(folder: Path, unreadable: list[OSError]) -> Iterator[str]:
    """Yield the files below a folder as relative names, through links to folders, each once."""
    visited = set()
    for where, folders, names in folder.walk(on_error=unreadable.append, follow_symlinks=True):
        status = where.stat()
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith("."):
                yield (where / name).relative_to(folder).as_posix()


def _closed(folder: Path, error: OSError) -> AudioFile:
    """Return what stands for the files of a folder that cannot be read."""
    name = Path(os.fsdecode(error.filename)).relative_to(folder).as_posix()
    name = os.fsencode(name).decode(errors="replace")
    return AudioFile(name, rejection=f"folder: it cannot be read ({error.strerror})")


def _inspect(folder: Path, name: str) -> AudioFile:
    """Read the header of a file."""
    try:
        name.encode()
    except UnicodeEncodeError:
        readable = os.fsencode(name).decode(errors="replace")
        return AudioFile(readable, rejection="name: it is not UTF-8; rename the file")
    if not name.isprintable():
        return AudioFile(ascii(name), rejection="name: it has a line break or the like; rename it")
    ending = Path(name).suffix.lower().removeprefix(".")
    if ending in UNREADABLE:
        reason = f"format: .{ending} is not read; convert it, e.g. with ffmpeg"
        return AudioFile(name, rejection=reason)
    try:
        info = soundfile.info(folder / name)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:
        return AudioFile(name, rejection="broken: " + " ".join(str(error).split()))
    if info.frames == UNKNOWN_LENGTH:
        return AudioFile(name, rejection=f"length: {LENGTH_IS_UNKNOWN}")
    if info.frames == 0:
        return AudioFile(name, rejection="broken: there are no samples in it")
    return AudioFile(name, info.frames / info.samplerate, info.samplerate)
