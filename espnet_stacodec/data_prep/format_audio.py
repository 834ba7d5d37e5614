"""Stage 2: any audio to 16-bit mono flac of one rate; unusable audio is rejected, with its reason.

Makes, beside the lists of the set, `wav/<utterance>.flac`, `utt2num_samples`, and `rejected.txt`
(`<utterance> <reason>`). `format.yaml` and `source.scp` say what the flac files were made with and
from, so that a later run keeps exactly those that are still right.
"""

import dataclasses
import functools
import io
import logging
import math
import os
import shutil
from pathlib import Path

import numpy as np
import soundfile
import soxr
import yaml
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.fileio.data_dir import DataDir
from espnet_stacodec.fileio.files import atomic_write, read_scp, write_scp, write_text
from espnet_stacodec.parallel import Workers

INT16_STEPS = 1 << 15  # of full scale
CHUNK_FILES = 16  # handed to a worker at once
SLOWEST, FASTEST = 0.5, 2.0


@dataclasses.dataclass(frozen=True)
class AudioRules:
    """Target format of audio, and the limits beyond which it is rejected.

    Attributes:
        sample_rate: Of the files that are written (Hz).
        min_seconds: Shorter audio is rejected.
        max_seconds: Longer audio is rejected. LibriSpeech's longest, in its test sets, is 35 s.
        silence_db: Audio whose peak is below this level is rejected (dB, full scale is 0).
        speed: How many times as fast the audio becomes, and as high.
    """

    sample_rate: int = 16000
    min_seconds: float = 0.1
    max_seconds: float = 40.0
    silence_db: float = -60.0
    speed: float = 1.0

    def __post_init__(self) -> None:
        if self.sample_rate < 1:
            raise ConfigError(f"The sample rate must be positive, got {self.sample_rate} Hz.")
        if not 0 < self.min_seconds <= self.max_seconds:
            raise ConfigError(
                f"Durations from {self.min_seconds} to {self.max_seconds} s hold no audio;"
                " min_seconds must be above 0 and not above max_seconds."
            )
        if not SLOWEST <= self.speed <= FASTEST:
            raise ConfigError(f"A speed of {self.speed:g} is outside {SLOWEST}..{FASTEST}.")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one utterance.

    Attributes:
        utt_id: The utterance.
        num_samples: Of the file that was written; 0 if it was rejected.
        rejection: Why there is no file; empty if there is one.
    """

    utt_id: str
    num_samples: int
    rejection: str = ""


class _Rejected(Exception):
    """Raised with the reason while an utterance is read."""


@typechecked
def format_set(
    data_dir: Path | str, out_dir: Path | str, rules: AudioRules | None = None, num_jobs: int = 1
) -> DataDir:
    """Format the audio of a data directory into `out_dir`, going on where an earlier call stopped.

    Args:
        data_dir: Folder with wav.scp, text, utt2spk and perhaps intent.
        out_dir: Folder to make; its wav.scp comes last and begins with `out_dir` as it is given.
        rules: Rate and limits; the defaults of AudioRules if None.
        num_jobs: Processes that work at the same time.

    Returns:
        The lists of the utterances that were kept, as written to `out_dir`.

    Raises:
        DataError: If an audio file is missing, or no utterance is kept.
        ConfigError: If `num_jobs` is not positive.
        StageError: If a worker process is killed.
    """
    data, out_dir = DataDir.read(data_dir), Path(out_dir)
    rules = rules or AudioRules()
    with Workers(num_jobs) as workers:
        _check_sources(data_dir, data)
        _discard_outdated(out_dir, data, rules)
        work = functools.partial(_format_one, out_dir=out_dir, rules=rules)
        items = list(data.wav.items())
        outcomes = list(
            workers.map(work, items, f"format {out_dir}", "utts", chunk_size=CHUNK_FILES)
        )
    kept = {outcome.utt_id: outcome.num_samples for outcome in outcomes if not outcome.rejection}
    rejected = {outcome.utt_id: outcome.rejection for outcome in outcomes if outcome.rejection}
    write_scp(out_dir / "rejected.txt", rejected)
    if not kept:
        first = min(rejected)
        raise DataError(
            f"{data_dir}: every one of the {len(rejected)} utterances was rejected ({first}:"
            f" {rejected[first]}); the reasons are in {out_dir / 'rejected.txt'}."
        )
    write_scp(out_dir / "utt2num_samples", kept)
    wav = {utt_id: str(_flac(out_dir, utt_id)) for utt_id in kept}
    formatted = dataclasses.replace(data.select(set(kept)), wav=wav)
    formatted.write(out_dir)
    logging.info(
        "%s: kept %d utterances (%.2f h), rejected %d (rejected.txt)",
        out_dir, len(kept), sum(kept.values()) / rules.sample_rate / 3600, len(rejected)
    )  # fmt: skip
    return formatted


def _flac(out_dir: Path, utt_id: str) -> Path:
    """Return where the audio of an utterance goes."""
    return out_dir / "wav" / f"{utt_id}.flac"


def _check_sources(data_dir: Path | str, data: DataDir) -> None:
    """Raise DataError for the first utterance whose id or file cannot be used."""
    for utt_id, source in data.wav.items():
        if "/" in utt_id:
            raise DataError(f"{data_dir}: '{utt_id}' has a '/' and cannot name a file.")
        if not os.access(source, os.R_OK):
            raise DataError(f"{data_dir}: {utt_id}: its audio {source} is missing or unreadable.")


def _discard_outdated(out_dir: Path, data: DataDir, rules: AudioRules) -> None:
    """Remove what an earlier call made with other rules or from other files, and what it left."""
    (out_dir / "wav.scp").unlink(missing_ok=True)  # a folder with a wav.scp is a complete one
    settings, sources = out_dir / "format.yaml", out_dir / "source.scp"
    wanted = yaml.safe_dump(dataclasses.asdict(rules), sort_keys=False)
    if settings.exists() and settings.read_text(encoding="utf-8") != wanted:
        logging.info("%s: the rules have changed, its audio is made anew", out_dir)
        shutil.rmtree(out_dir / "wav", ignore_errors=True)
    for unfinished in (out_dir / "wav").glob(".*.tmp.*"):
        unfinished.unlink()
    if sources.exists():
        for utt_id, source in read_scp(sources).items():
            if data.wav.get(utt_id) != source:
                _flac(out_dir, utt_id).unlink(missing_ok=True)
    (out_dir / "wav").mkdir(parents=True, exist_ok=True)
    write_scp(sources, data.wav)
    write_text(settings, wanted)


def _format_one(item: tuple[str, str], out_dir: Path, rules: AudioRules) -> Outcome:
    """Make the flac file of one (utterance id, source file), unless it is there already."""
    utt_id, source = item
    destination = _flac(out_dir, utt_id)
    if (num_samples := _samples_made_before(destination, Path(source))) is not None:
        return Outcome(utt_id, num_samples)
    try:
        wave, rate = _read_mono(source, rules)
        samples = _to_int16(_resample(wave, rate * rules.speed, rules.sample_rate))
    except (_Rejected, soundfile.LibsndfileError) as error:
        destination.unlink(missing_ok=True)
        broken = "" if isinstance(error, _Rejected) else "broken: "
        return Outcome(utt_id, 0, broken + " ".join(str(error).split()))
    # In memory first: libsndfile does not say when a disk is full.
    flac = io.BytesIO()
    soundfile.write(flac, samples, rules.sample_rate, format="FLAC", subtype="PCM_16")
    try:
        with atomic_write(destination) as temporary:
            temporary.write_bytes(flac.getvalue())
    except OSError as error:
        raise DataError(
            f"{utt_id}: {destination} cannot be written ({error.strerror}); make room or choose"
            " another folder, and run it again."
        ) from error
    return Outcome(utt_id, len(samples))


def _samples_made_before(destination: Path, source: Path) -> int | None:
    """Return the length of an earlier call's file, or None if it must be made (again)."""
    if not destination.exists():
        return None
    # Unpacking an archive or copying can set an old modification time, but never an old change
    # time.
    if source.stat().st_ctime_ns >= destination.stat().st_mtime_ns:
        return None
    try:
        return soundfile.info(destination).frames
    except soundfile.LibsndfileError:
        return None


