"""How every command ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_stacodec.bin import _cli
from espnet_stacodec.errors import DataError, in_one_sentence

COMMAND = """
import argparse, sys, time
from pathlib import Path
from espnet_stacodec.bin import _cli
from espnet_stacodec.parallel import Workers

def work(args):
    exec(args.python)

def sleep(item):
    print("started", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    parser = argparse.ArgumentParser("tool")
    parser.add_argument("python")
    _cli.run(work, parser)
"""


@pytest.fixture(scope="module")
def tool(tmp_path_factory) -> list[str]:
    """A command that runs what it is given."""
    path = tmp_path_factory.mktemp("tool") / "tool.py"
    path.write_text(COMMAND)
    return [sys.executable, str(path)]


def ended(command: list[str], **options) -> tuple[int, str]:
    """Return the status and what is said of it."""
    run = subprocess.run(command, stderr=subprocess.PIPE, check=False, timeout=100, **options)
    return run.returncode, run.stderr.decode(errors="surrogateescape").strip()


@pytest.mark.parametrize(
    "python",
    [
        "print('started', flush=True); time.sleep(60)",
        "with Workers(2) as workers: list(workers.map(sleep, [1, 2, 3, 4], 'sleep'))",
    ],
)
def test_ctrl_c(tool, python):
    """Ctrl-C reaches all processes of a command."""
    with subprocess.Popen(
        [*tool, python],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=50)
    assert process.returncode == 130
    assert said.endswith("\ntool: interrupted; what is complete is kept. Run it again to go on.\n")
    assert "Traceback" not in said


def test_outputs_that_cannot_be_written(tool):
    printing = [*tool, "sys.stdout.write('x' * 100_000)"]
    with Path("/dev/full").open("w") as full:
        assert ended(printing, stdout=full) == (
            1,
            "tool: error: No space left on device; free some space and run it again.",
        )
    reader, writer = os.pipe()
    os.close(reader)
    assert ended(printing, stdout=writer) == (
        141,
        "tool: what it printed was not read to the end.",
    )
    os.close(writer)


def test_streams_that_a_shell_closed(tool, tmp_path):
    python = (
        "print('a'); print('b', file=sys.stderr); sys.stdout.buffer.write(b'c');"
        "Path(sys.argv[0]).with_name('read').write_bytes(sys.stdin.buffer.read() + b'nothing')"
    )
    run = ["bash", "-c", '"$@" <&- >&- 2>&-', "bash", *tool, python]
    assert subprocess.run(run, check=False).returncode == 0
    assert Path(tool[1]).with_name("read").read_text() == "nothing"


def test_no_home(tool, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    unknown = "os = __import__('os'); os.setuid(54321) if os.getuid() == 0 else None; "
    if os.getuid() != 0:
        pytest.skip("only root can become a user that does not exist")
    status, said = ended([*tool, unknown + "Path.home()"])
    assert status == 1
    assert said == (
        "tool: error: this user has no home folder; set HOME, or XDG_CACHE_HOME to the folder for"
        " caches."
    )


def test_names_that_are_not_utf8_are_printed_as_they_are(tool):
    name = os.fsdecode(b"caf\xe9")
    said = ended([*tool, f"print({name!a}); raise OSError(13, 'No way', {name!a})"])
    assert said == (1, f"tool: error: {name}: No way.")


def test_bugs_are_shown_whole(tool):
    status, said = ended([*tool, "raise RuntimeError('a bug')"])
    assert status == 1 and said.startswith("Traceback") and said.endswith("RuntimeError: a bug")


@pytest.mark.parametrize(
    "error, sentence",
    [
        (DataError("a:\nb."), "a: b."),
        (OSError("a sentence"), "a sentence"),
        (OSError(13, "Permission denied", "file"), "file: Permission denied."),
        (OSError(21, "Is a directory", ".tmp-1", None, "page"), "page: Is a directory."),
        (OSError(28, "Full"), "Full; free some space and run it again."),
    ],
)
def test_errors_in_one_sentence(error, sentence):
    assert in_one_sentence(error) == sentence


def test_errors_from_the_processes_of_a_data_loader():
    """Torch puts their traceback before the message."""
    error = DataError("Traceback ...\nespnet_stacodec.errors.DataError: a.wav: no such file.\n")
    with pytest.raises(SystemExit) as end, _cli.errors_in_one_sentence("train"):
        raise error
    assert end.value.code == "train: error: a.wav: no such file."
    with pytest.raises(DataError), _cli.errors_in_one_sentence("train", debug=True):
        raise error
