"""Stage 2: any audio to 16-bit mono flac of one rate; unusable audio is rejected, with its reason.

Makes, beside the lists of the set, `wav/<utterance>.flac`, `utt2num_samples`, and `rejected.txt`
(`<utterance> <reason>`). `format.yaml` and `source.scp` record what the flac files were made with
and from, so that a later run keeps exactly those that are still right. Only a change of a command's
output it cannot see. This is a rule for each file, not `fileio.parts`: the result of an utterance
is a file of its own, which appears whole, so that it is itself the record of what is done, and
nothing is made twice after a kill; and one changed source costs one file, where a part would cost a
hundred.
"""

import dataclasses
import functools
import io
import logging
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
import yaml
from typeguard import typechecked

from espnet_stacodec.data_prep import sources
from espnet_stacodec.data_prep.audio_rules import AudioRules
from espnet_stacodec.data_prep.sources import OpenAudio, Part, Recording, Rejected
from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.audio import TOLERATED_CLIPPED_SHARE, at_rate
from espnet_stacodec.fileio.data_dir import DataDir
from espnet_stacodec.fileio.files import atomic_write, read_scp, write_scp, write_text
from espnet_stacodec.fileio.provenance import Provenance
from espnet_stacodec.fileio.temporaries import exclusive
from espnet_stacodec.parallel import Workers

INT16_STEPS = 1 << 15  # of full scale
INT16_LIMITS = (-INT16_STEPS, INT16_STEPS - 1)
CLIPPED_COMMENT = "clipped "
# Names of files may have 255 bytes, of which endings and those of temporary files take some.
MAX_ID_BYTES = 128
CHUNK_FILES = 16  # handed to a worker at once


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Outcome of one utterance.

    Attributes:
        utt_id: The utterance.
        num_samples: Of the file that was written; 0 if it was rejected.
        rejection: Why there is no file; empty if there is one.
        clipped: Share of its samples at the limits of 16 bits; 0 below `TOLERATED_CLIPPED_SHARE`.
    """

    utt_id: str
    num_samples: int
    rejection: str = ""
    clipped: float = 0.0


@typechecked
def format_set(
    data_dir: Path | str,
    out_dir: Path | str,
    rules: AudioRules | None = None,
    workers: Workers | None = None,
    allow_commands: bool = False,
) -> DataDir:
    """Format the audio of a data directory into `out_dir`, going on where an earlier call stopped.

    Args:
        data_dir: Folder with wav.scp, utt2spk and perhaps segments, text and intent.
        out_dir: Folder to make; its wav.scp comes last and begins with `out_dir` as it is given.
        rules: Rate and limits; the defaults of AudioRules if None.
        workers: Processes that work at the same time; None for this one.
        allow_commands: Whether entries `<command> |` of wav.scp may be run.

    Returns:
        The lists of the utterances that were kept, as written to `out_dir`.

    Raises:
        DataError: If an audio file is missing, a command is not allowed, an utterance's id cannot
            name a file, or no utterance is kept.
        StageError: If a worker process is killed.
    """
    data, out_dir = DataDir.read(data_dir), Path(out_dir)
    rules = rules or AudioRules()
    recordings = sources.recordings_of(data)
    _check_ids(data_dir, data)
    sources.check(data_dir, recordings, allow_commands)
    with exclusive(out_dir, "wav"):
        return _format_set(data_dir, data, recordings, out_dir, rules, workers or Workers(1))


def _format_set(
    data_dir: Path | str,
    data: DataDir,
    recordings: Sequence[Recording],
    out_dir: Path,
    rules: AudioRules,
    workers: Workers,
) -> DataDir:
    _discard_outdated(out_dir, recordings, rules)
    work = functools.partial(_format_recording, out_dir=out_dir, rules=rules)
    unit = "recordings" if data.segments else "utts"
    names = [recording.parts[0].utt_id for recording in recordings]
    done = workers.map(work, recordings, f"format {out_dir}", unit, CHUNK_FILES, names)
    outcomes = [outcome for group in done for outcome in group]
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
    formatted = dataclasses.replace(data.select(set(kept)), wav=wav, segments={})
    settings = dataclasses.asdict(rules)
    Provenance(__name__, settings, {"audio": data.wav}).write(out_dir, keep_earlier=True)
    formatted.write(out_dir)
    hours = sum(kept.values()) / rules.sample_rate / 3600
    logging.info("%s: kept %d utterances (%.2f h)%s", out_dir, len(kept), hours, _count(rejected))
    _warn_of_clipping(out_dir, outcomes)
    return formatted


def _count(rejected: Mapping[str, str]) -> str:
    """Return how many utterances were rejected, by reason; the reason is up to the colon."""
    if not rejected:
        return ", rejected none"
    reasons = Counter(reason.partition(":")[0] for reason in rejected.values())
    counts = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
    return f", rejected {len(rejected)} (rejected.txt): {counts}"


def _warn_of_clipping(out_dir: Path, outcomes: Sequence[Outcome]) -> None:
    """Log how many utterances are clipped, and the worst of them."""
    clipped = [outcome for outcome in outcomes if outcome.clipped]
    if clipped:
        worst = max(clipped, key=lambda outcome: outcome.clipped)
        logging.warning(
            "%s: %d utterances have more than %.0f %% of their samples at full scale, clipped"
            " (most: %s, %.1f %%)",
            out_dir, len(clipped), 100 * TOLERATED_CLIPPED_SHARE, worst.utt_id, 100 * worst.clipped
        )  # fmt: skip


def _flac(out_dir: Path, utt_id: str) -> Path:
    """Return where the audio of an utterance goes."""
    return out_dir / "wav" / f"{utt_id}.flac"


def _check_ids(data_dir: Path | str, data: DataDir) -> None:
    """Raise DataError for the first utterance whose id cannot name files."""
    for utt_id in data.utterances:
        if "/" in utt_id:
            raise DataError(f"{data_dir}: '{utt_id}' has a '/' and cannot name a file.")
        length = len(utt_id.encode())
        if length > MAX_ID_BYTES:
            raise DataError(
                f"{data_dir}: the utterance id '{utt_id[:40]}...' has {length} bytes and cannot"
                f" name a file; {MAX_ID_BYTES} are possible, shorten it in all lists."
            )


def _discard_outdated(out_dir: Path, recordings: Sequence[Recording], rules: AudioRules) -> None:
    """Remove what an earlier call made with other rules or from other files."""
    (out_dir / "wav.scp").unlink(missing_ok=True)  # a folder with a wav.scp is a complete one
    settings, made_from = out_dir / "format.yaml", out_dir / "source.scp"
    wanted_sources = {
        part.utt_id: recording.describe(part)
        for recording in recordings
        for part in recording.parts
    }
    wanted = yaml.safe_dump(dataclasses.asdict(rules), sort_keys=False)
    if settings.exists() and settings.read_text(encoding="utf-8") != wanted:
        logging.info("%s: the rules have changed, its audio is made anew", out_dir)
        shutil.rmtree(out_dir / "wav", ignore_errors=True)
    if made_from.exists():
        for utt_id, source in read_scp(made_from).items():
            if wanted_sources.get(utt_id) != source:
                _flac(out_dir, utt_id).unlink(missing_ok=True)
    (out_dir / "wav").mkdir(parents=True, exist_ok=True)
    write_scp(made_from, wanted_sources)
    write_text(settings, wanted)


def _format_recording(recording: Recording, out_dir: Path, rules: AudioRules) -> list[Outcome]:
    """Make the flac files of a recording's utterances, but for those that are there already."""
    known = {part: _made_before(part.utt_id, out_dir, recording.path) for part in recording.parts}
    missing = [part for part, outcome in known.items() if outcome is None]
    made: dict[Part, Outcome] = {}
    if missing:
        try:
            with OpenAudio.open(recording) as audio:
                made = {part: _format_part(audio, part, out_dir, rules) for part in missing}
        except (Rejected, soundfile.LibsndfileError) as error:
            made = {part: _reject(part.utt_id, error, out_dir) for part in missing}
    return [outcome or made[part] for part, outcome in known.items()]


