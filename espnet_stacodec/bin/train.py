"""Train a codec: ESPnet's gan_codec_train with semantic tokens, on any number of processes.

All options are ESPnet's (`--config`, `--output_dir`, ...); `--semantic_tokenizer DIR` is added.
`--ngpu N` starts a process on each of N GPUs, `--nproc N` N processes without GPUs; on several
machines the same command is started on each, with `--num_nodes M --dist_master_addr FIRST`.
"""

import os
import sys
from collections.abc import Sequence

from espnet_stacodec.bin import _cli, _training

COMMAND = "espnet_stacodec.bin.train"


def get_parser():
    """Return ESPnet's parser with this task's options."""
    from espnet_stacodec.tasks.stacodec import STACodecTask
    from espnet_stacodec.train import launcher

    parser = STACodecTask.get_parser()
    launcher.add_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Train; ends with one sentence and status 1 on an error of the input."""
    from espnet_stacodec.train import launcher

    argv = sys.argv[1:] if argv is None else argv
    if {"-h", "--help"} & set(argv):
        get_parser().parse_args(argv)
    with _cli.errors_in_one_sentence(COMMAND):
        launch = launcher.Launch(argv)
        if launch.is_needed:
            launch.run(COMMAND)
            return
    if launcher.is_started():
        _one_of_several(launch.argv)
    else:
        _train(launch.argv)


def _train(argv: Sequence[str]) -> None:
    from espnet_stacodec.tasks.stacodec import STACodecTask

    with _cli.errors_in_one_sentence(COMMAND), _training.hindrances_in_one_sentence():
        STACodecTask.main(cmd=argv)


def _one_of_several(argv: Sequence[str]) -> None:
    """Train as one process of several, whose starter says the errors of all."""
    from espnet_stacodec.train import launcher

    launcher.end_with_starter()
    if not os.environ.get("CUDA_VISIBLE_DEVICES", "-"):
        # ESPnet takes an empty list for one device, and refuses the second process.
        del os.environ["CUDA_VISIBLE_DEVICES"]
    try:
        _train(argv)
    except SystemExit as end:
        if isinstance(end.code, str):
            launcher.leave_sentence(end.code.removeprefix(f"{COMMAND}: error: "))
        raise


if __name__ == "__main__":
    _training.run(main)
