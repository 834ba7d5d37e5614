"""Sets of audio to compare: folders of files, or Kaldi lists; pairs of the same name."""

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from typeguard import typechecked

from espnet_stacodec.data_prep.audio_tree import AudioFile
from espnet_stacodec.data_prep.folder import speakers_of
from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.audio import AUDIO_ENDINGS
from espnet_stacodec.fileio.file_pairs import pair_files
from espnet_stacodec.fileio.files import read_scp

NAMED_IN_LOG = 5  # of names that have no partner


@dataclasses.dataclass(frozen=True)
class AudioSet:
    """Audio by name, and what is known about it.

    Attributes:
        audio: Path of each file. The name is that of the utterance in a list; of a file in a
            folder its path below the folder without the ending, e.g. `speaker/a`.
        speakers: Speaker of each; empty where they are not known.
        texts: Transcripts of some; empty where there are none.
        is_file: Whether it is one file, which was given itself.
    """

    audio: Mapping[str, str]
    speakers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    is_file: bool = False

    @classmethod
    @typechecked
    def open(cls, place: Path) -> "AudioSet":
        """Read a set.

        Args:
            place: A folder with a wav.scp, and perhaps utt2spk and text beside it; a list like
                wav.scp; a folder of audio files of any tree; or one audio file.

        Raises:
            DataError: If there is no audio, or two files have the same name.
        """
        if place.is_dir() and (place / "wav.scp").exists():
            lists = {
                name: read_scp(place / name, allow_empty=name == "text")
                if (place / name).exists()
                else {}
                for name in ("utt2spk", "text")
            }
            return cls(read_scp(place / "wav.scp"), lists["utt2spk"], lists["text"])
        if place.is_dir():
            return cls(_files_of(place))
        if place.suffix == ".scp" and place.is_file():
            return cls(read_scp(place))
        if place.suffix.lower() in AUDIO_ENDINGS and place.is_file():
            return cls({place.stem: str(place)}, is_file=True)
        raise DataError(
            f"{place}: neither a folder of audio nor a list of it (.scp) nor an audio file."
        )

    def named_for(self, originals: "AudioSet") -> Mapping[str, str]:
        """Return the audio by the names that its originals have: its own, but of file and file."""
        if self.is_file and originals.is_file:
            return dict(zip(originals.audio, self.audio.values(), strict=True))
        return self.audio

    def with_speakers(self, rule: str) -> "AudioSet":
        """Return the set with speakers found in the names; see `data_prep.folder.speakers_of`."""
        files = [AudioFile(name) for name in self.audio]
        return dataclasses.replace(self, speakers=speakers_of(files, rule))

    def with_texts(self, path: Path) -> "AudioSet":
        """Return the set with the transcripts of a list, `<name> <words>` lines."""
        return dataclasses.replace(self, texts=read_scp(path, allow_empty=True))


def _files_of(folder: Path) -> dict[str, str]:
    """Return the audio files in a folder and below it, by their names."""
    pairs = pair_files([folder], Path(), AUDIO_ENDINGS, "")
    if pairs.failures:
        raise DataError(next(iter(pairs.failures.values())))
    names = {output.as_posix(): str(path) for path, output in pairs.outputs.items()}
    return dict(sorted(names.items(), key=lambda item: os.fsencode(item[0])))


@dataclasses.dataclass(frozen=True)
class Pair:
    """An original and its resynthesis.

    Attributes:
        name: The utterance.
        reference: File of the original.
        estimate: File of the resynthesis.
    """

    name: str
    reference: str
    estimate: str


@typechecked
def pair_sets(
    references: Mapping[str, str], estimates: Mapping[str, str], where: object
) -> dict[str, Pair]:
    """Return the pairs with the same name, in the order of the references.

    Audio that only one side has is logged and not scored.

    Args:
        references: Originals by name.
        estimates: Resynthesized audio by name.
        where: Names the estimates in messages.

    Raises:
        DataError: If no name is on both sides.
    """
    pairs = {
        name: Pair(name, path, estimates[name])
        for name, path in references.items()
        if name in estimates
    }
    if not pairs:
        raise DataError(
            f"{where}: no file has the name of an original, e.g. {next(iter(references))};"
            f" here is e.g. {next(iter(estimates))}. Names are paths below the folder, without"
            " their endings."
        )
    missing = [name for name in references if name not in estimates]
    extra = [name for name in estimates if name not in references]
    for names, what in ((missing, "originals have no resynthesis"), (extra, "have no original")):
        if names:
            logging.warning("%s: %d %s: %s", where, len(names), what, _some(names))
    return pairs


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED_IN_LOG]) + (", ..." if len(names) > NAMED_IN_LOG else "")
