"""Copies of recipes whose commands only note how they were called."""

import dataclasses
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Stands in for Python: notes the words of `python -m ...`; what a recipe asks it is answered.
PYTHON = """\
#!/usr/bin/env bash
case $* in
    *device_count*) echo "$GPUS"; exit ;;
    *bin.check_scoring*) exit ;;
    *--print_tag*) echo "toy$(sed -n 's/.*--tag_suffix \\([^ ]*\\) .*/\\1/p' <<<"$*")"; exit ;;
esac
[[ $1 != -c ]] || exec %s "$@"
[[ $* != *plan_training* ]] || printf '%%s\n' --steps_per_epoch 70 --max_epoch 10
printf '%%q ' "$@" >>"$CALLS"; echo >>"$CALLS"
"""
HOSTILE = """my "dump" it's; $HOME"""


@dataclasses.dataclass
class Recipe:
    """A copy of a recipe beside the tools, in a folder whose name has a blank."""

    folder: Path
    calls: Path
    environment: dict[str, str]

    def run(self, *arguments: str, gpus: int = 0) -> subprocess.CompletedProcess:
        """Run it; nothing is left of what was noted before."""
        self.calls.unlink(missing_ok=True)
        return subprocess.run(
            ["./run.sh", *arguments],
            cwd=self.folder,
            env=self.environment | {"GPUS": str(gpus)},
            capture_output=True,
            text=True,
        )

    def called(self) -> list[dict[str, list[str]]]:
        """Return, for each command, its options by name, and itself under ""."""
        calls = []
        for line in self.calls.read_text().splitlines():
            words = shlex.split(line)
            options: dict[str, list[str]] = {"": [words[1].rpartition(".")[2]]}
            name = ""
            for word in words[2:]:
                if word.startswith("--"):
                    name = word
                options.setdefault(name, []).extend([word] if word != name else [])
            calls.append(options)
        return calls

    def make(self, *paths: str) -> None:
        """Make files that a stage needs."""
        for path in paths:
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).touch()


def errors(done: subprocess.CompletedProcess) -> list[str]:
    """Return what was said, but for the line about the environment."""
    return [line for line in done.stderr.splitlines() if not line.startswith("tools/setup.sh: ")]


def copy_recipe(tmp_path: Path, name: str) -> Recipe:
    root = tmp_path / "check out"
    ignored = shutil.ignore_patterns("data", "dump", "exp", "downloads")
    for corpus in {"TEMPLATE", name.split("/")[0]}:
        shutil.copytree(ROOT / "egs2" / corpus, root / "egs2" / corpus, True, ignored)
    (root / "tools").symlink_to(ROOT / "tools")
    (root / "bin").mkdir()
    python = root / "bin" / "python"
    python.write_text(PYTHON % shlex.quote(sys.executable))
    python.chmod(0o755)
    calls = root / "calls"
    environment = {
        "PATH": f"{python.parent}:{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "CALLS": str(calls),
        "HOME": os.environ.get("HOME", "/"),
    }
    return Recipe(root / "egs2" / name, calls, environment)


SETS = ("train_960", "dev_clean", "test_clean", "test_other")


def make_all(recipe: Recipe, dumpdir: str, expdir: str, tag: str, name: str = "toy") -> str:
    """Make what stages 2 to 9 need; returns the experiment's folder."""
    recipe.make(*(f"data/{part}/wav.scp" for part in SETS))
    recipe.make(*(f"{dumpdir}/raw/{part}/wav.scp" for part in SETS))
    recipe.make(*(f"{dumpdir}/semantic/{name}/{part}/semantic.scp" for part in SETS))
    recipe.make(*(f"{expdir}/codec_stats_{name}/{part}/audio_shape" for part in ("train", "valid")))
    recipe.make(f"{expdir}/codec_{tag}/config.yaml")
    return f"{expdir}/codec_{tag}"
