"""`fit_data.yaml`, beside a tokenizer that was fitted here: which utterances it was fitted on."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import yaml

from espnet_stacodec.config import load_yaml
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.fileio.files import content_key, write_text
from espnet_stacodec.semantic.token_files import Utterance

NAME = "fit_data.yaml"


@dataclasses.dataclass(frozen=True)
class FitData:
    """A training set, wherever it lies.

    Attributes:
        train_set: Its name.
        utterances: How many it has.
        key: Identifies their ids and lengths.
    """

    train_set: str
    utterances: int
    key: str

    @classmethod
    def of(cls, train_dir: Path, utterances: Sequence[Utterance]) -> "FitData":
        """Describe a set of stage 2."""
        lengths = {utterance.utt_id: utterance.num_samples for utterance in utterances}
        return cls(train_dir.name, len(lengths), content_key(lengths))

    def write(self, folder: Path) -> None:
        """Write the description into a tokenizer's folder."""
        write_text(folder / NAME, yaml.safe_dump(dataclasses.asdict(self), sort_keys=False))

    def check(self, folder: Path) -> None:
        """Raise ConfigError if a folder's tokenizer was fitted on other utterances.

        A folder that does not say, because it was copied without this file, is taken as it is.
        """
        if not (folder / NAME).exists():
            return
        there = FitData(**load_yaml(folder / NAME))
        if there.key != self.key:
            raise ConfigError(
                f"{folder}: its clusters were fitted on {there.train_set} of {there.utterances}"
                f" utterances, not on this {self.train_set} of {self.utterances}; remove that"
                " folder to fit them again, or write to another one (--dumpdir)."
            )
