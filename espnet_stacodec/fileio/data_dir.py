"""Kaldi-style data directories: wav.scp, utt2spk, spk2utt, and perhaps text, intent, segments."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.files import read_scp, write_scp

OPTIONAL = ("text", "intent", "segments")


@dataclasses.dataclass(frozen=True)
class DataDir:
    """The lists of one set, keyed by utterance id.

    Attributes:
        wav: Where the audio of each utterance is (wav.scp): a file; in a prepared corpus also
            `<ark>:<offset>` or `<command> |`. With segments, that of each recording.
        text: Transcript of each utterance (text), perhaps ""; empty where the corpus has none.
        utt2spk: Speaker of each utterance (utt2spk).
        intent: Intent label of each utterance (intent); empty where the corpus has none.
        segments: `<recording> <start> <end>` of each utterance, in seconds (segments); empty
            where the recordings are the utterances.
    """

    wav: Mapping[str, str]
    text: Mapping[str, str]
    utt2spk: Mapping[str, str]
    intent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    segments: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def utterances(self) -> Mapping[str, str]:
        """The list whose keys are the utterances: `segments` where there are any, else `wav`."""
        return self.segments or self.wav

    def lists(self) -> dict[str, Mapping[str, str]]:
        """Return the lists by file name, without empty optional ones."""
        optional = {name: getattr(self, name) for name in OPTIONAL}
        given = {name: entries for name, entries in optional.items() if entries}
        return {"wav.scp": self.wav, "utt2spk": self.utt2spk, **given}

    def validate(self, where: Path | str) -> "DataDir":
        """Return self if all lists hold the same utterances.

        Raises:
            DataError: Naming the first utterance that one list has and another lacks, a segment
                that is malformed or of an unknown recording, or an empty set.
        """
        if not self.wav:
            raise DataError(f"{where}: the set has no utterances.")
        for utt_id, segment in self.segments.items():
            recording = parse_segment(segment, f"{where}/segments: {utt_id}").recording
            if recording not in self.wav:
                raise DataError(
                    f"{where}/segments: {utt_id} is part of recording '{recording}', which is"
                    " missing in wav.scp."
                )
        main = "segments" if self.segments else "wav.scp"
        for name, entries in self.lists().items():
            if name == "wav.scp":
                continue
            for utt_id in sorted(set(entries) ^ set(self.utterances)):
                lacking = main if utt_id in entries else name
                raise DataError(f"{where}: {utt_id} is missing in {lacking}; prepare it again.")
        return self

    def select(self, utt_ids: set[str]) -> "DataDir":
        """Return the lists cut down to `utt_ids`; recordings that have segments stay."""
        lists = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        cut = {
            name: {utt: value for utt, value in entries.items() if utt in utt_ids}
            for name, entries in lists.items()
            if name != "wav" or not self.segments
        }
        return dataclasses.replace(self, **cut)

    def write(self, folder: Path | str) -> None:
        """Write the lists, and spk2utt derived from utt2spk, into `folder`; wav.scp comes last.

        A folder with a wav.scp is therefore a complete one. Optional lists that an earlier set left
        there are removed.
        """
        folder = Path(folder)
        self.validate(folder)
        write_spk2utt(folder, self.utt2spk)
        for name in OPTIONAL:
            if name not in self.lists():
                (folder / name).unlink(missing_ok=True)
        for name, entries in reversed(self.lists().items()):
            write_scp(folder / name, entries)

    @classmethod
    def read(cls, folder: Path | str) -> "DataDir":
        """Read and validate a folder.

        Raises:
            DataError: If a list is missing, malformed, or disagrees with another.
        """
        folder = Path(folder)
        optional = {
            name: read_scp(folder / name, allow_empty=name == "text")
            for name in OPTIONAL
            if (folder / name).exists()
        }
        return cls(
            wav=read_scp(folder / "wav.scp"),
            text=optional.pop("text", {}),
            utt2spk=read_scp(folder / "utt2spk"),
            **optional,
        ).validate(folder)


@dataclasses.dataclass(frozen=True)
class Segment:
    """A part of a recording.

    Attributes:
        recording: Its id in wav.scp.
        start: Seconds.
        end: Seconds; None for the end of the recording (-1 in the file).
    """

    recording: str
    start: float
    end: float | None


def parse_segment(value: str, where: str) -> Segment:
    """Return the segment of a line `<recording> <start> <end>`.

    Raises:
        DataError: If it is malformed, or ends before it begins.
    """
    words = value.split()
    try:
        recording, start, end = words[0], *map(float, words[1:])
    except ValueError as error:
        raise DataError(
            f"{where}: '{value}' is not `<recording> <start> <end>` with times in seconds."
        ) from error
    to_end = end == -1
    if not 0 <= start < math.inf or not (to_end or start < end < math.inf):
        raise DataError(f"{where}: there is nothing between {start:g} and {end:g} s.")
    return Segment(recording, start, None if to_end else end)


def write_spk2utt(folder: Path, utt2spk: Mapping[str, str]) -> None:
    """Write <folder>/spk2utt: the utterances of each speaker, both sorted."""
    spk2utt = defaultdict(list)
    for utt_id in sorted(utt2spk, key=str.encode):
        spk2utt[utt2spk[utt_id]].append(utt_id)
    write_scp(folder / "spk2utt", {spk: " ".join(utts) for spk, utts in spk2utt.items()})
