"""A causal generator: what its codes and its audio depend on, and what does not go with it."""

import pytest
import torch
from causal_codecs import HOP, SIZES, SPECTRAL, build_generator, speech, transformer

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.generator import STACodecGenerator

FRAMES = 24


@pytest.mark.parametrize(
    ("bottleneck", "tokens", "params"),
    [(0, 0, {}), (0, 3, {}), (2, 0, {}), (1, 2, {}), (0, 2, SPECTRAL)],
)
def test_what_latents_and_tokens_of_a_frame_depend_on(bottleneck, tokens, params):
    """The waveform on what the bottleneck looks ahead at, the token on that of both."""
    generator = build_generator((bottleneck, tokens), **params)
    audio = torch.from_numpy(speech(FRAMES * HOP, 1))[None, None]
    with torch.no_grad():
        latents = generator.encode(audio)
        logits = generator.token_source.logits(latents)
        for frame in (0, 5, 12):
            changed = audio.clone()
            changed[..., (frame + 1) * HOP :] += 0.5
            others = generator.encode(changed)
            first = int((others != latents).any(1)[0].nonzero()[0])
            assert first == max(0, frame + 1 - bottleneck)
            differs = (generator.token_source.logits(others) != logits).any(2)[0]
            assert int(differs.nonzero()[0]) == max(0, frame + 1 - bottleneck - tokens)


@pytest.mark.parametrize("params", [{}, SPECTRAL], ids=["seanet", "spectral"])
def test_audio_of_a_frame_depends_on_earlier_codes_only(params):
    generator = build_generator(**params)
    codes = torch.randint(0, 8, (3, 1, FRAMES))
    changed = codes.clone()
    changed[..., 10:] = (codes[..., 10:] + 1) % 8
    with torch.no_grad():
        one, other = generator.decode(codes)[0, 0], generator.decode(changed)[0, 0]
    assert torch.equal(one[: 10 * HOP], other[: 10 * HOP])
    assert not torch.equal(one[10 * HOP : 11 * HOP], other[10 * HOP : 11 * HOP])


@pytest.mark.parametrize("params", [{}, SPECTRAL], ids=["seanet", "spectral"])
def test_an_item_of_a_padded_batch_has_the_codes_that_it_has_alone(params):
    generator = build_generator((2, 3), **params)
    audio = torch.from_numpy(speech(2 * FRAMES * HOP, 1)).reshape(2, 1, -1)
    lengths = torch.tensor([FRAMES * HOP, 9 * HOP - 3])
    with torch.no_grad():
        codes = generator.codes(audio, None, lengths)
        alone = generator.codes(audio[1:, :, : 9 * HOP - 3])
    assert torch.equal(codes[:, 1, :9], alone[:, 0])
    assert (codes[:, 1, 9:] == -1).all()


def test_settings_tell_a_causal_codec_from_another():
    causal = build_generator().settings
    assert causal["causal"] is True and len(causal["transformers"]) == 2
    parts = {"bottleneck": None, "predistillation": None}
    assert "causal" not in STACodecGenerator(16000, **SIZES | parts).settings


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"bidirectional": True}, "causal does not go with bidirectional: true"),
        ({"spectral": {"encoder": {"n_fft": 320}}}, r"n_fft 320 is not longer .* give e.g. 960"),
        ({"spectral": {"encoder": {"n_fft": 961}}}, r"n_fft 961 is .* or odd; give e.g. 960"),
        ({"spectral": {"decoder": {"overlap_samples": 321}}}, r"321 is not in 0\.\.320, or odd"),
        ({"spectral": {"decoder": {"overlap_samples": 3}}}, r"overlap_samples 3 .* give e.g. 80"),
        ({"input_padding": "convolutions"}, "causal does not go with input_padding 'convolutions'"),
        (
            {"predistillation": {"convolution": {"lookahead_frames": 9}}},
            "cannot look 9 frames ahead",
        ),
        ({"bottleneck": {"window": 10}}, "unknown key window; known are context_frames"),
        ({"bottleneck": transformer(9)}, r"give lookahead_frames in 0\.\.8"),
    ],
)
def test_what_does_not_go_with_it(params, message):
    with pytest.raises(ConfigError, match=message):
        STACodecGenerator(16000, **SIZES | params, causal=True)
