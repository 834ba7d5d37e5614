"""Do pieces of work twice: undisturbed, and killed several times on the way.

python killed_runs.py WORK.json, where WORK.json holds {kind: options}, works in <kind>/whole and
<kind>/killed. A run is a fork; a killed one sends itself SIGKILL just before its n-th file appears
under its name, with half of the content written. Prints {kind: how many runs were killed}.
"""

import importlib
import json
import os
import signal
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from espnet_stacodec.data_prep.audio_rules import AudioRules
from espnet_stacodec.data_prep.format_audio import format_set
from espnet_stacodec.downstream import recognition
from espnet_stacodec.downstream.code_dirs import dump_codes
from espnet_stacodec.downstream.inputs import prepare_inputs
from espnet_stacodec.evaluation import resynthesis
from espnet_stacodec.fileio import parts
from espnet_stacodec.fileio.provenance import git_revision
from espnet_stacodec.parallel import Workers
from espnet_stacodec.pretrained.packing import pack
from espnet_stacodec.semantic.extract import extract
from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig

OUT = Path("out")
# What the work imports on its way: imported once here, not in every fork.
LATE_IMPORTS = ("s3prl.nn", "sklearn.cluster", "espnet_stacodec.semantic.s3prl_backend")


def tokens(dump_dir: str, sets: list[str]) -> None:
    config = UpstreamConfig("mfcc", 0, 4, fit_hours=0.01, passes=2)
    extract(config, dump_dir, sets[0], sets, OUT)


def codes(model: str, dump_dir: str, semantic_dir: str, sets: list[str]) -> None:
    dump_codes(Path(model), Path(dump_dir), Path(semantic_dir), sets, OUT)


def decoding(model: str, dump_dir: str, semantic_dir: str, sets: list[str]) -> None:
    with Workers(1) as workers:
        for name in sets:
            scps = Path(dump_dir) / name / "wav.scp", Path(semantic_dir) / name / "semantic.scp"
            job = resynthesis.SetToDecode(Path(model), None, *scps, OUT / name)
            resynthesis.decode_set(job, workers)


def formatted(dump_dir: str, sets: list[str]) -> None:
    for name in sets:
        format_set(Path(dump_dir) / name, OUT / name, AudioRules(min_seconds=0.01))


def inputs(codes_dir: str, sets: list[str]) -> None:
    prepare_inputs(Path(codes_dir), sets, "1-2", "words", OUT)


def packed(model: str) -> None:
    pack(model, OUT / "codec.zip")


def recognized(python: str, model: str, stream: str) -> None:
    sys.executable = python
    recognition.recognize("slu", Path(model), [stream], [], OUT, Workers(2))


KINDS: dict[str, Callable[..., None]] = {
    "formatted": formatted, "tokens": tokens, "codes": codes, "decoding": decoding,
    "inputs": inputs, "packed": packed, "recognized": recognized,
}  # fmt: skip


KILL_AT = (1, 2, 3, 5, 8, 13)  # files, from 1; the last run is not killed


def run(work: Callable[..., None], options: dict[str, Any], folder: Path, kill_at: int) -> int:
    """Do the work in a fork; return its status. It is killed at the file of this number, if any."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    replace, seen = Path.replace, []

    def replace_or_die(self: Path, target: Path) -> Path:
        seen.append(target)
        if len(seen) == kill_at:
            os.truncate(self, self.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)

    status = 1
    try:
        os.chdir(folder)
        setattr(Path, "replace", replace_or_die)  # noqa: B010
        work(**options)
        status = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(status)  # never back into the caller


def main() -> None:
    for name in LATE_IMPORTS:
        importlib.import_module(name)
    git_revision()  # the same for all runs, whatever happens to the checkout meanwhile
    kinds = json.loads(Path(sys.argv[1]).read_text())
    parts.PART_ITEMS = resynthesis.PART_UTTERANCES = recognition.PART_UTTERANCES = 2
    # Scores hold how long it took.
    setattr(resynthesis, "time", types.SimpleNamespace(perf_counter=lambda: 0.0))  # noqa: B010
    kills = dict.fromkeys(kinds, 0)
    for kind, options in kinds.items():
        whole, killed = Path(kind, "whole"), Path(kind, "killed")
        for folder in (whole, killed):
            folder.mkdir(parents=True)
        assert run(KINDS[kind], options, whole, 0) == 0
        for number in KILL_AT:
            kills[kind] += run(KINDS[kind], options, killed, number) == -signal.SIGKILL
        assert run(KINDS[kind], options, killed, 0) == 0
    sys.stdout.write(json.dumps(kills))


if __name__ == "__main__":
    main()
