"""Distortions: what is known of each."""

import pickle

import numpy as np
import pytest
import soundfile
import soxr

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.evaluation import distortions
from espnet_stacodec.evaluation.distortions import rms, standard_distortions, write_distorted
from espnet_stacodec.evaluation.rooms import room_response
from espnet_stacodec.fileio.audio import read_audio
from espnet_stacodec.fileio.files import read_scp
from espnet_stacodec.parallel import Workers

RATE = 16000


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """One second of a buzz whose loudness comes and goes."""
    time = np.arange(RATE) / RATE
    buzz = sum(np.sin(2 * np.pi * 130 * h * time) / h for h in range(1, 50))
    return (0.1 * buzz * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time))).astype(np.float32)


@pytest.fixture(scope="module")
def every(tmp_path_factory, noise) -> dict:
    folder = tmp_path_factory.mktemp("voices")
    for number in range(8):
        soundfile.write(folder / f"{number}.wav", noise(6000 + number, number), 8000)
    return standard_distortions(sorted(folder.iterdir()))


def lag(one: np.ndarray, other: np.ndarray) -> int:
    """Return by how many samples `other` is late."""
    size = 2 * max(len(one), len(other))
    found = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(one, size)), size)
    peak = int(np.abs(found).argmax())
    return peak if peak < size // 2 else peak - size


def power_above(wave: np.ndarray, hz: float) -> float:
    """Return the share of a signal's power above a frequency."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    return float(power[int(hz * len(wave) / RATE) :].sum() / power.sum())


def test_all_keep_length_and_time_but_speed(every, speech, noise):
    sound = distortions.through_rate(noise(RATE), RATE, np.random.default_rng(0), 6000)
    for name, distortion in every.items():
        changed = distortion(speech, RATE, "a")
        assert changed.dtype == np.float32 and np.isfinite(changed).all(), name
        if distortion.keeps_length:
            assert len(changed) == len(speech), name
            # Speech repeats itself; noise below 3 kHz, which all of them let through, does not.
            # Of a whisper only the envelope is the speech's.
            assert name == "whisper" or abs(lag(sound, distortion(sound, RATE))) <= 1, name
        assert np.array_equal(changed, distortion(speech, RATE, "a")), f"{name}: not repeatable"
        pickle.loads(pickle.dumps(distortion))  # for worker processes


@pytest.mark.parametrize("snr", [20, 10, 0])
@pytest.mark.parametrize("kind", ["white", "pink", "babble", "music"])
def test_noise_has_its_ratio(every, speech, kind, snr):
    added = every[f"{kind}_{snr}dB"](speech, RATE, "a") - speech
    assert 20 * np.log10(rms(speech) / rms(added)) == pytest.approx(snr, abs=0.01)
    other = every[f"{kind}_{snr}dB"](speech, RATE, "b") - speech
    assert not np.allclose(added, other)  # each utterance has its own


def test_pink_noise_falls_by_3_db_an_octave(every):
    silence_with_noise = every["pink_0dB"](np.full(RATE, 0.1, np.float32), RATE, "a") - 0.1
    octaves = [power_above(silence_with_noise, hz) for hz in (1000, 2000, 4000)]
    assert octaves[0] - octaves[1] == pytest.approx(octaves[1] - octaves[2], rel=0.2)


def test_no_audio_is_too_short(every, noise):
    for name, distortion in every.items():
        for samples in (1, 20):
            changed = distortion(noise(samples), RATE, "a")
            assert len(changed) == samples or not distortion.keeps_length, name


def test_a_whisper_has_the_envelope_and_no_pitch(every, speech):
    whispered = every["whisper"](speech, RATE, "a")
    period = round(RATE / 130)

    def periodicity(wave: np.ndarray) -> float:
        return float(np.corrcoef(wave[:-period], wave[period:])[0, 1])

    def loudness(wave: np.ndarray) -> np.ndarray:
        return np.sqrt(np.square(wave).reshape(-1, 400).mean(1))

    assert periodicity(speech) > 0.9 and abs(periodicity(whispered)) < 0.2
    assert np.corrcoef(loudness(speech), loudness(whispered))[0, 1] > 0.9
    assert rms(whispered) == pytest.approx(rms(speech))
    assert len(every["whisper"](speech[:50], RATE, "a")) == 50


def test_music_is_made_of_chords(every):
    """Half a second of it sounds at few frequencies: those of partials."""
    added = every["music_0dB"](np.full(RATE, 0.1, np.float32), RATE, "a") - 0.1
    power = np.sort(np.abs(np.fft.rfft(added[: RATE // 2] * np.hanning(RATE // 2))) ** 2)[::-1]
    assert power[:150].sum() > 0.95 * power.sum()
    assert not np.allclose(added[: RATE // 2], added[RATE // 2 :])


def test_bands(every, speech):
    assert power_above(speech, 4200) > 1e-3
    assert power_above(every["rate_8k"](speech, RATE), 4200) < 1e-5
    telephone = every["telephone"](speech, RATE)
    assert power_above(telephone, 4200) < 1e-4
    assert 1 - power_above(telephone, 200) < 1e-2 < 1 - power_above(speech, 200)


def test_levels_are_peaks_below_full_scale(every, speech):
    for db in (-50, -20, 0):
        peak = np.abs(every[f"level_{db}dB"](speech, RATE)).max()
        assert 20 * np.log10(peak) == pytest.approx(db, abs=1e-3)
    clipped = every["clipped_12dB"](speech, RATE)
    assert np.abs(clipped).max() == pytest.approx(np.abs(speech).max() / 10 ** (12 / 20), rel=1e-5)
    assert not every["level_-20dB"](np.zeros(100, np.float32), RATE).any()


def test_speed(every, speech):
    fast = every["speed_1.1"](speech, RATE)
    assert len(fast) == pytest.approx(RATE / 1.1, abs=2)
    spectrum = np.abs(np.fft.rfft(fast))
    assert spectrum.argmax() * RATE / len(fast) == pytest.approx(130 * 1.1, abs=2)


def test_codecs_change_a_little(every, speech):
    for name in distortions.CODECS:
        error = every[name](speech, RATE) - speech
        ratio = 20 * np.log10(rms(speech) / rms(error))
        assert 0 < ratio < 60, name
    with pytest.raises(ConfigError, match="codec 'aac' is unknown; known are mp3_32k"):
        distortions.through_codec(speech, RATE, np.random.default_rng(0), "aac")


@pytest.mark.parametrize("rate", [22050, 44100, 96000])
@pytest.mark.parametrize("codec", ["opus_20k", "opus_6k", "mp3_32k"])
def test_codecs_take_audio_of_rates_that_they_do_not_have(every, speech, noise, codec, rate):
    sound = soxr.resample(speech, RATE, rate, quality="VHQ")
    changed = every[codec](sound, rate)
    assert len(changed) == len(sound)
    error = changed - sound
    assert 0 < 20 * np.log10(rms(sound) / rms(error)) < 60
    hiss = soxr.resample(noise(RATE), RATE, rate, quality="VHQ")
    low = distortions.through_rate(hiss, rate, np.random.default_rng(0), 6000)
    assert abs(lag(low, every[codec](low, rate))) < 1e-4 * rate  # 0.1 ms


def test_a_room_decays_as_it_should():
    """Schroeder's integral of the response falls by 60 dB in about the time asked for."""
    for rt60 in (0.3, 0.8):
        response = room_response(RATE, rt60)
        assert response[0] == pytest.approx(1, abs=0.1)  # the direct sound
        decay = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / (response**2).sum())
        falls = [int((decay < db).argmax()) / RATE for db in (-5, -25)]
        assert 3 * (falls[1] - falls[0]) == pytest.approx(rt60, rel=0.15)


