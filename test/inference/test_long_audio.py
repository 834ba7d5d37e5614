"""Audio that is longer than what the networks are given at once."""

import numpy as np
import pytest
import torch

from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.gan_codec.tokens.predistillation import Predistillation
from espnet_stacodec.inference import chunks
from espnet_stacodec.inference.audio_coding import AudioCoding


@pytest.fixture
def short_pieces(monkeypatch):
    """Cut audio that tests can afford: pieces of 2 s with 1 s of context."""

    def cut() -> None:
        monkeypatch.setattr(chunks, "PIECE_SECONDS", 2)
        monkeypatch.setattr(chunks, "CONTEXT_SECONDS", 1)

    return cut


def test_long_audio_in_pieces(sta_experiment, short_pieces, noise):
    """Lengths are exact, tokens stay in place, and audio is that of the whole but for borders."""
    sta = AudioCoding.from_pretrained(sta_experiment)
    wave = noise(16000 * 7 + 11)
    tokens = np.arange(351) % 8
    whole = sta.encode(wave, 16000, tokens)
    audio = sta.decode(whole, len(wave))
    short_pieces()
    codes = sta.encode(wave, 16000, tokens)
    assert codes.shape == whole.shape
    assert torch.equal(codes[0], torch.from_numpy(tokens))
    assert (codes == whole).float().mean() > 0.95
    pieces = sta.decode(whole, len(wave))
    assert pieces.shape == audio.shape
    torch.testing.assert_close(pieces, audio, rtol=0, atol=1e-2)


def test_transformers_see_the_same_windows_in_pieces(spd_experiment, short_pieces, noise):
    """Pieces start on the grid of the windows, so predicted tokens are those of the whole."""
    spd = AudioCoding.from_pretrained(spd_experiment)
    strides = {windows.stride for windows in spd.generator.windows}
    assert strides == {7} and len(spd.generator.windows) == 2
    wave = noise(16000 * 9 + 11)
    _let_predictions_vary(spd, wave)
    whole = spd.encode(wave, 16000)
    assert len(whole[0].unique()) > 2
    short_pieces()
    pieces = chunks.pieces_of(whole.shape[1], spd.frame_rule, spd.generator.windows)
    assert len(pieces) > 3 and any(piece.first % 7 for piece in pieces)
    assert all(piece.start % 7 == 0 for piece in pieces)
    codes = spd.encode(wave, 16000)
    assert codes.shape == whole.shape
    assert (codes == whole).float().mean() > 0.99


@torch.no_grad()
def _let_predictions_vary(spd: AudioCoding, wave: np.ndarray) -> None:
    """Centre the logits: a codec of one epoch always says the same, which would show nothing."""
    source = spd.generator.token_source
    assert isinstance(source, Predistillation) and isinstance(spd.generator, STACodecGenerator)
    latents = spd.generator.encode(torch.from_numpy(wave[: len(wave) // 320 * 320])[None, None])
    source.head.bias.sub_(source.logits(latents).mean((0, 1)))


def test_tokens_are_made_of_the_whole(sta_experiment, short_pieces, monkeypatch, noise):
    """Upstreams look at the whole utterance, and so stage 3 does: a piece has other tokens."""
    sta = AudioCoding.from_pretrained(sta_experiment)
    given = []

    def tokenize(wave: torch.Tensor, sample_rate: int, where: str) -> torch.Tensor:
        given.append((len(wave), sample_rate, where))
        return torch.arange(sta.frame_rule.num_frames(len(wave))) % 8

    monkeypatch.setattr(sta, "tokenizer", tokenize)
    short_pieces()
    waves = [noise(16000 * 7), noise(16000 * 9 + 5)]
    codes = sta.encode(waves, 16000, batch_size=4)
    assert sorted(given) == [(112000, 16000, "wave 0"), (144005, 16000, "wave 1")]
    for item in codes:
        assert torch.equal(item[0], torch.arange(item.shape[1]) % 8)
