"""What can happen to speech before a codec gets it: bands, noise, rooms, levels, other codecs ...

A distortion is a function (wave (N,) float32, rate, generator) -> (N,) float32, which `Distortion`
names. All keep the length and the time of every sound, except changes of speed.
"""

import dataclasses
import functools
import io
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, sosfiltfilt
from typeguard import typechecked

from espnet_stacodec.config import choose
from espnet_stacodec.errors import DataError, naming
from espnet_stacodec.evaluation.rooms import reverberate
from espnet_stacodec.evaluation.synthesis import music, whispered
from espnet_stacodec.fileio.audio import OPUS_RATES, at_rate, next_rate, read_audio, write_audio
from espnet_stacodec.fileio.files import identify, one_word, write_scp
from espnet_stacodec.fileio.parts import Part, Parts, cut
from espnet_stacodec.fileio.temporaries import exclusive
from espnet_stacodec.parallel import Workers, one_thread

Signal = np.ndarray
Change = Callable[[Signal, int, np.random.Generator], Signal]
# Format, subtype and compression level of libsndfile; bitrates of speech at 16 kHz.
CODECS = {
    "mp3_32k": ("MP3", "MPEG_LAYER_III", None),
    "mp3_24k": ("MP3", "MPEG_LAYER_III", 0.9),
    "opus_20k": ("OGG", "OPUS", 0.9),
    "opus_6k": ("OGG", "OPUS", 1.0),
    "gsm": ("WAV", "GSM610", None),
    "mu_law": ("WAV", "ULAW", None),
}
# Those that a format has, where it has not all (Hz).
CODEC_RATES = {
    "OGG": OPUS_RATES,
    "MP3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
}
MP3_DELAY = 1105  # samples that LAME and its decoder put first, where no header says so
TALKERS = 6  # of babble
LEVELS_DBFS = (-50, -40, -30, -20, -10, 0)
EPSILON = 1e-9


@dataclasses.dataclass(frozen=True)
class Distortion:
    """A distortion with its name.

    Attributes:
        name: For folders and tables.
        kind: Which distortions stand together: level, band, noise, babble, music, voice, room,
            codec, speed.
        change: The function.
        keeps_length: Whether sounds stay where they are.
    """

    name: str
    kind: str
    change: Change
    keeps_length: bool = True

    def __call__(self, wave: Signal, rate: int, name: str = "") -> Signal:
        """Return a distorted copy.

        Args:
            wave: (N,) floating point.
            rate: Hz.
            name: The utterance; the same name always gets the same noise.
        """
        seed = zlib.crc32(f"{self.name} {name}".encode())
        changed = self.change(wave.astype(np.float32), rate, np.random.default_rng(seed))
        return changed.astype(np.float32)

    def without_voices(self, own: Collection[str]) -> "Distortion":
        """Return the distortion without the voices in some files, as those of the speaker.

        Raises:
            DataError: If it has none but these.
        """
        keywords = self.change.keywords if isinstance(self.change, functools.partial) else {}
        if "voices" not in keywords:
            return self
        voices = tuple(voice for voice in keywords["voices"] if voice not in own)
        if not voices:
            raise DataError(
                f"{self.name} is made of other voices than the speaker's, and there are none; give"
                " audio of more speakers, or leave it out."
            )
        change: Any = self.change
        return dataclasses.replace(self, change=functools.partial(change, voices=voices))

    def identity(self) -> list:
        """Return what tells its copies from those of another one, as JSON can say it."""
        keywords = self.change.keywords if isinstance(self.change, functools.partial) else {}
        return [self.name, sorted(keywords.items())]


def level(wave: Signal, rate: int, generator: np.random.Generator, dbfs: float) -> Signal:
    """Scale a signal so that its peak is `dbfs`; 0 is full scale."""
    return wave * (10 ** (dbfs / 20) / max(float(np.abs(wave).max()), EPSILON))


