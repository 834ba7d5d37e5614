"""Run a command of ESPnet with this package's codec and frontends registered.

`python -m espnet_stacodec.bin.espnet slu_train --config ...` is `python -m espnet2.bin.slu_train
--config ...` after `import espnet_stacodec`, also in the processes that ESPnet starts.
"""

import argparse
import contextlib
import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from espnet_stacodec.bin import _cli, _training
from espnet_stacodec.parallel import end_with


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(prog="espnet_stacodec.bin.espnet", description=__doc__)
    parser.add_argument(
        "--end_with", type=int, metavar="PID", help="end when this parent process does"
    )
    parser.add_argument("command", help="module of espnet2.bin, e.g. slu_train")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of that command")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run it; ends with one sentence and status 1 on an error of the input."""
    parser = get_parser()
    args = parser.parse_args(argv)
    name = f"espnet2.bin.{args.command}"
    if not args.command.isidentifier() or importlib.util.find_spec(name) is None:
        parser.error(f"ESPnet has no command '{args.command}' in espnet2.bin.")
    if args.end_with is not None:
        end_with(args.end_with)
    with _cli.errors_in_one_sentence(f"{parser.prog} {args.command}"):
        module = importlib.import_module(name)
        if args.command.endswith("_train"):
            _train(args.command, module, args.options)
        else:
            module.main(args.options)


def _train(command: str, module: ModuleType, argv: list[str]) -> None:
    """Train; the folder says what made it, and what was cut off there is replaced first."""
    from espnet_stacodec.tasks.readers import READERS
    from espnet_stacodec.tasks.training_provenance import espnet_provenance
    from espnet_stacodec.train import checkpoint_recovery

    options = module.get_parser().parse_args(argv)
    with contextlib.ExitStack() as stack:
        is_first = _hold_folder(options, stack)
        _check_training(options)
        if is_first and not options.print_config:
            espnet_provenance(options).write(options.output_dir, keep_earlier=True)
            if options.resume and not options.collect_stats:
                checkpoint_recovery.recover(options.output_dir)
        stack.enter_context(_training.hindrances_in_one_sentence(options.output_dir))
        # DeepSpeed writes checkpoints of its own, and takes ESPnet's trainer alone.
        if command in READERS and not getattr(options, "use_deepspeed", False):
            READERS[command].main(cmd=argv)
        else:
            module.main(argv)


def _hold_folder(options: argparse.Namespace, stack: contextlib.ExitStack) -> bool:
    """Keep other trainings from writing over this one's files until `stack` is closed.

    Returns:
        Whether this process is the one that writes there: of several that somebody started, one
        for each rank, the first one.

    Raises:
        StageError: If another training is writing there.
    """
    from espnet2.train.distributed_utils import get_rank

    from espnet_stacodec.fileio.temporaries import exclusive

    launcher = options.dist_launcher if options.dist_launcher == "slurm" else None
    if options.output_dir is None or get_rank(options.dist_rank, launcher):
        return False
    stack.enter_context(exclusive(Path(options.output_dir), wait=False))
    return True


def _check_training(options: argparse.Namespace) -> None:
    """Raise ConfigError if a training would go on with another model than that of its folder."""
    from espnet_stacodec.tasks.started_experiment import check_started

    # ESPnet drops the frontend where the data are features.
    features = getattr(options, "input_size", None) is not None
    as_written: dict[str, Any] = {"frontend": None, "frontend_conf": {}} if features else {}
    if options.output_dir is not None and not options.collect_stats:
        check_started(options, as_written)


if __name__ == "__main__":
    _training.run(main)
