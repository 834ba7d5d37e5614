"""Encode and decode sets with a trained codec; keep codes, audio and scores (stage 6)."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli, _score


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    _cli.add_set_arguments(parser)
    parser.add_argument("--n_codebooks", type=int, help="keep the first n; all if not given")
    _score.add_scoring_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.evaluation.decoded_sets import write_decoded
    from espnet_stacodec.evaluation.resynthesis import SetToDecode, decode_set, score_decoded
    from espnet_stacodec.inference.audio_coding import load_once

    decoded_sets = {}
    with _cli.workers(args) as workers:
        families, recognition = _score.scoring_of(args, workers.device)
        codec = load_once(args.model, workers.own_device, args.model_file, args.precision)
        for name in args.sets:
            job = SetToDecode(
                model=args.model,
                model_file=args.model_file,
                wav_scp=args.dump_dir / name / "wav.scp",
                semantic_scp=_tokens(codec.needs_tokens, args.semantic_dir, name),
                out_dir=args.out_dir / name,
                n_codebooks=args.n_codebooks,
                precision=args.precision,
            )
            decoded = decode_set(job, workers)
            decoded_sets[name] = score_decoded(job, decoded, families, workers, recognition)
    title = f"Resynthesis with {args.model}"
    sys.stdout.write(write_decoded(args.out_dir, title, decoded_sets, codec, args.n_codebooks))


def _tokens(needed: bool, semantic_dir: Path | None, name: str) -> Path | None:
    """Return the set's semantic.scp where the codec needs tokens and their folder is given."""
    return semantic_dir / name / "semantic.scp" if needed and semantic_dir else None


if __name__ == "__main__":
    main()
