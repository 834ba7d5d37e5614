"""tools/stages.sh: what every stage script does around its stages."""

import shlex
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
SCRIPT = """\
set -euo pipefail
stage=1
stop_stage=3
break_at=0
tag=
. ../../../tools/stages.sh
work() {
    [[ $break_at != "$1" ]]
    echo "did $1 $tag"
}
if begin 1 "first"; then
    work 1
fi
if begin 2 "second"; then
    need 1 file
    (cd . && work 2)
fi
if begin 3 "third"; then
    work 3 | cat
fi
echo done
"""


@pytest.fixture
def recipe(tmp_path) -> Path:
    """A recipe of three stages, of which --break_at fails."""
    folder = tmp_path / "egs2" / "corpus" / "task1"
    folder.mkdir(parents=True)
    (tmp_path / "tools").symlink_to(TOOLS)
    (folder / "path.sh").touch()
    (folder / "run.sh").write_text(SCRIPT)
    (folder / "file").touch()
    return folder


def call(recipe: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "run.sh", *arguments], cwd=recipe, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ([], [1, 2, 3]),
        (["--stage", "2"], [2, 3]),
        (["--stop-stage", "2"], [1, 2]),
        (["--stage", "2", "--stop_stage", "2"], [2]),
        (["--stage", "3", "--stop_stage", "2"], []),
    ],
)
def test_the_stages_of_the_range_are_run_and_said(recipe, arguments, numbers):
    done = call(recipe, *arguments)
    assert done.returncode == 0
    assert done.stdout.split("\n") == [*(f"did {n} " for n in numbers), "done", ""]
    names = {1: "first", 2: "second", 3: "third"}
    assert done.stderr == "".join(f"run.sh: stage {n}: {names[n]}\n" for n in numbers)


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (["--no_such", "1"], "run.sh: unknown option --no_such; known are ", 2),
        (["train"], "run.sh: error: 'train' is not an option; see ./run.sh --help.", 1),
        (["--stage", "two"], "run.sh: error: --stage and --stop_stage are numbers.", 1),
        (["--stop_stage", ""], "run.sh: error: --stage and --stop_stage are numbers.", 1),
    ],
)
def test_usage_errors_are_one_sentence_and_nothing_runs(recipe, arguments, message, status):
    done = call(recipe, *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1


def test_a_file_that_is_missing_names_the_stage_that_makes_it(recipe):
    (recipe / "file").unlink()
    done = call(recipe, "--stage", "2")
    assert (done.returncode, done.stdout) == (1, "")
    sentence = "run.sh: error: stage 2 needs file; run stage 1 first."
    assert done.stderr.split("\n")[1:] == [sentence, ""]


# Of the three, one fails in a function, one in a subshell, and one in a pipe.
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("tag", ["", "a b; echo 'c'"])
def test_a_stage_that_fails_says_once_how_to_go_on(recipe, number, tag):
    done = call(recipe, "--tag", tag, "--break_at", str(number))
    assert done.returncode == 1 and "done" not in done.stdout
    said, resume = done.stderr.strip().rsplit("to go on from there: ", 1)
    assert said.split("\n")[number:] == [f"run.sh: stage {number} failed; "]

    again = shlex.split(resume)
    assert again[0] == "./run.sh" and again[-2:] == ["--stage", str(number)]
    done = call(recipe, *again[1:], "--break_at", "0")
    assert done.returncode == 0
    assert done.stdout.split("\n")[0] == f"did {number} {tag}"


def test_the_command_to_go_on_needs_no_options(recipe):
    (recipe / "run.sh").write_text((recipe / "run.sh").read_text().replace("work 3", "false"))
    assert call(recipe).stderr.endswith("to go on from there: ./run.sh --stage 3\n")
