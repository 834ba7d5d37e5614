"""Several commands in one folder: names of unfinished files, and a lock.

An unfinished file is called `.tmp-<host>-<pid>-<random><ending>` until it is whole. The name says
which process writes it, so that what a killed command left can be removed while what a living one,
or one on another host, is writing stays.

The lock keeps two commands from writing the same results at the same time. The second one waits
and then finds the work done: that is what several recipes need that share the first stages. A lock
ends with its process, however that ends. Where a folder cannot be locked, a warning is logged; the
names of unfinished files still keep the commands apart.
"""

import contextlib
import fcntl
import functools
import logging
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from espnet_stacodec.errors import StageError

LOCK_NAME = ".lock"
_HOST = re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())
_TEMPORARY = re.compile(r"\.tmp-(?P<host>.+)-(?P<pid>\d+)-[0-9a-f]{8}(\..*)?")


def temporary_path(path: Path) -> Path:
    """Return an unused path beside `path` with its ending, by which writers choose the format.

    At the first path in a folder, what killed processes left there is removed.
    """
    _remove_leftovers_once(path.parent.absolute())
    # Without the name of `path`, which may be as long as the file system allows.
    return path.with_name(f".tmp-{_HOST}-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files and folders in `folder` whose process, on this host, has ended.

    Those of other hosts stay: whether their process lives cannot be known here.
    """
    for path in folder.glob(".tmp-*"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and match["host"] == _HOST and not _is_alive(int(match["pid"])):
            with contextlib.suppress(PermissionError):  # somebody else's: it does no harm
                remove(path)


# A process that writes a hundred thousand files to a folder looks for leftovers once.
_remove_leftovers_once = functools.lru_cache(maxsize=1000)(remove_leftovers)


def remove(path: Path) -> None:
    """Remove a file or a folder with all in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process, or a system without /proc
        return True
    # "<pid> (<name>) <state> ...": in containers nobody may ever fetch the status of a dead one.
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


@contextlib.contextmanager
def exclusive(
    folder: Path, *subfolders: str, name: str = LOCK_NAME, wait: bool = True
) -> Iterator[None]:
    """Wait until no other command holds the lock of `folder`, made if needed, and hold it.

    Leftovers of killed commands there and in `subfolders` are removed before and after the block.
    One process must not ask for a lock that it holds already.

    Raises:
        StageError: If `wait` is false and another command holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        locked = _lock(folder, name, stack, wait)
        parts = [folder, *(folder / part for part in subfolders)] if locked else []
        for part in parts:
            remove_leftovers(part)
        yield
        # Workers of a killed command may have ended only now.
        for part in parts:
            remove_leftovers(part)


def _lock(folder: Path, name: str, stack: contextlib.ExitStack, wait: bool) -> bool:
    """Hold the lock of `folder` until `stack` is closed; return whether it could be locked."""
    path = folder / name
    try:
        while True:
            # Each turn has its own stack: the file is closed, and unlocked, unless it is kept.
            with contextlib.ExitStack() as turn:
                file = turn.enter_context(path.open("a+", encoding="utf-8"))
                _wait_for(file, folder, wait)
                # The holder before removes the file; then another one counts by now.
                if _is_at(file, path):
                    stack.push(turn.pop_all())
                    break
    except OSError as error:
        logging.warning(
            "%s: it cannot be locked (%s); run only one command there at a time.",
            folder,
            error.strerror,
        )
        return False
    # For the sentence of a second command; the lock itself ends when the file is closed.
    file.truncate(0)
    file.write(f"process {os.getpid()} on {_HOST}")
    file.flush()
    stack.callback(path.unlink, missing_ok=True)
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _wait_for(file: IO[str], folder: Path, wait: bool) -> None:
    """Lock an open file, and log whom this waits for, or raise StageError."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read() or "another process"
        if not wait:
            raise StageError(
                f"{folder}: {holder} is writing here; wait until it has ended, or write to another"
                " folder."
            ) from None
        logging.warning("%s: %s is writing here; waiting until it ends.", folder, holder)
        fcntl.flock(file, fcntl.LOCK_EX)
