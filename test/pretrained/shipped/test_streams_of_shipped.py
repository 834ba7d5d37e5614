"""The shipped codec that streams, in the precision that it has unless another one is asked for."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from espnet_stacodec import AudioCoding
from espnet_stacodec.pretrained.shipped.lookup import STREAMING_NAME

SAMPLES = Path(__file__).parents[3] / "docs" / "samples"


@pytest.mark.parametrize("seed", [0, 1])
def test_streamed_codes_are_those_of_the_file(seed):
    """2 s of a voice, in pieces of random sizes."""
    codec = AudioCoding.from_pretrained(STREAMING_NAME)
    wave, rate = soundfile.read(
        sorted(SAMPLES.glob("*_original.flac"))[seed], frames=32000, dtype="float32"
    )
    whole = codec.encode(wave, rate)
    rng = np.random.default_rng(seed)
    borders = np.sort(rng.integers(0, len(wave), 30))
    stream, player = codec.encoder_stream(sample_rate=rate), codec.decoder_stream()
    codes = [stream.push(piece) for piece in np.split(wave, borders)] + [stream.flush()]
    assert torch.equal(torch.cat(codes, 1), whole)
    audio = torch.cat([player.push(piece) for piece in codes])
    torch.testing.assert_close(audio, codec.decode(whole), rtol=0, atol=1e-5)
