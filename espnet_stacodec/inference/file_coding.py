"""Encode and decode many files: trees of folders, only what is not done yet, several at a time.

An output holds an identification of what it was made from: size and time of the last change of the
input (not its content, which would have to be read again), the fingerprint of the codec, and the
options. Where it is the one that is wanted, the output is kept.
"""

import contextlib
import dataclasses
import errno
import functools
import itertools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from typeguard import typechecked

from espnet_stacodec.config import whole_number
from espnet_stacodec.errors import DataError, in_one_sentence
from espnet_stacodec.fileio.file_pairs import pair_files
from espnet_stacodec.inference.file_coders import File, FileCoder, FileDecoder, FileEncoder
from espnet_stacodec.parallel import Workers, one_thread

__all__ = ["FileCoder", "FileDecoder", "FileEncoder", "Summary", "code_files"]

# With these nothing can be written any more, whatever the next file is.
FATAL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


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
        STACodecError: If the codec, its options or a batch size cannot be used.
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
    size = whole_number("batch_size", coder.batch_size, 1)
    groups = [list(group) for group in itertools.batched(tasks, size)]
    single = min(workers.num_jobs, len(groups)) <= 1
    work = functools.partial(_work_on if single else _work_with_one_thread, coder)
    unit = "files" if size == 1 else "batches"
    made = workers.map(work, groups, str(out_dir), unit=unit)
    for outcome in itertools.chain.from_iterable(made):
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


def _work_with_one_thread(coder: FileCoder, tasks: Sequence[_Task]) -> list[_Outcome]:
    """Do some tasks in one process of several."""
    with one_thread():
        return _work_on(coder, tasks)


def _work_on(coder: FileCoder, tasks: Sequence[_Task]) -> list[_Outcome]:
    """Do the tasks that are not done, together; errors of a file become its outcome."""
    checked = [_guarded(functools.partial(_check, coder), task) for task in tasks]
    files = [found for found in checked if isinstance(found, File)]
    clipped: dict[File, int] = {}
    if len(files) > 1:
        # Whose error it is, and whether the others can be done, shows what is done alone below.
        with contextlib.suppress(DataError, OSError):
            clipped = dict(zip(files, coder.code_together(files), strict=True))

    def finish(file: File, task: _Task) -> _Outcome:
        number = clipped[file] if file in clipped else coder.code(*file)
        return _Outcome(file.source, clipped=number)

    return [
        _guarded(functools.partial(finish, found), task) if isinstance(found, File) else found
        for task, found in zip(tasks, checked, strict=True)
    ]


def _check(coder: FileCoder, task: _Task) -> File | _Outcome:
    """Return what there is to do for a task; its outcome if it is done."""
    source, output = task.source, task.output
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
    return File(source, output, origin)


def _guarded[T](work: Callable[[_Task], T], task: _Task) -> T | _Outcome:
    """Return work(task); errors of the task's file as its outcome."""
    source, output = task.source, task.output
    try:
        return work(task)
    except DataError as error:
        return _Outcome(source, error=error)
    except OSError as error:
        error.filename = error.filename or output
        if error.errno in FATAL_ERRORS:
            raise
        return _Outcome(source, error=error)
