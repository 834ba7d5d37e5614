"""The probe that spells."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation.ctc_probe import WIDTH, _Speller, probe_spelling


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


@torch.no_grad()
def test_the_speller_reads_both_ways_and_no_padding():
    """As a bidirectional LSTM of the same weights does with packed codes."""
    torch.manual_seed(0)
    speller = _Speller(9, 5).eval()
    both = nn.LSTM(WIDTH, WIDTH, batch_first=True, bidirectional=True)
    for name, value in speller.onward.named_parameters():
        getattr(both, name).copy_(value)
        getattr(both, f"{name}_reverse").copy_(getattr(speller.backwards, name))
    codes, lengths = torch.randint(9, (3, 7)), torch.tensor([4, 7, 1])
    packed = pack_padded_sequence(
        speller.embed(codes), lengths, batch_first=True, enforce_sorted=False
    )
    hidden, _ = pad_packed_sequence(both(packed)[0], batch_first=True)
    expected = speller.spell(hidden).log_softmax(-1)
    found = speller(codes, lengths).transpose(0, 1)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(found[row, :length], expected[row, :length])


def test_nothing_to_test(spoken):
    streams, texts = spoken
    with pytest.raises(
        DataError, match="has 48 utterances with transcripts to train and 0 to test"
    ):
        probe_spelling(streams, texts, ["x"])
