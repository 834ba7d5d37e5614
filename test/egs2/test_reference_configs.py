"""The configurations of reference systems: the downstream model is the one that reads codes."""

from pathlib import Path

import pytest
import yaml

RECIPE = Path(__file__).parents[2] / "egs2" / "slurp" / "slu1" / "conf"
INPUT = {"frontend", "frontend_conf", "normalize", "freeze_param"}


def read(name: str) -> dict:
    return yaml.safe_load((RECIPE / f"{name}.yaml").read_text())


@pytest.mark.parametrize("reference", ["train_small_fbank", "train_small_ssl"])
def test_only_the_input_differs(reference):
    codes, other = read("train_small"), read(reference)
    assert codes["frontend_conf"] != other["frontend_conf"]
    assert {k: v for k, v in codes.items() if k not in INPUT} == {
        k: v for k, v in other.items() if k not in INPUT
    }
