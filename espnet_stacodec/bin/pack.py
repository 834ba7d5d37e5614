"""Pack an experiment into an archive that from_pretrained reads on any machine (stage 8)."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    _cli.add_model_argument(parser)
    parser.add_argument("--out", type=Path, required=True, help="archive to write (.zip)")
    parser.add_argument("--repo", help="OWNER/NAME that the model card is for, if for any")
    parser.add_argument(
        "--half", action="store_true", help="weights in float16: half the size, other codes"
    )
    _cli.add_card_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.pretrained.model_card import CardOptions
    from espnet_stacodec.pretrained.packing import pack

    card = CardOptions(args.repo, args.license, args.language)
    pack(args.model, args.out, args.model_file, card, args.half)
    logging.info("%s: packed", args.out)


if __name__ == "__main__":
    main()
