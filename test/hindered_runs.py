"""Do pieces of work while the disk is full, the folder read-only, or an input gone; then again.

python hindered_runs.py WORK.json HINDRANCE, where WORK.json holds {kind: options} as for
killed_runs, or {name: {module, argv, data}} of trainings. Works in <kind>/whole and, first
hindered, then not, in <kind>/HINDRANCE; a run is a fork. Prints {kind: [what the hindered runs
said, "" where they succeeded]}.
"""

import contextlib
import importlib
import json
import os
import resource
import subprocess
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from killed_runs import KINDS, LATE_IMPORTS

from espnet_stacodec.bin import _cli
from espnet_stacodec.downstream import recognition
from espnet_stacodec.evaluation import resynthesis
from espnet_stacodec.fileio import parts
from espnet_stacodec.fileio.files import read_scp
from espnet_stacodec.fileio.provenance import git_revision

SMALL, LARGE = "24k", "64m"
# Where nothing can be mounted, files may grow to this many bytes.
FILE_BYTES = 300
Run = Callable[..., None]


def start(work: Run, options: dict[str, Any], folder: Path, said: Path, limit: int | None) -> int:
    """Do the work in a fork, with what it says in the end in `said`; return the fork's id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.chdir(folder)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with _cli.errors_in_one_sentence("work"):
            work(**options)
        status = 0
    except SystemExit as end:
        os.write(os.open(said, os.O_CREAT | os.O_WRONLY), str(end.code).encode()[:250])
    except BaseException:
        traceback.print_exc()
        os.write(os.open(said, os.O_CREAT | os.O_WRONLY), traceback.format_exc().encode()[-250:])
        raise
    finally:
        os._exit(status)  # never back into the caller


def wait(child: int, said: Path) -> str:
    """Return what a fork said."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    text = said.read_text() if said.exists() else ""
    assert bool(status) == bool(text), (status, text)
    said.unlink(missing_ok=True)
    return text


def mount(*options: str) -> bool:
    """Mount something, if this user may."""
    return subprocess.run(["mount", *options], capture_output=True).returncode == 0


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Let `folder` be a small disk of its own for the block; whether it is one."""
    mounted = mount("-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(folder))
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def full(work: Run, options: dict[str, Any], folder: Path, said: Path) -> list[str]:
    """On a disk that is too small, then on a larger one, whose content is kept."""
    kept = folder.with_name("full.kept")
    with small_disk(folder) as mounted:
        limit = None if mounted else FILE_BYTES
        sentences = [wait(start(work, options, folder, said, limit), said)]
        if mounted:
            assert mount("-o", f"remount,size={LARGE}", str(folder))
        sentences.append(wait(start(work, options, folder, said, None), said))
        subprocess.run(["cp", "-r", str(folder), str(kept)], check=True)
    subprocess.run(["cp", "-r", f"{kept}/.", str(folder)], check=True)
    return sentences


def readonly(work: Run, options: dict[str, Any], folder: Path, said: Path) -> list[str]:
    """In a folder that cannot be written to, then in the same one when it can."""
    mounted = os.geteuid() == 0
    if mounted:
        assert mount("--bind", str(folder), str(folder))
        assert mount("-o", "remount,bind,ro", str(folder))
    else:
        folder.chmod(0o555)
    try:
        sentences = [wait(start(work, options, folder, said, None), said)]
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)
        else:
            folder.chmod(0o755)
    return [*sentences, wait(start(work, options, folder, said, None), said)]


def vanished(work: Run, options: dict[str, Any], folder: Path, said: Path) -> list[str]:
    """With an input moved away, then with it back."""
    if "dump_dir" in options:
        scp = Path(options["dump_dir"]) / options["sets"][-1] / "wav.scp"
        place = Path(list(read_scp(scp).values())[-1])
    elif "codes_dir" in options:
        place = Path(options["codes_dir"]) / options["sets"][-1] / "codes.scp"
    else:
        place = Path(options["model"])
    away = place.with_name("away")
    place.rename(away)
    try:
        sentences = [wait(start(work, options, folder, said, None), said)]
    finally:
        away.rename(place)
    return [*sentences, wait(start(work, options, folder, said, None), said)]


def together(work: Run, options: dict[str, Any], folder: Path, said: Path) -> list[str]:
    """Two at the same time in one folder."""
    notes = [said.with_name(f"said{number}") for number in range(2)]
    children = [start(work, options, folder, note, None) for note in notes]
    return [wait(child, note) for child, note in zip(children, notes, strict=True)]


def trained(module: str, argv: list[str], data: str) -> None:
    """Train with a command of this package, whose data are in the folder `data`."""
    out = Path("out").absolute()
    os.chdir(data)
    importlib.import_module(module).main([*argv, "--output_dir", str(out)])


HINDRANCES = {
    "full": full, "readonly": readonly, "vanished": vanished, "together": together
}  # fmt: skip


def main() -> None:
    kinds = json.loads(Path(sys.argv[1]).read_text())
    modules = {options["module"] for options in kinds.values() if "module" in options}
    for name in (*LATE_IMPORTS, *modules):
        importlib.import_module(name)
    git_revision()
    hindrance = sys.argv[2]
    parts.PART_ITEMS = resynthesis.PART_UTTERANCES = recognition.PART_UTTERANCES = 2
    setattr(resynthesis, "time", types.SimpleNamespace(perf_counter=lambda: 0.0))  # noqa: B010
    sentences = {}
    for kind, options in kinds.items():
        hindered = Path(kind, hindrance)
        hindered.mkdir(parents=True)
        said = hindered.with_name("said").absolute()
        work = HINDRANCES[hindrance]
        sentences[kind] = work(KINDS.get(kind, trained), options, hindered, said)
    sys.stdout.write(json.dumps(sentences))


if __name__ == "__main__":
    main()
