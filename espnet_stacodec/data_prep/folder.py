"""Any folder of audio files: split by speaker into training and development, and listed.

Transcripts are not needed. Long files become segments. The split depends only on names and lengths.
"""

import dataclasses
import hashlib
import logging
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from typeguard import typechecked

from espnet_stacodec.data_prep.audio_tree import AudioFile, Found, find_audio
from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.fileio.data_dir import DataDir
from espnet_stacodec.fileio.files import write_text

PIECE_SECONDS = 20.0  # longer files are cut into pieces of equal length, at most this
ID_BYTES = 100  # of an utterance; longer names are cut
HASH_DIGITS = 8
CODEC_RATE = 16000
REJECTED_NAME = "unusable_files.txt"


def speakers_of(files: Sequence[AudioFile], rule: str) -> dict[str, str]:
    """Return the speaker of each file, by its name.

    Args:
        files: The files.
        rule: "folder": the folder that a file lies in. "file": each file is a speaker. "": folder
            where there are several, else file. Else a regular expression that is searched in the
            file's name below the folder; its first group, if it has one, is the speaker.

    Raises:
        ConfigError: If the rule is not a regular expression.
        DataError: If it does not match a file.
    """
    folders = {file.name: Path(file.name).parent.as_posix() for file in files}
    if not rule:
        rule = "folder" if len(set(folders.values())) > 1 else "file"
    if rule == "folder":
        return folders
    if rule == "file":
        return {file.name: file.name for file in files}
    pattern = _pattern(rule)
    group = 1 if pattern.groups else 0
    matches = {file.name: pattern.search(file.name) for file in files}
    speakers = {name: match[group] for name, match in matches.items() if match and match[group]}
    lacking = [name for name in matches if name not in speakers]
    if lacking:
        raise DataError(
            f"--speakers '{rule}' finds no speaker in {len(lacking)} of {len(files)} names (first:"
            f" {lacking[0]}); change the expression, or give folder or file."
        )
    return speakers


def _pattern(rule: str) -> re.Pattern[str]:
    try:
        return re.compile(rule)
    except re.error as error:
        raise ConfigError(
            f"--speakers '{rule}' is neither folder nor file nor a regular expression ({error})."
        ) from error


@dataclasses.dataclass(frozen=True)
class Piece:
    """An utterance: a file, or a part of a long one.

    Attributes:
        utt_id: The utterance.
        recording: Id of the file.
        speaker: Id of the speaker.
        file: The file.
        start: Seconds.
        end: Seconds; None for the end of the file.
    """

    utt_id: str
    recording: str
    speaker: str
    file: AudioFile
    start: float = 0.0
    end: float | None = None

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.file.seconds if self.end is None else self.end) - self.start


def pieces_of(found: Found, speakers: Mapping[str, str]) -> list[Piece]:
    """Return the utterances of all files, those longer than `PIECE_SECONDS` cut.

    Args:
        found: The files.
        speakers: Speaker of each file, by its name.
    """
    labels = {speaker: speaker for speaker in speakers.values()}
    labels["."] = found.folder.name  # of files in no folder below
    speaker_ids = make_ids(labels)
    names: dict[str, str] = {}
    for file in found.files:
        stem, speaker = str(Path(file.name).with_suffix("")), speaker_ids[speakers[file.name]]
        # Kaldi sorts utterances by speaker: ids begin with it.
        known = speakers[file.name] == file.name or stem.startswith(f"{speakers[file.name]}/")
        names[file.name] = stem if known else f"{speaker}-{stem}"
    recordings = make_ids(names)
    taken = set(recordings.values())
    pieces = []
    for file in found.files:
        recording = recordings[file.name]
        own = speakers[file.name] == file.name
        speaker = recording if own else speaker_ids[speakers[file.name]]
        number = math.ceil(file.seconds / PIECE_SECONDS)
        if number == 1:
            pieces.append(Piece(recording, recording, speaker, file))
            continue
        borders = [round(file.seconds * i / number, 3) for i in range(number)]
        utt_ids = [f"{recording}-{i:05d}" for i in range(1, number + 1)]
        if taken.intersection(utt_ids):  # another file is called as a piece of this one
            named = f"{recording}-{_digest(file.name)[:HASH_DIGITS]}"
            utt_ids = [f"{named}-{i:05d}" for i in range(1, number + 1)]
        for utt_id, start, end in zip(utt_ids, borders, [*borders[1:], None], strict=True):
            pieces.append(Piece(utt_id, recording, speaker, file, start, end))
    return pieces


def make_ids(labels: Mapping[str, str]) -> dict[str, str]:
    """Return an id for each key: its label's letters, digits and - . _, all different.

    Where two would be equal, or one long, they end in a hash of the key.
    """
    ids = {key: re.sub(r"[^\w.-]+", "-", label).strip("-.") or "x" for key, label in labels.items()}
    counts = Counter(ids.values())
    for key, given in ids.items():
        if counts[given] > 1 or len(given.encode()) > ID_BYTES:
            short = given.encode()[:ID_BYTES].decode(errors="ignore")
            ids[key] = f"{short}-{_digest(key)[:HASH_DIGITS]}"
    return ids


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _unit(pieces: Sequence[Piece]) -> tuple[str, Callable[[Piece], str]]:
    """Return what is not divided, and its name: the largest unit of which there are several."""
    if len({piece.speaker for piece in pieces}) > 1:
        return "speaker", lambda piece: piece.speaker
    if len({piece.recording for piece in pieces}) > 1:
        return "file", lambda piece: piece.recording
    return "piece", lambda piece: piece.utt_id


