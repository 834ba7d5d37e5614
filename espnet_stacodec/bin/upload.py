"""Upload an experiment to a Hugging Face repository (stage 9).

Needs the rights to write there: `hf auth login`, or a token in the environment as HF_TOKEN.
"""

import argparse
import logging
from collections.abc import Sequence

from espnet_stacodec.bin import _cli


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    _cli.add_model_argument(parser)
    parser.add_argument("--repo", required=True, help="OWNER/NAME")
    _cli.add_card_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.pretrained.packing import upload

    address = upload(args.model, args.repo, args.model_file, args.license, args.language)
    logging.info("uploaded to %s", address)


if __name__ == "__main__":
    main()
