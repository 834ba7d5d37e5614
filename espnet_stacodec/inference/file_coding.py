"""Encode and decode many files: trees of folders, only what is not done yet, several at a time.

An output holds an identification of what it was made from: size and time of the last change of the
input (not its content, which would have to be read again), the fingerprint of the codec, and the
options. Where it is the one that is wanted, the output is kept.
"""

import abc
import dataclasses
import errno
import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from typeguard import typechecked

from espnet_stacodec.errors import DataError, TokenError, in_one_sentence, naming
from espnet_stacodec.fileio.audio import AUDIO_ENDINGS, read_comment, write_audio
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.fileio.file_pairs import pair_files
from espnet_stacodec.fileio.files import content_key
from espnet_stacodec.inference.audio_coding import AudioCoding, load_once
from espnet_stacodec.parallel import Workers, one_thread

CODES_ENDING = ".npz"
COMMENT = "stacodec decode "
# With these nothing can be written any more, whatever the next file is.
FATAL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclasses.dataclass(frozen=True)
class FileCoder(abc.ABC):
    """Makes one kind of file from another with a codec. It can be pickled.

    Attributes:
        model: As for `AudioCoding.from_pretrained`, and so are
        device, model_file: these.
        input_endings: Of the files to take from folders.
    """

    model: Path | str
    device: str = "cpu"
    model_file: str | None = None

    input_endings: ClassVar[Sequence[str]]

    @property
    def codec(self) -> AudioCoding:
        """The codec, loaded once in a process."""
        return load_once(self.model, self.device, self.model_file)

    @property
    @abc.abstractmethod
    def output_ending(self) -> str:
        """Of the files that are made."""

    @property
    @abc.abstractmethod
    def options(self) -> list[object]:
        """Settings that decide the output, besides input and codec."""

    @abc.abstractmethod
    def origin_of(self, output: Path) -> str | None:
        """Return what an output holds as its `origin`; None if such a coder did not make it."""

    @abc.abstractmethod
    def code(self, source: Path, output: Path, origin: str) -> int:
        """Make an output; return how many of its samples are clipped.

        Raises:
            DataError: If the input cannot be used.
            OSError: If a file cannot be read or written.
        """

    def origin(self, source: Path) -> str:
        """Return what identifies the input, the codec and the options; empty without an input."""
        if not source.is_file():
            return ""
        status = source.stat()
        given = [status.st_size, status.st_mtime_ns, self.codec.fingerprint, self.options]
        return content_key(given)


@dataclasses.dataclass(frozen=True)
class FileEncoder(FileCoder):
    """Makes files of codes from audio files.

    Attributes:
        n_codebooks: How many codebooks to write; None for all.
    """

    n_codebooks: int | None = None

    input_endings = AUDIO_ENDINGS
    output_ending = CODES_ENDING

    @property
    def options(self) -> list[object]:
        """The number of codebooks."""
        return [self.codec.n_codebooks if self.n_codebooks is None else self.n_codebooks]

    def origin_of(self, output: Path) -> str | None:
        """Return `Codes.made_from`."""
        try:
            return Codes.load(output).made_from
        except TokenError:
            return None

    def code(self, source: Path, output: Path, origin: str) -> int:
        """Encode; no codes are clipped."""
        codes = self.codec.encode_file(source, self.n_codebooks)
        dataclasses.replace(codes, made_from=origin).save(output)
        return 0


@dataclasses.dataclass(frozen=True)
class FileDecoder(FileCoder):
    """Makes 16-bit audio files from files of codes.

    Attributes:
        file_format: "wav" or "flac".
    """

    file_format: str = "wav"

    input_endings = (CODES_ENDING,)

    @property
    def output_ending(self) -> str:
        """The format's."""
        return f".{self.file_format}"

    @property
    def options(self) -> list[object]:
        """None but the format, which the name tells."""
        return []

    def origin_of(self, output: Path) -> str | None:
        """Return what the file's comment tells."""
        comment = read_comment(output)
        return comment.removeprefix(COMMENT) if comment.startswith(COMMENT) else None

    def code(self, source: Path, output: Path, origin: str) -> int:
        """Decode; samples beyond full scale are clipped."""
        codes = Codes.load(source)
        with naming(source):
            wave = self.codec.decode(codes).numpy()
        write_audio(output, wave, codes.sample_rate, f"{COMMENT}{origin}")
        return int((abs(wave) > 1).sum())


