"""SLURP: dataset/slurp/<set>.jsonl, one prompt a line, and audio/slurp_real/*.flac."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from typeguard import typechecked

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.data_dir import DataDir

ANNOTATIONS = Path("dataset/slurp")
REAL_AUDIO = Path("audio/slurp_real")
SYNTHETIC_AUDIO = Path("audio/slurp_synth")
SYNTHETIC_SET = "train_synthetic"
UNKNOWN_SPEAKER = "UNK"
# The official train.jsonl names a recording that was never published; much more than that is a
# corpus that was not unpacked completely.
MAX_MISSING_SHARE = 0.01


@typechecked
def prepare_set(corpus: Path | str, set_name: str, speakers: Mapping[str, str]) -> DataDir:
    """List the recordings of one set: train, devel, test or train_synthetic.

    Utterance ids are the recordings' file names without ending. The text is the prompt's
    `sentence` as it is. The intent is "<scenario>_<action>", as SLURP is scored: the field
    `intent` says something else for one prompt in a hundred. A recording that several prompts
    claim belongs to the first, as in ESPnet's recipe. The speaker is metadata.json's `usrid`; a
    recording without one, or with "UNK", is its own speaker.

    Args:
        corpus: The folder that holds dataset/ and audio/.
        set_name: Name of the .jsonl file.
        speakers: `usrid` by recording, from `read_speakers`.

    Raises:
        DataError: If a file or field is missing or malformed, a sentence is empty, or more than
            1 % of the recordings are not on disk.
    """
    corpus = Path(corpus)
    audio = corpus / (SYNTHETIC_AUDIO if set_name == SYNTHETIC_SET else REAL_AUDIO)
    on_disk = {path.name for path in audio.glob("*")}
    wav: dict[str, str] = {}
    text: dict[str, str] = {}
    utt2spk: dict[str, str] = {}
    intents: dict[str, str] = {}
    missing, claimed_twice = set(), []
    path = corpus / ANNOTATIONS / f"{set_name}.jsonl"
    for file_name, sentence, intent in _recordings(path):
        utt_id = Path(file_name).stem
        if file_name not in on_disk:
            missing.add(file_name)
        elif utt_id in wav:
            claimed_twice.append(file_name)
        else:
            usrid = speakers.get(file_name, UNKNOWN_SPEAKER)
            wav[utt_id], text[utt_id], intents[utt_id] = str(audio / file_name), sentence, intent
            utt2spk[utt_id] = utt_id if usrid == UNKNOWN_SPEAKER else usrid
    _report_missing(path, audio, sorted(missing), len(missing) + len(wav))
    if claimed_twice:
        logging.warning(
            "%s: %d recordings are listed again under another prompt, the first one counts: %s",
            path, len(claimed_twice), ", ".join(claimed_twice)
        )  # fmt: skip
    return DataDir(wav, text, utt2spk, intents).validate(path)


def _recordings(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (file name, sentence, intent) of every recording in a .jsonl file."""
    for number, line in enumerate(_read(path).splitlines(), 1):
        where = f"{path}:{number}"
        try:
            prompt = json.loads(line)
            sentence = " ".join(prompt["sentence"].split())
            intent = f"{prompt['scenario']}_{prompt['action']}"
            files = [recording["file"] for recording in prompt["recordings"]]
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: this line is not JSON ({error}).") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{where}: not a prompt of SLURP ({error!r} while reading).") from error
        if not sentence:
            raise DataError(f"{where}: the sentence of {', '.join(files)} is empty.")
        for file_name in files:
            yield file_name, sentence, intent


def _report_missing(path: Path, audio: Path, missing: list[str], total: int) -> None:
    """Warn of recordings that are not on disk, or raise DataError if they are too many."""
    if len(missing) > MAX_MISSING_SHARE * total:
        raise DataError(
            f"{path}: {len(missing)} of {total} recordings are not in {audio} (the first is"
            f" {missing[0]}); unpack SLURP's audio there."
        )
    if missing:
        logging.warning(
            "%s: %d of %d recordings are not in %s and are left out: %s",
            path, len(missing), total, audio, ", ".join(missing)
        )  # fmt: skip


@typechecked
def read_speakers(corpus: Path | str) -> dict[str, str]:
    """Read the `usrid` of every recording from metadata.json, by file name.

    Raises:
        DataError: If the file is missing, is not JSON, or is laid out differently.
    """
    path = Path(corpus) / ANNOTATIONS / "metadata.json"
    try:
        entries = json.loads(_read(path))
        return {
            file_name: recording["usrid"]
            for entry in entries.values()
            for file_name, recording in entry["recordings"].items()
            if "usrid" in recording
        }
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not SLURP's metadata ({error!r} while reading).") from error


def _read(path: Path) -> str:
    """Return the text of a file of the corpus."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: this file of SLURP cannot be read ({error}).") from error


@typechecked
def prepare(corpus: Path | str, set_names: Sequence[str], out_dir: Path | str) -> None:
    """Write `out_dir`/<set> for every set (see `prepare_set`)."""
    speakers = read_speakers(corpus)
    for name in set_names:
        data = prepare_set(corpus, name, speakers)
        data.write(Path(out_dir) / name)
        intents = len(set(data.intent.values()))
        logging.info("%s/%s: %d recordings, %d intents", out_dir, name, len(data.wav), intents)
