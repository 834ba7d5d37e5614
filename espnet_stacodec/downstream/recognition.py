"""Decode a set with a trained ESPnet model, in several processes, and keep what is finished."""

import functools
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typeguard import typechecked

from espnet_stacodec.config import choose
from espnet_stacodec.errors import StageError
from espnet_stacodec.fileio.files import (
    identify,
    look_again,
    read_scp,
    require,
    scratch_folder,
    write_scp,
    write_text,
)
from espnet_stacodec.fileio.parts import Part, Parts
from espnet_stacodec.fileio.provenance import Provenance
from espnet_stacodec.fileio.temporaries import exclusive
from espnet_stacodec.parallel import Workers

# ESPnet's inference commands, with the names of the options that say which model.
MODEL_OPTIONS = {
    "asr": ("--asr_train_config", "--asr_model_file"),
    "mt": ("--mt_train_config", "--mt_model_file"),
    "slu": ("--slu_train_config", "--slu_model_file"),
}
# Types of ESPnet's inputs whose lists hold values; others hold paths.
VALUE_TYPES = ("text", "text_int", "text_float", "csv", "csv_int", "csv_float")
LOG_LINES = 3
PART_UTTERANCES = 100  # what a kill can cost; each part starts a process, which takes seconds
PARENT = "<process>"  # in a command: the process that runs it


@typechecked
def recognize(
    task: str,
    model_file: Path,
    streams: Sequence[str],
    options: Sequence[str],
    out_dir: Path,
    workers: Workers | None = None,
) -> Path:
    """Decode a set and write <out_dir>/text and logs; what was finished before is kept.

    Args:
        task: One of `MODEL_OPTIONS`.
        model_file: The checkpoint, with the experiment's config.yaml beside it.
        streams: `path,name,type` of each input, as ESPnet's commands take them.
        options: Further options of the inference command.
        out_dir: Where to write.
        workers: Processes, each of which decodes a part of the set at a time; None for this one.

    Returns:
        The path of the hypotheses, `<utterance id> <words>` lines; words may be missing.

    Raises:
        ConfigError: If the task is unknown.
        StageError: If a list of inputs is not there, or a process fails; its log is named.
        DataError: If a file of the inputs is missing.
    """
    config_option, model_option = choose(MODEL_OPTIONS, task, "task")
    workers = workers or Workers(1)
    inputs = _identify_inputs(streams)
    # Options may name files, e.g. the decoding configuration.
    files = [str(model_file), *(option for option in options if Path(option).is_file())]
    identities = identify({file: str(Path(file).resolve()) for file in files})
    items = _cut(inputs)
    command = [sys.executable, "-m", "espnet_stacodec.bin.espnet"]
    command += ["--end_with", PARENT, f"{task}_inference"]
    command += [config_option, str(model_file.parent / "config.yaml")]
    command += [model_option, str(model_file), "--ngpu", "0", "--num_workers", "0", *options]
    for stream in streams:
        command += ["--data_path_and_name_and_type", stream]
    final = out_dir / "text"
    parts = Parts(final, items, [task, identities, list(streams), list(options)], "txt")
    places = {file: str(Path(file).resolve()) for file in files}
    settings = {"task": task, "model": str(model_file), "options": list(options)}
    made = Provenance(__name__, settings, {"files": places, **_places(streams)})
    with exclusive(out_dir):
        missing = parts.begin()
        names = [f"part {part.number} of {out_dir}" for part in missing]
        work = functools.partial(_decode_part, command)
        list(workers.map(work, missing, f"decode {out_dir}", "parts", names=names, waits=True))
        look_again(out_dir)
        hypotheses: dict[str, str] = {}
        for part in parts:
            hypotheses |= read_hypotheses(part.path)
        made.write_before(final)
        write_scp(final, hypotheses)
    return final


def _cut(inputs: Mapping[str, list]) -> list[dict[str, list]]:
    """Cut a set into parts of `PART_UTTERANCES` or a little less, however many processes there are.

    A part has every n-th utterance: neighbours are of one speaker, and as long.
    """
    utterances = list(inputs)
    count = math.ceil(len(utterances) / PART_UTTERANCES)
    return [{utt: inputs[utt] for utt in utterances[first::count]} for first in range(count)]


def _identify_inputs(streams: Sequence[str]) -> dict[str, list]:
    """Return what tells the inputs of each utterance of the first stream from others."""
    identities: list[Mapping[str, Any]] = []
    for stream in streams:
        path, _, kind = stream.split(",")
        values = read_scp(require(path, "the stage that makes the inputs"))
        identities.append(values if kind in VALUE_TYPES else identify(values))
    return {utt: [known.get(utt) for known in identities] for utt in identities[0]}


def _places(streams: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return where the inputs are, by the name of the stream; of lists of values, the list."""
    places = {}
    for stream in streams:
        path, name, kind = stream.split(",")
        places[name] = {name: path} if kind in VALUE_TYPES else read_scp(path)
    return places


def _decode_part(command: Sequence[str], part: Part) -> None:
    """Run the command for a part; its log stays, whether it fails or not."""
    log = part.path.parent / "logs" / f"inference.{part.number}.log"
    log.parent.mkdir(exist_ok=True)
    # A folder of its own: the process of a killed call may live on for a moment.
    with scratch_folder(part.path) as folder:
        write_scp(folder / "keys", {utt: utt for utt in part.ids})
        words = [str(os.getpid()) if word == PARENT else word for word in command]
        words += ["--key_file", str(folder / "keys"), "--output_dir", str(folder)]
        with log.open("wb") as file:
            status = subprocess.run(words, stdout=file, stderr=file).returncode
        if status:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().split("\n")
            raise StageError(f"{log}: decoding failed: {' '.join(lines[-LOG_LINES:])}")
        text = folder / "1best_recog" / "text"
        hypotheses = read_hypotheses(text) if text.exists() else {}
        missing = [utt for utt in part.ids if utt not in hypotheses]
        if missing:
            raise StageError(
                f"{log}: decoding left out {len(missing)} of {len(part.ids)} utterances (first:"
                f" {missing[0]}); run it again."
            )
        write_text(part.path, text.read_text(encoding="utf-8"))


def read_hypotheses(path: Path) -> dict[str, str]:
    """Read `<utterance id> <words>` lines, where nothing may have been recognized."""
    # Not splitlines(), which also cuts at characters that may be part of what was recognized.
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    pairs = (line.partition(" ") for line in lines if line)
    return {utt: words.strip() for utt, _, words in pairs}