@dataclasses.dataclass(frozen=True)
class _Task:
    source: Path
    output: Path
    overwrite: bool


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """Outcome of one file."""

    source: Path
    skipped: bool = False
    clipped: int = 0
    error: DataError | OSError | None = None


@dataclasses.dataclass
class Summary:
    """Outcome of many files.

    Attributes:
        written, skipped: Number of files that were made, and that were done already.
        clipped: Number of files whose audio was clipped.
        failures: Input -> why it could not be used, in one sentence.
    """

    written: int = 0
    skipped: int = 0
    clipped: int = 0
    failures: dict[Path, str] = dataclasses.field(default_factory=dict)

    def check(self) -> None:
        """Raise DataError if there are failures, with their number and the first one."""
        if self.failures:
            total = self.written + self.skipped + len(self.failures)
            first = next(iter(self.failures.values()))
            raise DataError(f"{len(self.failures)} of {total} files failed; the first: {first}")


@typechecked
def code_files(
    coder: FileCoder,
    inputs: Sequence[Path | str],
    out_dir: Path,
    workers: Workers,
    root: Path | None = None,
    overwrite: bool = False,
    strict: bool = False,
) -> Summary:
    """Make an output of every input file, unless it is there already.

    An output of another input, codec or options is made anew; a file that no such coder made is
    left as it is, and its input fails. Each failure is logged.

    Args:
        coder: What to do.
        inputs: Files, folders, lists; see `pair_files`.
        out_dir: Gets the outputs.
        workers: Processes; where there are several, each computes with one thread.
        root: Folder whose tree is kept; see `pair_files`.
        overwrite: Make all outputs, whatever is there.
        strict: Raise the first failure, as is done for a single file.

    Raises:
        DataError: If a list is not readable, or, with `strict`, if an input cannot be used.
        OSError: If nothing can be written to the disk.
        STACodecError: If the codec or its options cannot be used.
    """
    pairs = pair_files(inputs, out_dir, coder.input_endings, coder.output_ending, root)
    strict = strict or len(pairs) == 1
    summary = Summary()
    for path, sentence in pairs.failures.items():
        if strict:
            raise DataError(sentence)
        logging.error("%s", sentence)
        summary.failures[path] = sentence
    tasks = [_Task(*pair, overwrite) for pair in pairs.outputs.items()]
    single = min(workers.num_jobs, len(tasks)) <= 1
    work = functools.partial(_work if single else _work_with_one_thread, coder)
    for outcome in workers.map(work, tasks, str(out_dir), unit="files"):
        if outcome.error is not None:
            if strict:
                raise outcome.error
            sentence = in_one_sentence(outcome.error)
            logging.error("%s", sentence)
            summary.failures[outcome.source] = sentence
            continue
        if outcome.clipped:
            logging.info("%s: %d samples are clipped.", outcome.source, outcome.clipped)
        summary.skipped += outcome.skipped
        summary.written += not outcome.skipped
        summary.clipped += outcome.clipped > 0
    logging.info(
        "%s: %d files written, %d were done already", out_dir, summary.written, summary.skipped
    )
    if summary.clipped:
        logging.warning(
            "%s: in %d files samples are beyond full scale; they are clipped",
            out_dir,
            summary.clipped,
        )
    return summary


def _work_with_one_thread(coder: FileCoder, task: _Task) -> _Outcome:
    """Do a task in one process of several."""
    with one_thread():
        return _work(coder, task)


def _work(coder: FileCoder, task: _Task) -> _Outcome:
    """Do a task unless it is done; errors of its file become its outcome."""
    source, output = task.source, task.output
    try:
        origin = coder.origin(source)
        # That an input is not there, `code` tells.
        if origin and output.exists() and not task.overwrite:
            found = coder.origin_of(output)
            if found == origin:
                return _Outcome(source, skipped=True)
            if found is None:
                raise DataError(
                    f"{output}: it exists and was not made by this command; move it away, or write"
                    " over it with --overwrite."
                )
        return _Outcome(source, clipped=coder.code(source, output, origin))
    except DataError as error:
        return _Outcome(source, error=error)
    except OSError as error:
        error.filename = error.filename or output
        if error.errno in FATAL_ERRORS:
            raise
        return _Outcome(source, error=error)
