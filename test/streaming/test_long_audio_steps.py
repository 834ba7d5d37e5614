"""Long audio through a causal codec, step by step: what the whole gives."""

from unittest import mock

import numpy as np
import pytest
import torch
from causal_codecs import HOP, SPECTRAL, build_codec, speech

from espnet_stacodec.inference import chunks
from espnet_stacodec.streaming import long_audio


@pytest.mark.parametrize("params", [{}, SPECTRAL], ids=["seanet", "spectral"])
def test_long_audio_is_coded_in_steps_as_it_is_whole(params, monkeypatch):
    codec = build_codec(**params)
    waves = [speech(n * HOP + 9, n) for n in (170, 20)]
    codes = codec.encode(waves, 16000, batch_size=1)
    audio = codec.decode(codes, batch_size=1)
    monkeypatch.setattr(chunks, "PIECE_SECONDS", 1)
    monkeypatch.setattr(long_audio, "STEP_FRAMES", 13)
    stepped = mock.Mock(wraps=long_audio.encode)
    monkeypatch.setattr(long_audio, "encode", stepped)
    for one, other in zip(codec.encode(waves, 16000), codes, strict=True):
        assert torch.equal(one, other)
    assert stepped.call_count == 2  # a batch with long audio in it
    for one, other in zip(codec.decode(codes), audio, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_long_audio_with_given_tokens(monkeypatch):
    codec = build_codec(predistillation=None)
    wave = speech(120 * HOP, 3)
    tokens = np.arange(120) % 8
    expected = codec.encode(wave, 16000, tokens)
    monkeypatch.setattr(chunks, "PIECE_SECONDS", 1)
    monkeypatch.setattr(long_audio, "STEP_FRAMES", 13)
    assert torch.equal(codec.encode(wave, 16000, tokens), expected)
    assert torch.equal(expected[0], torch.from_numpy(tokens))