def split(pieces: Sequence[Piece], share: float) -> tuple[list[Piece], list[Piece]]:
    """Divide utterances into (training, development), by speaker if there are several.

    One speaker's are divided by file, those of one file by piece. About `share` of the audio is for
    development: in an order that depends on names alone, so that further files change little, what
    still fits is taken, or the shortest if nothing does.

    Raises:
        ConfigError: If the share is not above 0 and at most 0.5.
    """
    _check_share(share)
    kind, unit_of = _unit(pieces)
    seconds: dict[str, float] = defaultdict(float)
    for piece in pieces:
        seconds[unit_of(piece)] += piece.seconds
    if kind != "speaker":
        logging.warning(
            "There is only one speaker, %s: the development set is of the same voice (split by %s),"
            " and its scores say nothing of other voices.",
            pieces[0].speaker, kind
        )  # fmt: skip
    wanted, taken = share * sum(seconds.values()), 0.0
    dev: set[str] = set()
    for unit in sorted(seconds, key=_digest):
        if taken + seconds[unit] <= wanted:
            dev.add(unit)
            taken += seconds[unit]
    dev = dev or {min(seconds, key=lambda unit: (seconds[unit], unit))}
    parts: tuple[list[Piece], list[Piece]] = ([], [])
    for piece in pieces:
        parts[unit_of(piece) in dev].append(piece)
    return parts


def _check_share(share: float) -> None:
    if not 0 < share <= 0.5:
        raise ConfigError(f"--dev_share {share:g} is not above 0 and at most 0.5.")


def list_pieces(folder: Path, pieces: Sequence[Piece]) -> DataDir:
    """Return the lists of some utterances of the files in `folder`."""
    wav = {piece.recording: str(folder / piece.file.name) for piece in pieces}
    utt2spk = {piece.utt_id: piece.speaker for piece in pieces}
    if wav.keys() == utt2spk.keys():
        return DataDir(wav, {}, utt2spk)
    segments = {
        piece.utt_id: f"{piece.recording} {piece.start:.3f}"
        + (" -1" if piece.end is None else f" {piece.end:.3f}")
        for piece in pieces
    }
    return DataDir(wav, {}, utt2spk, segments=segments)


@typechecked
def prepare(
    audio_dir: Path | str,
    out_dir: Path | str,
    speakers: str = "",
    dev_share: float = 0.05,
    train_set: str = "train",
    valid_set: str = "dev",
    num_jobs: int = 1,
) -> None:
    """Write data directories for training and development from any folder of audio.

    Args:
        audio_dir: The folder.
        out_dir: Gets <train_set>, <valid_set> and unusable_files.txt.
        speakers: Who speaks in a file, as for `speakers_of`.
        dev_share: Of the audio, for development.
        train_set: Name of the set.
        valid_set: Name of the other one.
        num_jobs: Processes that work at the same time.

    Raises:
        ConfigError: If the share is impossible, `speakers` no regular expression, or both sets
            have one name.
        DataError: If there is too little audio, or a file whose speaker is not found.
    """
    # Before the files are read, which can take minutes.
    _check_share(dev_share)
    _pattern(speakers)
    if train_set == valid_set:
        raise ConfigError(
            f"--train_set and --valid_set are both '{train_set}'; give them different names."
        )
    out_dir = Path(out_dir)
    found = find_audio(audio_dir, num_jobs)
    rejected = "".join(f"{file.name}: {file.rejection}\n" for file in found.rejected)
    write_text(out_dir / REJECTED_NAME, rejected)
    pieces = pieces_of(found, speakers_of(found.files, speakers))
    _report(found, pieces, out_dir)
    for name, part in zip((train_set, valid_set), split(pieces, dev_share), strict=True):
        list_pieces(found.folder, part).write(out_dir / name)
        logging.info(
            "%s: %d utterances of %d speakers, %.1f min",
            out_dir / name, len(part), len({piece.speaker for piece in part}),
            sum(piece.seconds for piece in part) / 60,
        )  # fmt: skip


def _report(found: Found, pieces: Sequence[Piece], out_dir: Path) -> None:
    """Log what was found."""
    rates = Counter(file.rate for file in found.files)
    logging.info(
        "%s: %d audio files, %.2f h, %d speakers; %s; %d other files",
        found.folder, len(found.files), found.seconds / 3600,
        len({piece.speaker for piece in pieces}),
        ", ".join(f"{rate} Hz: {number}" for rate, number in sorted(rates.items())), found.others
    )  # fmt: skip
    low = sum(number for rate, number in rates.items() if rate < CODEC_RATE)
    if low:
        logging.warning(
            "%d files have less than %d Hz: after resampling there is nothing above half their own"
            " rate in them.",
            low, CODEC_RATE
        )  # fmt: skip
    if found.rejected:
        logging.warning(
            "%d files cannot be used (%s: %s; all in %s)",
            len(found.rejected), found.rejected[0].name, found.rejected[0].rejection,
            out_dir / REJECTED_NAME,
        )  # fmt: skip
