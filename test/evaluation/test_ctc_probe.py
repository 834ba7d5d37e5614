"""The probe that spells."""

import numpy as np
import pytest
import torch

from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation.ctc_probe import probe_spelling


@pytest.fixture
def spoken() -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Each letter is three to five frames of one of its two codes, with pauses between words."""
    rng = np.random.default_rng(0)
    streams, texts = {}, {}
    for i in range(48):
        text = " ".join("".join(rng.choice(list("abcd"), 3)) for _ in range(2))
        frames = [
            2 * (" abcd".index(letter)) + rng.integers(2)
            for letter in text
            for _ in range(rng.integers(3, 6))
        ]
        streams[f"u{i}"], texts[f"u{i}"] = np.array(frames), text.upper()
    return streams, texts


def test_codes_that_spell_and_codes_that_do_not(spoken):
    streams, texts = spoken
    test = [f"u{i}" for i in range(8)]
    state = torch.random.get_rng_state()
    found = probe_spelling(streams, texts, test)
    assert found.cer.value < 30 and found.utterances == 8
    assert torch.equal(state, torch.random.get_rng_state())
    rng = np.random.default_rng(1)
    noise = {name: rng.integers(10, size=len(stream)) for name, stream in streams.items()}
    assert probe_spelling(noise, texts, test).cer.value > 50


def test_nothing_to_test(spoken):
    streams, texts = spoken
    with pytest.raises(
        DataError, match="has 48 utterances with transcripts to train and 0 to test"
    ):
        probe_spelling(streams, texts, ["x"])
