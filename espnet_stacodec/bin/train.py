"""Train a codec: ESPnet's gan_codec_train with semantic tokens.

All options are ESPnet's (`--config`, `--output_dir`, ...); `--semantic_tokenizer DIR` is added.
"""

from collections.abc import Sequence

from espnet_stacodec.bin import _cli


def get_parser():
    """Return ESPnet's parser with this task's options."""
    from espnet_stacodec.tasks.stacodec import STACodecTask

    return STACodecTask.get_parser()


def main(argv: Sequence[str] | None = None) -> None:
    """Train; ends with one sentence and status 1 on an error of the input."""
    from espnet_stacodec.tasks.stacodec import STACodecTask

    with _cli.errors_in_one_sentence("espnet_stacodec.bin.train"):
        STACodecTask.main(cmd=argv)


if __name__ == "__main__":
    main()
