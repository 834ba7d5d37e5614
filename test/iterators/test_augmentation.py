"""Random changes of the training audio."""

import numpy as np
import pytest

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.iterators.augmentation import Augmentation

RATE = 16000


def tone(frequency: float, amplitude: float = 0.1) -> np.ndarray:
    """One second of a tone."""
    time = np.arange(RATE) / RATE
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def level_db(audio: np.ndarray) -> float:
    """Root mean square, in dB of full scale."""
    return 10 * np.log10(np.mean(audio.astype(np.float64) ** 2))


def many(augmentation: Augmentation, audio: np.ndarray, count: int = 50) -> list[np.ndarray]:
    """What the same audio becomes, several times."""
    random = np.random.RandomState(0)
    return [augmentation(audio, random) for _ in range(count)]


def test_without_configuration_nothing_changes():
    (same,) = many(Augmentation(RATE), tone(440), 1)
    np.testing.assert_array_equal(same, tone(440))
    assert same.dtype == np.float32


def test_gains_fill_their_range():
    audio = tone(440)
    gains = [level_db(x) - level_db(audio) for x in many(Augmentation(RATE, (-20, 6)), audio)]
    assert -20.01 < min(gains) < -17
    assert 3 < max(gains) < 6.01


def test_what_would_clip_is_as_loud_as_it_can_be():
    for changed in many(Augmentation(RATE, (20, 20)), tone(440, 0.5), 3):
        assert np.abs(changed).max() == pytest.approx(1.0, abs=1e-6)


def test_a_band_limit_takes_what_lies_above():
    limit = Augmentation(RATE, band_share=1.0, band_hz=(3400, 3400))
    for changed in many(limit, tone(1000), 2):
        assert level_db(changed) - level_db(tone(1000)) == pytest.approx(0, abs=0.1)
    for changed in many(limit, tone(6000), 2):
        assert level_db(changed) - level_db(tone(6000)) < -40


def test_an_equalizer_bends_the_spectrum_within_its_limits():
    bent = Augmentation(RATE, equalizer_share=1.0, equalizer_db=6.0)
    changes = [level_db(x) - level_db(tone(1000)) for x in many(bent, tone(1000))]
    assert max(np.abs(changes)) < 6.1
    assert np.std(changes) > 1


def test_noise_has_the_ratio_it_is_given():
    noisy = Augmentation(RATE, noise_share=1.0, snr_db=(20, 20))
    for changed in many(noisy, tone(440), 5):
        assert level_db(changed - tone(440)) - level_db(tone(440)) == pytest.approx(-20, abs=0.1)


def test_shares_are_those_of_utterances():
    changed = many(Augmentation(RATE, noise_share=0.5), tone(440), 200)
    share = np.mean([not np.array_equal(x, tone(440)) for x in changed])
    assert 0.4 < share < 0.6


@pytest.mark.parametrize("length", [0, 1, 7])
def test_audio_of_any_length_keeps_it(length):
    everything = Augmentation(RATE, (-6, 6), equalizer_share=1, band_share=1, noise_share=1)
    for changed in many(everything, np.zeros(length, np.float32), 2):
        assert changed.shape == (length,)
        assert np.isfinite(changed).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_share": 1.5}, "noise_share 1.5 is outside 0..1"),
        ({"gain_db": [5, -15]}, r"gain_db \[5, -15\] is not a lowest and a highest"),
        ({"snr_db": [5]}, r"snr_db \[5\] is not"),
        ({"snr_db": [float("-inf"), 5]}, r"snr_db \[-inf, 5\] is not"),
        ({"gain_db": 5}, "gain_db 5 is of type int; give"),
        ({"gain_db": ["a", "b"]}, r"gain_db \['a', 'b'\] is of type list; give"),
        ({"noise_share": "half"}, "noise_share 'half' is of type str; give float"),
        ({"equalizer_db": -3.0}, "equalizer_db -3.0 is below 0"),
        ({"band_hz": [0.0, 5.0]}, "band_hz 0.0 is not above 0"),
    ],
)
def test_what_cannot_be(options, message):
    with pytest.raises(ConfigError, match=message):
        Augmentation(RATE, **options)
