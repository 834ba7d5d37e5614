"""tools/setup.sh and env.sh where everything is installed already."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
PATH = "/usr/bin:/bin"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a complete environment, as setup.sh leaves it."""
    root = tmp_path / "checkout"
    (root / "tools").mkdir(parents=True)
    for name in ("setup.sh", "env.sh", "constraints.txt", "overrides.txt"):
        shutil.copy(TOOLS / name, root / "tools" / name)
    shutil.copy(TOOLS.parent / "setup.py", root)
    (root / ".venv" / "bin").mkdir(parents=True)
    names = ("setup.py", "tools/constraints.txt", "tools/overrides.txt")
    parts = b"".join((root / name).read_bytes() for name in names)
    checksum = subprocess.run(["cksum"], input=parts, capture_output=True, check=True).stdout
    (root / ".venv" / "setup-stamp").write_text(f"{checksum.decode().strip()} {root}\n")
    return root


def files(root: Path) -> set[Path]:
    return set(root.rglob("*"))


def env(root: Path, *wrapper: str, path: str = PATH) -> subprocess.CompletedProcess[str]:
    """Source env.sh and print the first folder on PATH."""
    script = f"set -euo pipefail; . {root}/tools/env.sh && echo ${{PATH%%:*}}"
    return subprocess.run(
        [*wrapper, "bash", "-c", script],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_complete_environment_is_used_and_nothing_is_written(checkout):
    before = files(checkout)
    run = env(checkout)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{checkout}/.venv/bin\n", "")
    assert files(checkout) == before


def test_an_environment_of_another_place_is_made_anew(checkout):
    """Its scripts name the folder that they were in; where that is reached otherwise, they run."""
    moved = checkout.rename(checkout.parent / "moved")
    python = moved / ".venv" / "bin" / "python"
    commands = moved.parent / "commands"
    commands.mkdir()
    package = moved / "espnet_stacodec" / "__init__.py"
    for command, text in {
        python: f"echo {package}",
        commands / "python3.13": 'echo "$0"',
        commands / "uv": "exit 1",
    }.items():
        command.write_text(f"#!/bin/sh\n{text}\n")
        command.chmod(0o755)
    path = f"{commands}:{PATH}"
    package.parent.mkdir()
    package.touch()
    run = env(moved, path=path)
    assert (run.returncode, run.stdout) == (0, f"{moved}/.venv/bin\n")
    package.unlink()
    run = env(moved, path=path)
    assert run.returncode == 1 and "tools/setup.sh: making .venv with" in run.stderr
    assert not python.exists()


@pytest.fixture
def stranger(checkout) -> tuple[str, ...]:
    """What runs a command as somebody who cannot write to the checkout."""
    if os.getuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("no command setpriv")
        for folder in [checkout, *checkout.parents]:
            if folder != Path("/tmp") and folder.is_relative_to("/tmp"):
                folder.chmod(0o755)
        return ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups")
    checkout.chmod(0o555)
    return ()


def test_somebody_elses_checkout(checkout, stranger):
    run = env(checkout, *stranger)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{checkout}/.venv/bin\n", "")
    (checkout / ".venv" / "setup-stamp").write_text("incomplete\n")
    run = env(checkout, *stranger)
    assert run.returncode == 1
    assert run.stderr.endswith("or activate an environment that holds espnet_stacodec.\n")
    # Complete, but of another version.
    (checkout / ".venv" / "setup-stamp").write_text("1 2\n")
    python = checkout / ".venv" / "bin" / "python"
    python.write_text("#!/bin/sh\necho the package\n")
    python.chmod(0o755)
    run = env(checkout, *stranger)
    assert (run.returncode, run.stdout) == (0, f"{checkout}/.venv/bin\n")
    assert "cannot be written to; its .venv is used as it is" in run.stderr
