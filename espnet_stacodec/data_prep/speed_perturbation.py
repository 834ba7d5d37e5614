"""Stage 2: copies of a formatted set that are faster or slower, and so higher or lower in pitch.

Ko et al., "Audio augmentation for speech recognition", Interspeech 2015. To a model that predicts
semantic tokens (SPD) they are further voices; their tokens are those of the copies, not of the
originals.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from typeguard import typechecked

from espnet_stacodec.config import load_yaml
from espnet_stacodec.data_prep.audio_rules import AudioRules
from espnet_stacodec.data_prep.format_audio import format_set
from espnet_stacodec.errors import ConfigError, StageError
from espnet_stacodec.fileio.data_dir import DataDir
from espnet_stacodec.fileio.files import read_scp, require, write_scp
from espnet_stacodec.fileio.provenance import PROVENANCE_NAME, Provenance
from espnet_stacodec.fileio.temporaries import exclusive
from espnet_stacodec.parallel import Workers


@typechecked
def perturb_set(
    data_dir: Path | str,
    out_dir: Path | str,
    factors: Sequence[float],
    sample_rate: int = 16000,
    workers: Workers | None = None,
) -> DataDir:
    """Write a set with a copy of each utterance for each factor, going on where a call stopped.

    A copy of 1.1 is 1.1 times as fast; its utterance and its speaker begin with `sp1.1-`. Where 1
    is a factor, the originals are part of the set.

    Args:
        data_dir: Folder of stage 2, e.g. dump/raw/train.
        out_dir: Folder to make, e.g. dump/raw/train_sp.
        factors: Speeds, all different.
        sample_rate: Of the audio (Hz).
        workers: Processes that work at the same time; None for this one.

    Returns:
        The lists of the set, as written to `out_dir`.

    Raises:
        ConfigError: If a factor is given twice or is not between 0.5 and 2.
        DataError: If an audio file is missing.
    """
    if len(set(factors)) < len(factors):
        given = " ".join(f"{factor:g}" for factor in factors)
        raise ConfigError(f"Speed factors must differ, got {given}.")
    # The originals were long enough and not too long: so are their copies.
    every = AudioRules(sample_rate, min_seconds=1 / sample_rate, max_seconds=math.inf)
    rules = {factor: dataclasses.replace(every, speed=factor) for factor in factors}
    out_dir = Path(out_dir)
    with exclusive(out_dir):
        return _perturb_set(data_dir, out_dir, rules, workers or Workers(1))


@typechecked
def check_speeds(out_dir: Path | str, factors: Sequence[float]) -> None:
    """Raise StageError unless the copies of a set are of these speeds, which no name says.

    Args:
        out_dir: Folder that `perturb_set` made.
        factors: Speeds.
    """
    there = load_yaml(require(Path(out_dir) / PROVENANCE_NAME, "stage 2"))
    before = there["configuration"]["factors"]
    if sorted(before) != sorted(factors):
        made, asked = (" ".join(f"{factor:g}" for factor in part) for part in (before, factors))
        raise StageError(
            f"{out_dir}: it has copies of the speeds {made}, not of {asked}; run stage 2 again,"
            " which makes them, or give --speed_perturb_factors as they are."
        )


def _perturb_set(
    data_dir: Path | str, out_dir: Path, rules: Mapping[float, AudioRules], workers: Workers
) -> DataDir:
    (out_dir / "wav.scp").unlink(missing_ok=True)  # a folder with a wav.scp is a complete one
    parts: list[DataDir] = []
    lengths: dict[str, str] = {}
    for factor in rules:
        name, folder = f"sp{factor:g}-", Path(data_dir)
        if factor == 1:
            name = ""
        else:
            folder = out_dir / f"sp{factor:g}"
            format_set(data_dir, folder, rules[factor], workers)
        parts.append(_prefix(DataDir.read(folder), name))
        counts = read_scp(folder / "utt2num_samples")
        lengths |= {name + utt_id: count for utt_id, count in counts.items()}
    combined = DataDir(
        *(_union(part) for part in zip(*map(dataclasses.astuple, parts), strict=True))
    )
    write_scp(out_dir / "utt2num_samples", lengths)
    made = Provenance(__name__, {"factors": list(rules)}, {"audio": DataDir.read(data_dir).wav})
    made.write(out_dir, keep_earlier=True)
    combined.write(out_dir)
    return combined


def _prefix(data: DataDir, name: str) -> DataDir:
    """Return the lists with utterances and speakers renamed."""
    lists = [
        {name + utt: value for utt, value in part.items()} for part in dataclasses.astuple(data)
    ]
    renamed = DataDir(*lists)
    speakers = {utt_id: name + speaker for utt_id, speaker in renamed.utt2spk.items()}
    return dataclasses.replace(renamed, utt2spk=speakers)


def _union(parts: Sequence[dict[str, str]]) -> dict[str, str]:
    return {utt_id: value for part in parts for utt_id, value in part.items()}
