"""Kaldi-style data directories: wav.scp, text, utt2spk, spk2utt and, where there are, intents."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.files import read_scp, write_scp


@dataclasses.dataclass(frozen=True)
class DataDir:
    """The lists of one set, keyed by utterance id.

    Attributes:
        wav: Path of each utterance's audio file (wav.scp).
        text: Transcript of each utterance (text).
        utt2spk: Speaker of each utterance (utt2spk).
        intent: Intent label of each utterance (intent); empty where the corpus has none.
    """

    wav: Mapping[str, str]
    text: Mapping[str, str]
    utt2spk: Mapping[str, str]
    intent: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def lists(self) -> dict[str, Mapping[str, str]]:
        """Return the lists by file name, without empty optional ones."""
        named = {"wav.scp": self.wav, "text": self.text, "utt2spk": self.utt2spk}
        return named | ({"intent": self.intent} if self.intent else {})

    def validate(self, where: Path | str) -> "DataDir":
        """Return self if all lists hold the same utterances.

        Raises:
            DataError: Naming the first utterance that one list has and another lacks, an empty
                set, or a wav.scp entry that is a pipe instead of a file.
        """
        if not self.wav:
            raise DataError(f"{where}: the set has no utterances.")
        for utt_id, value in self.wav.items():
            if value.endswith("|"):
                raise DataError(f"{where}/wav.scp: {utt_id} is a command ('{value}'), not a file.")
        for name, entries in self.lists().items():
            for utt_id in sorted(set(entries) ^ set(self.wav)):
                lacking = "wav.scp" if utt_id in entries else name
                raise DataError(f"{where}: {utt_id} is missing in {lacking}; prepare it again.")
        return self

    def select(self, utt_ids: set[str]) -> "DataDir":
        """Return the lists cut down to `utt_ids`."""
        cut = [
            {utt: value for utt, value in entries.items() if utt in utt_ids}
            for entries in (self.wav, self.text, self.utt2spk, self.intent)
        ]
        return DataDir(*cut)

    def write(self, folder: Path | str) -> None:
        """Write the lists, and spk2utt derived from utt2spk, into `folder`; wav.scp comes last.

        A folder with a wav.scp is therefore a complete one.
        """
        folder = Path(folder)
        self.validate(folder)
        write_spk2utt(folder, self.utt2spk)
        for name, entries in reversed(self.lists().items()):
            write_scp(folder / name, entries)

    @classmethod
    def read(cls, folder: Path | str) -> "DataDir":
        """Read and validate a folder.

        Raises:
            DataError: If a list is missing, malformed, or disagrees with another.
        """
        folder = Path(folder)
        intent = folder / "intent"
        return cls(
            wav=read_scp(folder / "wav.scp"),
            text=read_scp(folder / "text"),
            utt2spk=read_scp(folder / "utt2spk"),
            intent=read_scp(intent) if intent.exists() else {},
        ).validate(folder)


def write_spk2utt(folder: Path, utt2spk: Mapping[str, str]) -> None:
    """Write <folder>/spk2utt: the utterances of each speaker, both sorted."""
    spk2utt = defaultdict(list)
    for utt_id in sorted(utt2spk, key=str.encode):
        spk2utt[utt2spk[utt_id]].append(utt_id)
    write_scp(folder / "spk2utt", {spk: " ".join(utts) for spk, utts in spk2utt.items()})
