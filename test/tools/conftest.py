"""Copies of recipes."""

from pathlib import Path

import pytest
from recipe_copies import Recipe, copy_recipe


@pytest.fixture
def codec(tmp_path: Path) -> Recipe:
    return copy_recipe(tmp_path, "librispeech/codec1")


@pytest.fixture
def reader(tmp_path: Path) -> Recipe:
    return copy_recipe(tmp_path, "librispeech/asr2")
