"""Fixtures of all tests."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture
def shared() -> Path:
    """The development kit beside the repository: real speech, a real teacher."""
    if not SHARED.is_dir():
        pytest.skip("../shared is not there")
    return SHARED
