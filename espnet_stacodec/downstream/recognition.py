"""Decode a set with a trained ESPnet model, in several processes, and keep what is finished."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from typeguard import typechecked

from espnet_stacodec.config import choose
from espnet_stacodec.errors import StageError
from espnet_stacodec.fileio.files import read_scp, write_scp, write_text

# ESPnet's inference commands, with the names of the options that say which model.
MODEL_OPTIONS = {
    "asr": ("--asr_train_config", "--asr_model_file"),
    "mt": ("--mt_train_config", "--mt_model_file"),
    "slu": ("--slu_train_config", "--slu_model_file"),
}
LOG_LINES = 3


@typechecked
def recognize(
    task: str,
    model_file: Path,
    streams: Sequence[str],
    options: Sequence[str],
    out_dir: Path,
    num_jobs: int = 1,
) -> Path:
    """Decode a set and write <out_dir>/text; a part that was finished before is kept.

    Args:
        task: One of `MODEL_OPTIONS`.
        model_file: The checkpoint, with the experiment's config.yaml beside it.
        streams: `path,name,type` of each input, as ESPnet's commands take them.
        options: Further options of the inference command.
        out_dir: Where to write.
        num_jobs: Processes at a time; each decodes a part of the set.

    Returns:
        The path of the hypotheses, `<utterance id> <words>` lines; words may be missing.

    Raises:
        StageError: If a process fails; its log is named.
    """
    config_option, model_option = choose(MODEL_OPTIONS, task, "task")
    lists = [Path(stream.split(",")[0]) for stream in streams]
    utterances = list(read_scp(lists[0]))
    # Options may name files, e.g. the decoding configuration.
    files = [model_file, *lists, *(Path(option) for option in options if Path(option).is_file())]
    identities = [_identity(file) for file in files]
    made_of = json.dumps([task, identities, list(streams), list(options), utterances])
    state = out_dir / "parts" / "made_of.json"
    if not state.exists() or state.read_text(encoding="utf-8") != made_of:
        for text in state.parent.glob("*/1best_recog/text"):
            text.unlink()
        write_text(state, made_of)
    command = [sys.executable, "-m", "espnet_stacodec.bin.espnet", f"{task}_inference"]
    command += [config_option, str(model_file.parent / "config.yaml")]
    command += [model_option, str(model_file), "--ngpu", "0", "--num_workers", "0", *options]
    for stream in streams:
        command += ["--data_path_and_name_and_type", stream]
    parts = [utterances[first::num_jobs] for first in range(min(num_jobs, len(utterances)))]
    folders = [state.parent / f"{number}of{len(parts)}" for number in range(1, len(parts) + 1)]
    _run_all(command, parts, folders)
    hypotheses: dict[str, str] = {}
    for folder in folders:
        hypotheses |= read_hypotheses(folder / "1best_recog" / "text")
    write_scp(out_dir / "text", hypotheses)
    return out_dir / "text"


def _identity(file: Path) -> list:
    """Return what tells one file of this name, e.g. a checkpoint, from another."""
    resolved = file.resolve()
    return [str(resolved), resolved.stat().st_mtime_ns]


def _run_all(
    command: Sequence[str], parts: Sequence[Sequence[str]], folders: Sequence[Path]
) -> None:
    """Run the command for all parts that are not finished, at the same time."""
    running = []
    for part, folder in zip(parts, folders, strict=True):
        if _is_finished(folder, part):
            continue
        write_scp(folder / "keys", {utt: utt for utt in part})
        words = [*command, "--key_file", str(folder / "keys"), "--output_dir", str(folder)]
        with (folder / "inference.log").open("wb") as log:
            running.append((folder, subprocess.Popen(words, stdout=log, stderr=log)))
    failed = [folder / "inference.log" for folder, process in running if process.wait()]
    if failed:
        lines = failed[0].read_text(encoding="utf-8", errors="replace").strip().split("\n")
        raise StageError(f"{failed[0]}: decoding failed: {' '.join(lines[-LOG_LINES:])}")


def _is_finished(folder: Path, part: Sequence[str]) -> bool:
    text = folder / "1best_recog" / "text"
    content = text.read_text(encoding="utf-8") if text.exists() else ""
    # A killed process leaves a part of the lines, and maybe of the last of them.
    return content.endswith("\n") and content.count("\n") == len(part)


def read_hypotheses(path: Path) -> dict[str, str]:
    """Read `<utterance id> <words>` lines, where nothing may have been recognized."""
    # Not splitlines(), which also cuts at characters that may be part of what was recognized.
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    pairs = (line.partition(" ") for line in lines if line)
    return {utt: words.strip() for utt, _, words in pairs}
