"""Train a codec: ESPnet's gan_codec_train with semantic tokens.

All options are ESPnet's (`--config`, `--output_dir`, ...); `--semantic_tokenizer DIR` is added.
"""

import sys
from collections.abc import Sequence

from espnet_stacodec.errors import STACodecError


def get_parser():
    """Return ESPnet's parser with this task's options."""
    from espnet_stacodec.tasks.stacodec import STACodecTask

    return STACodecTask.get_parser()


def main(argv: Sequence[str] | None = None) -> None:
    """Train; ends with one sentence and status 1 on an error of the input."""
    from espnet_stacodec.tasks.stacodec import STACodecTask

    try:
        STACodecTask.main(cmd=argv)
    except (STACodecError, OSError) as error:
        sys.exit(f"espnet_stacodec.bin.train: error: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    """Return the message of an error; a data loader's process adds its traceback before it."""
    kind = type(error)
    return str(error).strip().split("\n")[-1].removeprefix(f"{kind.__module__}.{kind.__name__}: ")


if __name__ == "__main__":
    main()