def test_the_first_echo_of_a_room():
    """The floor: of 1 m heights, 2 m apart, its echo travels sqrt(8) m."""
    room, talker, microphone = (50.0, 50.0, 50.0), (20.0, 25.0, 1.0), (22.0, 25.0, 1.0)
    response = room_response(RATE, 1.0, room, talker, microphone)
    late = round((np.sqrt(8) - 2) * RATE / 343)
    assert np.abs(response[10 : late + 10]).argmax() + 10 == late


def test_copies_of_a_set(every, speech, tmp_path):
    audio = {}
    for name in ("s/a", "s/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"{name}.wav", speech, RATE)
        audio[name] = str(tmp_path / f"{name}.wav")
    with Workers(1) as workers:
        copies = write_distorted(audio, every["white_10dB"], tmp_path / "out", workers)
        wave, rate = read_audio(copies["s/a"])
        assert rate == RATE and len(wave) == len(speech)
        assert (tmp_path / "out" / "wav.scp").exists()
        before = (tmp_path / "out" / "s" / "a.flac").stat().st_mtime_ns
        write_distorted(audio, every["white_10dB"], tmp_path / "out", workers)
        assert (tmp_path / "out" / "s" / "a.flac").stat().st_mtime_ns == before
        write_distorted(audio, every["white_0dB"], tmp_path / "out", workers)
        assert (tmp_path / "out" / "s" / "a.flac").stat().st_mtime_ns != before


def test_a_list_of_copies_can_be_read_whatever_they_are_called(every, speech, tmp_path):
    soundfile.write(tmp_path / "my voice.wav", speech, RATE)
    audio = {"my voice": str(tmp_path / "my voice.wav")}
    with Workers(1) as workers:
        copies = write_distorted(audio, every["white_10dB"], tmp_path / "out", workers)
    assert read_scp(tmp_path / "out" / "wav.scp") == {"my%20voice": copies["my voice"]}


def test_without_voices_there_is_no_babble():
    names = standard_distortions()
    assert "white_10dB" in names and not any("babble" in name for name in names)
