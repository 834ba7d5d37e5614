import os
import subprocess
from pathlib import Path

import pytest

PARSER = Path(__file__).parents[2] / "tools/parse_options.sh"


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / "recipe.sh"
    path.write_text(
        "set -euo pipefail\n"
        "nj=4\nstop_stage=9\nskip_train=false\ntag=\nhelp_message='Usage: recipe'\n"
        f". {PARSER}\n"
        'echo "$nj|$stop_stage|$skip_train|$tag|$*"\n'
    )
    return path


def call(script: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess:
    environment = os.environ | more
    return subprocess.run(
        ["bash", script, *arguments], env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        ([], "4|9|false||"),
        (["--nj", "2", "--stop-stage", "7"], "2|7|false||"),
        (["--stop_stage=3", "--tag=a=b c"], "4|3|false|a=b c|"),
        (["--tag", "--max_epoch 3", "--tag", ""], "4|9|false||"),
        (["--skip-train", "true", "--", "--nj", "x"], "4|9|true||--nj x"),
        (["--nj", "1", "one", "--nj"], "1|9|false||one --nj"),
    ],
)
def test_options_set_the_variables(script, arguments, printed):
    done = call(script, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed + "\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--njj", "2"], "recipe.sh: unknown option --njj; known are "),
        (["--PATH", "2"], "recipe.sh: unknown option --PATH; known are "),
        (["--help_message", "x"], "recipe.sh: unknown option --help_message; known are "),
        (["--nj"], "recipe.sh: --nj needs a value."),
        (["--skip_train", "yes"], "recipe.sh: --skip_train is true or false, not 'yes'."),
    ],
)
def test_usage_errors_are_one_sentence_and_status_2(script, arguments, message):
    done = call(script, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_variables_of_the_environment_are_no_options(script):
    done = call(script, "--http_proxy", "x", http_proxy="y")
    assert done.returncode == 2
    assert done.stderr.startswith("recipe.sh: unknown option --http_proxy; known are ")
    assert "http_proxy" not in done.stderr.partition("known are ")[2]


def test_an_option_of_the_help_is_one_whatever_the_environment_has(script):
    script.write_text(script.read_text().replace("Usage: recipe", "  --nj=4   # processes"))
    assert call(script, "--nj", "2", nj="7").stdout.startswith("2|")
    assert call(script, nj="7").stdout.startswith("4|")


def test_help_prints_the_message(script):
    assert call(script, "--help").stdout == "Usage: recipe\n"