def _format_part(audio: OpenAudio, part: Part, out_dir: Path, rules: AudioRules) -> Outcome:
    """Make the flac file of one utterance."""
    try:
        wave = rules.read(audio, part)
    except (Rejected, soundfile.LibsndfileError) as error:
        return _reject(part.utt_id, error, out_dir)
    samples = _to_int16(at_rate(wave, audio.rate * rules.speed, rules.sample_rate))
    clipped = float(np.isin(samples, INT16_LIMITS).mean())
    clipped = clipped if clipped > TOLERATED_CLIPPED_SHARE else 0.0
    _write_flac(part.utt_id, _flac(out_dir, part.utt_id), samples, rules.sample_rate, clipped)
    return Outcome(part.utt_id, len(samples), clipped=clipped)


def _reject(utt_id: str, error: Exception, out_dir: Path) -> Outcome:
    _flac(out_dir, utt_id).unlink(missing_ok=True)
    broken = "" if isinstance(error, Rejected) else "broken: "
    return Outcome(utt_id, 0, broken + " ".join(str(error).split()))


def _write_flac(
    utt_id: str, destination: Path, samples: np.ndarray, sample_rate: int, clipped: float
) -> None:
    """Write samples (N,) int16; the file's comment keeps the share that is clipped."""
    # In memory first: libsndfile does not say when a disk is full.
    flac = io.BytesIO()
    with soundfile.SoundFile(flac, "w", sample_rate, 1, "PCM_16", format="FLAC") as file:
        if clipped:
            file.comment = f"{CLIPPED_COMMENT}{clipped:.6f}"
        file.write(samples)
    try:
        with atomic_write(destination) as temporary:
            temporary.write_bytes(flac.getvalue())
    except OSError as error:
        raise DataError(
            f"{utt_id}: {destination} cannot be written ({error.strerror}); make room or choose"
            " another folder, and run it again."
        ) from error


def _made_before(utt_id: str, out_dir: Path, source: Path | None) -> Outcome | None:
    """Return the outcome of an earlier call, or None if the file must be made (again)."""
    destination = _flac(out_dir, utt_id)
    if not destination.exists():
        return None
    # Unpacking an archive or copying can set an old modification time, but never an old change
    # time.
    if source is not None and source.stat().st_ctime_ns >= destination.stat().st_mtime_ns:
        return None
    try:
        with soundfile.SoundFile(destination) as file:
            clipped = float(file.comment.removeprefix(CLIPPED_COMMENT) or 0)
            # Of a file that was cut off since, the header still says how long it was.
            file.seek(file.frames - 1)
            if len(file.read(1)) < 1:
                return None
            return Outcome(utt_id, file.frames, clipped=clipped)
    except soundfile.LibsndfileError:
        return None


def _to_int16(wave: np.ndarray) -> np.ndarray:
    """Return (N,) int16; what was 16-bit mono before comes out as it was."""
    return np.clip(np.rint(wave * INT16_STEPS), -INT16_STEPS, INT16_STEPS - 1).astype(np.int16)