def _read_mono(source: str, rules: AudioRules) -> tuple[np.ndarray, int]:
    """Return (N,) float32, the mean of the channels, and the source's rate; or raise _Rejected."""
    with soundfile.SoundFile(source) as audio:
        rate, expected = audio.samplerate, audio.frames
        seconds = expected / rate
        # Known from the header: hours of audio are rejected without being read.
        if seconds < rules.min_seconds:
            raise _Rejected(f"short: {seconds:.3f} s, at least {rules.min_seconds} s are needed")
        if seconds > rules.max_seconds:
            raise _Rejected(f"long: {seconds:.1f} s, at most {rules.max_seconds} s are taken")
        wave = audio.read(dtype="float32", always_2d=True).mean(axis=1)
    if len(wave) != expected:
        raise _Rejected(f"broken: {len(wave)} of {expected} samples can be decoded")
    if not np.isfinite(wave).all():
        raise _Rejected("broken: it has samples that are not finite numbers")
    peak = float(np.abs(wave).max())
    peak_db = 20 * math.log10(peak) if peak > 0 else -math.inf
    if peak_db < rules.silence_db:
        raise _Rejected(f"silent: its peak is {peak_db:.1f} dB, below {rules.silence_db} dB")
    return wave, rate


def _resample(wave: np.ndarray, rate: float, wanted_rate: float) -> np.ndarray:
    """Return `wave` (N,) at `wanted_rate` (Hz): (N',), unchanged where the rates are equal."""
    return wave if rate == wanted_rate else soxr.resample(wave, rate, wanted_rate, quality="VHQ")


def _to_int16(wave: np.ndarray) -> np.ndarray:
    """Return (N,) int16; what was 16-bit mono before comes out as it was."""
    return np.clip(np.rint(wave * INT16_STEPS), -INT16_STEPS, INT16_STEPS - 1).astype(np.int16)