def clip(wave: Signal, rate: int, generator: np.random.Generator, above_db: float) -> Signal:
    """Cut the peaks that are less than `above_db` below the largest."""
    limit = float(np.abs(wave).max()) * 10 ** (-above_db / 20)
    return wave.clip(-limit, limit)


def through_rate(
    wave: Signal, rate: int, generator: np.random.Generator, through_hz: int
) -> Signal:
    """Resample to another rate and back: nothing above half of it is left."""
    there = soxr.resample(wave, rate, through_hz, quality="VHQ")
    return fit(soxr.resample(there, through_hz, rate, quality="VHQ"), len(wave))


def band(
    wave: Signal, rate: int, generator: np.random.Generator, low_hz: float, high_hz: float
) -> Signal:
    """Keep a band, e.g. a telephone's 300 to 3400 Hz; nothing is delayed."""
    sections = butter(6, [low_hz, high_hz], "bandpass", fs=rate, output="sos")
    padding = min(3 * (2 * len(sections) + 1), len(wave) - 1)  # SciPy's, or what there is
    return sosfiltfilt(sections, wave, padlen=padding)


def noise(
    wave: Signal, rate: int, generator: np.random.Generator, snr_db: float, pink: bool = False
) -> Signal:
    """Add white noise, or pink one (equal power in each octave), at a signal-to-noise ratio."""
    spectrum = np.fft.rfft(generator.standard_normal(len(wave)))
    if pink:
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    return mix(wave, np.fft.irfft(spectrum, len(wave)), snr_db)


def babble(
    wave: Signal,
    rate: int,
    generator: np.random.Generator,
    snr_db: float,
    voices: tuple[str, ...],
    talkers: int = TALKERS,
) -> Signal:
    """Add other people's voices, equally loud, each from a random place in its file.

    Args:
        wave: (N,).
        rate: Hz.
        generator: Chooses voices and places.
        snr_db: Of the speech to all of them together.
        voices: Audio files, not of the speaker's own voice.
        talkers: How many of them speak at a time.
    """
    total = np.zeros(len(wave))
    for index in generator.permutation(len(voices))[:talkers]:
        voice, voice_rate = read_audio(voices[index])
        if voice_rate != rate:
            voice = soxr.resample(voice, voice_rate, rate)
        start = int(generator.integers(len(voice)))
        looped = np.resize(np.roll(voice, -start), len(wave))
        total += looped / max(rms(looped), EPSILON)
    return mix(wave, total, snr_db)


def with_music(wave: Signal, rate: int, generator: np.random.Generator, snr_db: float) -> Signal:
    """Add chords, at a ratio of the speech to them."""
    return mix(wave, music(len(wave), rate, generator), snr_db)


def whisper(wave: Signal, rate: int, generator: np.random.Generator) -> Signal:
    """Replace the voice by noise of the same spectral envelope, as loud as the speech was."""
    changed = whispered(wave, rate, generator)
    return changed * (rms(wave) / max(rms(changed), EPSILON))


def room(wave: Signal, rate: int, generator: np.random.Generator, rt60: float) -> Signal:
    """Put the talker in a room of 6 x 5 x 3 m; see `rooms.room_response`."""
    return reverberate(wave, rate, rt60)


def through_codec(wave: Signal, rate: int, generator: np.random.Generator, codec: str) -> Signal:
    """Encode and decode with one of `CODECS`, at the next higher rate that it has."""
    kind, subtype, compression = choose(CODECS, codec, "codec")
    options: dict[str, object] = {}
    if compression is not None:
        options["compression_level"] = compression
        if kind == "MP3":
            options["bitrate_mode"] = "CONSTANT"
    coded_rate = next_rate(rate, CODEC_RATES.get(kind, (rate,)))
    given = at_rate(wave.clip(-1, 1), rate, coded_rate)
    file = io.BytesIO()
    soundfile.write(file, given, coded_rate, format=kind, subtype=subtype, **options)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    if kind == "MP3" and len(decoded) > len(given):
        decoded = decoded[MP3_DELAY:]
    return fit(at_rate(fit(decoded, len(given)), coded_rate, rate), len(wave))


