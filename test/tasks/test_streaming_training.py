"""A causal codec through the usual task: it learns, and what it has learned streams."""

import numpy as np
import pytest
import torch

from espnet_stacodec import AudioCoding


def test_the_losses_fall(streaming_experiment):
    reports = torch.load(streaming_experiment / "checkpoint.pth", weights_only=True)["reporter"]
    figures = [reports["stats"][epoch]["train"] for epoch in sorted(reports["stats"])]
    first, last = figures[0], figures[-1]
    assert len(figures) == 6
    assert last["mel_loss"] < 0.8 * first["mel_loss"]
    assert last["token_loss"] < 0.96 * first["token_loss"]


def test_a_trained_codec_streams(streaming_experiment, toy_utterance):
    codec = AudioCoding.from_pretrained(streaming_experiment, precision="float64")
    assert codec.is_causal and codec.predicts_tokens
    assert codec.latency_seconds == pytest.approx(0.06)
    stream, player = codec.encoder_stream(), codec.decoder_stream()
    for seed in range(3):
        audio, _ = toy_utterance(seed, 40)
        audio = audio[:-7]
        expected = codec.encode(audio, 16000)
        pieces = np.split(audio, np.sort(np.random.default_rng(seed).integers(0, len(audio), 9)))
        codes = torch.cat([*(stream.push(piece) for piece in pieces), stream.flush()], 1)
        assert torch.equal(codes, expected)
        played = torch.cat([player.push(codes), player.flush()])[: len(audio)]
        decoded = codec.decode(expected, len(audio))
        torch.testing.assert_close(played, decoded, rtol=0, atol=1e-5)
