"""Sources of a corpus's audio: files, arks and commands, whole or in segments.

The entries of a wav.scp, as Kaldi and ESPnet have them: the path of a file, `<ark>:<offset>`, or
`<command> |`, whose output is an audio file.
"""

import dataclasses
import io
import os
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import kaldiio
import numpy as np
import soundfile
from kaldiio import python_wave

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.audio import LENGTH_IS_UNKNOWN, UNKNOWN_LENGTH
from espnet_stacodec.fileio.data_dir import DataDir, parse_segment

ARK_PATTERN = re.compile(r"(?P<ark>.+):(?P<offset>\d+)")
PICKLE_FLAG = b"PKL"  # of an object in an ark, which reading would run
# A segment may end this long after its recording, as in Kaldi's extract-segments.
MAX_OVERSHOOT_SECONDS = 0.5
MP3_CONTEXT_SAMPLES = 20 * 1152  # frames of an MP3; one was enough for what was tried


class Rejected(Exception):
    """Raised with the reason where audio cannot be used."""


@dataclasses.dataclass(frozen=True)
class Part:
    """The part of a recording that is an utterance.

    Attributes:
        utt_id: The utterance.
        start: Seconds.
        end: Seconds; None for the end of the recording.
    """

    utt_id: str
    start: float = 0.0
    end: float | None = None


@dataclasses.dataclass(frozen=True)
class Recording:
    """An entry of wav.scp, and the utterances in it.

    Attributes:
        entry: A path, `<ark>:<offset>` or `<command> |`.
        parts: The utterances.
    """

    entry: str
    parts: tuple[Part, ...]

    @property
    def command(self) -> str | None:
        """The command that writes the audio; None if the entry is none."""
        return self.entry[:-1].strip() if self.entry.endswith("|") else None

    @property
    def path(self) -> Path | None:
        """The file that is read; None for a command."""
        if self.command is not None:
            return None
        ark = ARK_PATTERN.fullmatch(self.entry)
        # A file whose name looks like a place in an ark is a file.
        return Path(ark["ark"] if ark and not Path(self.entry).exists() else self.entry)

    def describe(self, part: Part) -> str:
        """Return what the audio of a part is read from, for comparison with an earlier run."""
        if (part.start, part.end) == (0.0, None):
            return self.entry
        return f"{self.entry} from {part.start} to {'the end' if part.end is None else part.end} s"


def recordings_of(data: DataDir) -> list[Recording]:
    """Return the recordings of a data directory with their utterances."""
    if not data.segments:
        return [Recording(entry, (Part(utt_id),)) for utt_id, entry in data.wav.items()]
    parts: dict[str, list[Part]] = defaultdict(list)
    for utt_id, value in data.segments.items():
        segment = parse_segment(value, utt_id)
        parts[segment.recording].append(Part(utt_id, segment.start, segment.end))
    return [Recording(data.wav[name], tuple(group)) for name, group in parts.items()]


class OpenAudio:
    """An opened recording.

    Attributes:
        rate: Sampling rate (Hz).
        num_samples: Of the recording.
    """

    def __init__(self, source: soundfile.SoundFile | np.ndarray, rate: int) -> None:
        self._source = source
        self.rate = rate
        self.num_samples = len(source) if isinstance(source, np.ndarray) else source.frames

    @classmethod
    def open(cls, recording: Recording) -> "OpenAudio":
        """Open a file, load audio from an ark, or run a command.

        Raises:
            Rejected: If the command fails, the ark does not hold audio there, or the header does
                not say how long the audio is.
            soundfile.LibsndfileError: If the file or the command's output is not audio.
        """
        if recording.command is not None:
            file = soundfile.SoundFile(io.BytesIO(_run(recording.command)))
        elif str(recording.path) != recording.entry:
            rate, samples = _load_from_ark(recording.entry)
            return cls(samples, rate)
        else:
            file = soundfile.SoundFile(recording.entry)
        if file.frames == UNKNOWN_LENGTH:
            file.close()
            raise Rejected(f"length: {LENGTH_IS_UNKNOWN}")
        return cls(file, file.samplerate)

    def __enter__(self) -> "OpenAudio":
        return self

    def __exit__(self, *exception: object) -> None:
        if isinstance(self._source, soundfile.SoundFile):
            self._source.close()

    def span(self, part: Part) -> tuple[int, int]:
        """Return the first sample of a part and the one after its last.

        Raises:
            Rejected: If the part lies outside the recording.
        """
        # Truncated, as Kaldi and ESPnet do it.
        start = int(part.start * self.rate)
        stop = self.num_samples if part.end is None else int(part.end * self.rate)
        limit = self.num_samples + MAX_OVERSHOOT_SECONDS * self.rate
        if (part.start > 0 and start >= self.num_samples) or stop > limit:
            end = "the end" if part.end is None else f"{part.end:g} s"
            raise Rejected(
                f"segment: it is {part.start:g} s to {end} of a recording of"
                f" {self.num_samples / self.rate:g} s"
            )
        return start, min(stop, self.num_samples)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples (n, channels) float32; n < stop - start where the file is cut off."""
        if isinstance(self._source, np.ndarray):
            return self._source[start:stop]
        # After a seek (soundfile itself seeks after each reading) the first frames of an MP3 can be
        # silence: they need those before them.
        before = min(start, MP3_CONTEXT_SAMPLES if self._source.format == "MP3" else 0)
        self._source.seek(start - before)
        return self._source.read(stop - start + before, dtype="float32", always_2d=True)[before:]


def _run(command: str) -> bytes:
    """Return what a command of wav.scp writes; it is a shell's command, as Kaldi runs it."""
    done = subprocess.run(command, shell=True, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise Rejected(
            f"broken: its command ended with status {done.returncode}"
            + (f" ({lines[-1]})" if lines else "")
        )
    return done.stdout


def _load_from_ark(entry: str) -> tuple[int, np.ndarray]:
    """Return (rate, samples (N, channels) float32 in [-1, 1]) of `<ark>:<offset>`."""
    place = ARK_PATTERN.fullmatch(entry)
    assert place is not None, "only entries of arks come here"
    try:
        with Path(place["ark"]).open("rb") as file:
            file.seek(int(place["offset"]))
            if file.read(len(PICKLE_FLAG)) == PICKLE_FLAG:
                raise Rejected("broken: the ark holds a pickled object there, which is not read")
        loaded = kaldiio.load_mat(entry)
    # kaldiio asserts what it expects, and numpy and the wave module fail in their own ways.
    except (ValueError, AssertionError, EOFError, RuntimeError, python_wave.Error) as error:
        raise Rejected(f"broken: no audio at this place of the ark ({error})") from error
    if not (isinstance(loaded, tuple) and isinstance(loaded[0], int)):
        raise Rejected("broken: the ark holds features at this place, not audio with its rate")
    rate, samples = loaded
    samples = samples.reshape(len(samples), -1)
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return rate, samples.astype(np.float32, copy=False)


def check(data_dir: Path | str, recordings: list[Recording], allow_commands: bool) -> None:
    """Raise DataError for the first recording that is a command, if not allowed, or unreadable."""
    for recording in recordings:
        where = f"{data_dir}: {recording.parts[0].utt_id}"
        if recording.command is not None:
            if not allow_commands:
                raise DataError(
                    f"{where}: its audio is the output of a command ('{recording.entry}'), which is"
                    " run only where run.sh is given --allow_commands true."
                )
        elif not (recording.path and os.access(recording.path, os.R_OK)):
            raise DataError(f"{where}: its audio {recording.path} is missing or unreadable.")
