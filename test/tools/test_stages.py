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
        (["--stage", "02", "--stop_stage", "08"], [2, 3]),
        (["--stop-stage", "2"], [1, 2]),
        (["--stage", "2", "--stop_stage", "2"], [2]),
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
        (["--stage", "two"], "run.sh: error: --stage is a whole number, not 'two'.", 1),
        (["--stage", "1.5"], "run.sh: error: --stage is a whole number, not '1.5'.", 1),
        (["--stage", "9" * 20], "run.sh: error: --stage is a whole number, not '999", 1),
        (["--stage", "4"], "run.sh: error: --stage 4 is after --stop_stage 3, so that nothing", 1),
        (["--stop_stage", ""], "run.sh: error: --stop_stage is a whole number, not ''.", 1),
        (["--stop_stage", "-1"], "run.sh: error: --stop_stage is a whole number, not '-1'.", 1),
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


def source(recipe: Path, script: str, **variables: str) -> subprocess.CompletedProcess:
    """Run lines of a script that has sourced stages.sh, with some options."""
    defaults = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    head = "set -euo pipefail\nstage=1\nstop_stage=1\n"
    (recipe / "run.sh").write_text(f"{head}{defaults}. ../../../tools/stages.sh\n{script}\n")
    return call(recipe)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", []),
        ("  ", []),
        ("--max_epoch 3", ["--max_epoch", "3"]),
        (
            "--init_param 'my exp/a.pth' --x \"it's\"",
            ["--init_param", "my exp/a.pth", "--x", "it's"],
        ),
        (r"--x a\ b $HOME `no` *", ["--x", "a b", "$HOME", "`no`", "*"]),
        ("a '' b", ["a", "", "b"]),
        ("a ''", ["a", ""]),
        ("a\nb", ["a", "b"]),
    ],
)
def test_words_of_an_option_may_be_quoted_and_nothing_is_expanded(recipe, value, words):
    script = 'split_words args "$args" words\nprintf "<%s>" ${words[@]+"${words[@]}"}'
    done = source(recipe, script, args=value)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(f"<{word}>" for word in words or [""])


def test_an_unclosed_quote_is_said(recipe):
    done = source(recipe, 'split_words args "$args" words', args="--x 'a b")
    assert done.returncode == 1
    assert done.stderr == "run.sh: error: --args has an unclosed quote: --x 'a b\n"


@pytest.mark.parametrize(
    ("check", "value", "sentence"),
    [
        ("whole_numbers", "a", "--x is a whole number, not 'a'."),
        ("numbers", "1e", "--x is a number, not '1e'."),
        ("numbers", "-1", "--x is a number, not '-1'."),
        ("names_of_sets", "a b", "--x is the name of one data set, not 'a b'."),
        ("names_of_sets", "../b", "--x: '../b' is not the name of a data set (letters, digits"),
        ("names_of_sets", "*", "--x: '*' is not the name of a data set"),
        ("names_of_sets", "  ", "--x is not given."),
        ("one_of x a b; :", "c", "--x 'c' is unknown; known are a, b."),
        ("one_of x a b; :", "", "--x '' is unknown; known are a, b."),
        ("names_of_sets", "-a", "--x: '-a' is not the name of a data set"),
    ],
)
def test_values_that_an_option_cannot_have(recipe, check, value, sentence):
    done = source(recipe, f"{check} x", x=value)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"run.sh: error: {sentence}")


@pytest.mark.parametrize(
    ("check", "values"),
    [
        ("whole_numbers x; echo $x", {"08": "8", "0": "0", "12": "12"}),
        ("one_of x a 'b c'; echo $x", {"a": "a", "b c": "b c"}),
        ("numbers x; echo $x", {"0.2": "0.2", "40": "40", ".5": ".5", "08": "08"}),
        ("names_of_sets x; echo $x", {"train_960": "train_960", " b.c+d-1": "b.c+d-1"}),
        ("x_sets=$x; names_of_sets x_sets; echo $x", {"a  b": "a b"}),
    ],
)
def test_values_that_it_can(recipe, check, values):
    for value, printed in values.items():
        assert source(recipe, check, x=value).stdout == f"{printed}\n"


@pytest.mark.parametrize("folder", ["a,b", "a\nb", "-a"])
def test_folders_that_espnets_options_cannot_name(recipe, folder):
    done = source(recipe, 'folders "$x"', x=folder)
    assert done.returncode == 1 and "which options of ESPnet cannot name" in done.stderr
    assert source(recipe, 'folders "$x"', x='it\'s my ("folder") $HOME').returncode == 0


@pytest.mark.parametrize(
    ("arguments", "suffix"),
    [
        ([], ""),
        (["--train_set", "own"], ""),
        (["--train_set", "other"], "_other"),
        (["--train_set=other"], "_other"),
        (["--train-set", "other", "--train_set", "own"], ""),
    ],
)
def test_another_training_set_than_the_recipes_own_has_a_name(recipe, arguments, suffix):
    """run.sh gives the recipe's own first."""
    script = "set -eu\nstage=1\nstop_stage=1\ntrain_set=\n. ../../../tools/stages.sh\n"
    (recipe / "run.sh").write_text(script + "echo $other_set")
    assert call(recipe, "--train_set", "own", *arguments).stdout == f"{suffix}\n"
