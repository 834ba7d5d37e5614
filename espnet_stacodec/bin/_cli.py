"""Shared by all commands: parsing, logging, and errors as one clear sentence."""

import argparse
import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_stacodec.errors import STACodecError, in_one_sentence
from espnet_stacodec.pretrained.shipped.lookup import find_shipped

if TYPE_CHECKING:
    from espnet_stacodec.parallel import Workers

INTERRUPTED = 130  # as shells report a command that Ctrl-C ended
READER_GONE = 141  # the same for a closed pipe, as of `| head`


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command has."""
    parser.add_argument(
        "--log_level",
        default="INFO",
        type=str.upper,
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="what is logged (default: INFO)",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def model_folder(name: str) -> Path:
    """Return the folder that a model's name or path means: of a shipped codec, or the path."""
    return find_shipped(name) or Path(name)


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands for what a recipe trained."""
    parser.add_argument(
        "--model",
        type=model_folder,
        required=True,
        help="folder of the experiment, or name of a shipped codec",
    )
    parser.add_argument("--model_file", help="checkpoint in it; the best one if not given")


def add_card_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a model card says that an experiment does not know."""
    parser.add_argument("--license", help="of the model, by the hub's name, e.g. cc-by-4.0")
    parser.add_argument(
        "--language", nargs="+", default=[], help="of its speech, by ISO 639, e.g. en de"
    )


def add_set_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that run a trained codec on sets (stages 6 and 7)."""
    add_model_argument(parser)
    parser.add_argument("--dump_dir", type=Path, required=True, help="e.g. dump/raw")
    parser.add_argument(
        "--semantic_dir",
        type=Path,
        help="e.g. dump/semantic/mfcc_l0_km100; without it the codec makes the tokens it needs",
    )
    parser.add_argument("--sets", nargs="+", required=True, help="sets of dump_dir")
    parser.add_argument("--out_dir", type=Path, required=True, help="gets a folder for each set")
    add_precision_argument(parser)
    add_worker_arguments(parser)
    add_gpu_argument(parser)


def add_precision_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that says what the networks of a codec compute in."""
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "float16", "float64"),
        default="float32",
        help="of the networks; bfloat16 is faster on a GPU or CPU that has it, and gives some"
        " other codes; float16 is float32 with rounded weights, faster on a CPU for streams and"
        " LSTMs; float64 lets streams and files of a causal codec have the same codes to the last"
        " one",
    )


def add_worker_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that share work; see `workers`."""
    parser.add_argument("--nj", type=int, default=1, help="processes that work at the same time")
    parser.add_argument(
        "--parallel",
        type=Path,
        help="YAML file of a cluster that has them, e.g. conf/parallel/slurm.yaml; without it they"
        " are on this machine",
    )


def add_gpu_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands whose shared work can use GPUs."""
    parser.add_argument(
        "--ngpu", type=int, default=0, help="GPUs: a process on each, instead of --nj; 0 for none"
    )


def workers(args: argparse.Namespace) -> "Workers":
    """Return the processes that the options ask for."""
    from espnet_stacodec.parallel import Workers

    return Workers(args.nj, getattr(args, "ngpu", 0), args.parallel)


def record(args: argparse.Namespace, made_by: str, folders: Iterable[Path]) -> None:
    """Write what made data directories: the command's options, and the audio that they list."""
    from espnet_stacodec.fileio.files import read_scp
    from espnet_stacodec.fileio.provenance import Provenance

    other = ("out_dir", "data_dir", "audio_dir", "log_level", "debug", "nj", "seed")
    options = {name: value for name, value in vars(args).items() if name not in other}
    for folder in folders:
        data = {"audio": read_scp(folder / "wav.scp")}
        Provenance(made_by, options, data, getattr(args, "seed", None)).write(folder)


def run(
    work: Callable[[argparse.Namespace], None],
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
) -> None:
    """Parse `argv`, call `work(args)`, and end as `errors_in_one_sentence` says."""
    if not any(isinstance(action, argparse._SubParsersAction) for action in parser._actions):
        add_common_arguments(parser)
    _open_closed_streams()
    args = parser.parse_args(argv)
    logging.basicConfig(level=args.log_level, format="%(asctime)s %(levelname)s: %(message)s")
    # ESPnet's imports make torch say so at each start; it is nothing a user can change.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
    with errors_in_one_sentence(parser.prog, args.debug):
        work(args)


@contextlib.contextmanager
def errors_in_one_sentence(command: str, debug: bool = False) -> Iterator[None]:
    """End a command that fails with one sentence and a status other than 0.

    Errors of the input or of the machine (STACodecError, OSError) are
    said in one sentence, with status 1; `debug` shows the traceback instead. Ctrl-C ends with
    status 130. Anything else is a bug and is shown whole.
    """
    _print_any_file_name()
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write(
            f"\n{command}: interrupted; what is complete is kept. Run it again to go on.\n"
        )
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _drop_output()
        sys.stderr.write(f"{command}: what it printed was not read to the end.\n")
        sys.exit(READER_GONE)
    except (STACodecError, OSError) as error:
        if debug:
            raise
        _drop_output()
        sys.exit(f"{command}: error: {_sentence(error)}")
    except RuntimeError as error:
        # What pathlib raises for a user without HOME and without an entry in the list of users.
        if debug or "home directory" not in str(error):
            raise
        sys.exit(
            f"{command}: error: this user has no home folder; set HOME, or XDG_CACHE_HOME to the"
            " folder for caches."
        )


def _open_closed_streams() -> None:
    """Have nothing to read, and drop what is printed, where a shell closed a stream (`>&-`).

    Python has no object for it then; and the next file that is opened would get what libraries
    print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def _sentence(error: Exception) -> str:
    """Return the message of an error, also of one that was raised in a data loader's process."""
    if isinstance(error, OSError):
        return in_one_sentence(error)
    kind = f"{type(error).__module__}.{type(error).__name__}: "
    # It has that process's traceback before it.
    return str(error).strip().split("\n")[-1].removeprefix(kind)


def _print_any_file_name() -> None:
    """Write file names that are not UTF-8 as they are."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="surrogateescape")


def _drop_output() -> None:
    """Drop what cannot be printed: Python would try once more, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
