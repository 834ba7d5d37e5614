"""Write a trained codec into this package, as one that is used without a network."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli
from espnet_stacodec.pretrained.shipped.lookup import DEFAULT_NAME


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    _cli.add_model_argument(parser)
    parser.add_argument("--name", default=DEFAULT_NAME, help="what users call the codec")
    parser.add_argument(
        "--about", type=Path, required=True, help="Markdown for its card: data, licences, limits"
    )
    parser.add_argument("--ssl_path", help="hub id of the SSL model, in place of a local folder")
    parser.add_argument(
        "--scores",
        nargs="+",
        type=Path,
        default=[],
        help="folders of stage 6 (--out_dir of decode) made with the codec as it is shipped",
    )
    _cli.add_card_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.pretrained.model_card import CardOptions
    from espnet_stacodec.pretrained.shipped.ship import ship

    card = CardOptions(None, args.license, args.language)
    folder = ship(
        args.model, args.about, card, args.name, args.model_file, args.scores, args.ssl_path
    )
    logging.info("%s: written", folder)


if __name__ == "__main__":
    main()