def speed(wave: Signal, rate: int, generator: np.random.Generator, factor: float) -> Signal:
    """Play a signal `factor` times as fast, and so higher or lower in pitch."""
    return soxr.resample(wave, rate * factor, rate, quality="VHQ")


def fit(wave: Signal, length: int) -> Signal:
    """Return (length,) samples: the end is cut, or filled with zeros."""
    return np.pad(wave[:length], (0, max(length - len(wave), 0)))


def rms(wave: Signal) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def mix(wave: Signal, other: Signal, snr_db: float) -> Signal:
    """Add (N,) samples at a signal-to-noise ratio, over the whole of both."""
    gain = rms(wave) * 10 ** (-snr_db / 20) / max(rms(other), EPSILON)
    return wave + gain * other


@typechecked
def standard_distortions(voices: Sequence[Path | str] = ()) -> dict[str, Distortion]:
    """Return the distortions that robustness is measured with, by name.

    Args:
        voices: Audio files of other speakers, for babble; without them there is none.
    """
    every: list[tuple[str, str, Change]] = [
        ("rate_8k", "band", functools.partial(through_rate, through_hz=8000)),
        ("telephone", "band", functools.partial(band, low_hz=300, high_hz=3400)),
        ("room_0.3s", "room", functools.partial(room, rt60=0.3)),
        ("room_0.8s", "room", functools.partial(room, rt60=0.8)),
        ("whisper", "voice", whisper),
        ("clipped_12dB", "level", functools.partial(clip, above_db=12)),
    ]
    every += [(f"level_{db}dB", "level", functools.partial(level, dbfs=db)) for db in LEVELS_DBFS]
    for snr in (20, 10, 0):
        every.append((f"white_{snr}dB", "noise", functools.partial(noise, snr_db=snr)))
        every.append((f"pink_{snr}dB", "noise", functools.partial(noise, snr_db=snr, pink=True)))
        every.append((f"music_{snr}dB", "music", functools.partial(with_music, snr_db=snr)))
        if voices:
            files = tuple(map(str, voices))
            change = functools.partial(babble, snr_db=snr, voices=files)
            every.append((f"babble_{snr}dB", "babble", change))
    every += [(codec, "codec", functools.partial(through_codec, codec=codec)) for codec in CODECS]
    found = [Distortion(*one) for one in every]
    found += [
        Distortion(f"speed_{factor}", "speed", functools.partial(speed, factor=factor), False)
        for factor in (0.9, 1.1)
    ]
    return {distortion.name: distortion for distortion in found}


@typechecked
def write_distorted(
    audio: Mapping[str, str], distortion: Distortion, out_dir: Path, workers: Workers
) -> dict[str, str]:
    """Write a distorted copy of each file as out_dir/<name>.flac, and wav.scp; returns their paths.

    In the list a blank in a name is %20. Samples beyond full scale are clipped, as in any file of
    16 bits. What an interrupted call has finished is kept.

    Args:
        audio: Path of each file, by name.
        distortion: What is done to each.
        out_dir: Where to write.
        workers: Who computes.
    """
    copies = {name: str(out_dir / f"{name}.flac") for name in audio}
    items = {name: (name, path, copies[name]) for name, path in audio.items()}
    work = functools.partial(_write_copy, distortion)
    listed = out_dir / "wav.scp"
    parts = Parts(listed, cut(identify(audio)), distortion.identity(), "scp")
    with exclusive(out_dir):
        parts.complete(workers.map_named(work, items, f"distort {distortion.name}"), _save)
        write_scp(listed, {one_word(name): copy for name, copy in copies.items()})
    return copies


def _save(part: Part, written: Sequence[str]) -> None:
    write_scp(part.path, dict(zip(part.ids, written, strict=True)))


@one_thread()
def _write_copy(distortion: Distortion, item: tuple[str, str, str]) -> str:
    name, source, copy = item
    with naming(name):
        wave, rate = read_audio(source)
    write_audio(copy, distortion(wave, rate, name), rate)
    return copy
