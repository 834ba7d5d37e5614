"""Stage 3: semantic tokens of data sets, made by an SSL upstream and k-means, or precomputed."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli
from espnet_stacodec.errors import ConfigError


def get_parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path, help="YAML file: upstream, layer, num_clusters, ...")
    source.add_argument(
        "--semantic_tokens",
        type=Path,
        help="folder of precomputed tokens: tokenizer.yaml, <set>/semantic.scp or text files <set>",
    )
    parser.add_argument("--path_or_url", help="checkpoint to use instead of the one in --config")
    parser.add_argument("--hub_revision", help="of path_or_url; replaces revision of --config")
    parser.add_argument("--dump_dir", type=Path, default=Path("dump/raw"), help="formatted audio")
    parser.add_argument("--out_dir", type=Path, default=Path("dump/semantic"), help="gets <tag>/")
    parser.add_argument(
        "--tag_suffix",
        default="",
        help="ends the tag of a tokenizer that is fitted here, e.g. _train_clean_100",
    )
    parser.add_argument("--train_set", default="train", help="set that k-means is fitted on")
    parser.add_argument("--sets", nargs="+", default=[], help="sets to tokenize")
    parser.add_argument(
        "--features_of",
        nargs="+",
        default=[],
        metavar="SET",
        help="sets whose SSL features are kept, too, for distillation from features",
    )
    _cli.add_worker_arguments(parser)
    _cli.add_gpu_argument(parser)
    parser.add_argument(
        "--print_tag", action="store_true", help="print the tag <upstream>_l<layer>_km<k>, and stop"
    )
    return parser


def extract(args: argparse.Namespace) -> None:
    """Do what the options ask for."""
    from espnet_stacodec.semantic.tokenizer_info import TokenizerInfo, UpstreamConfig

    if args.semantic_tokens is not None:
        for name in ("path_or_url", "hub_revision"):
            if getattr(args, name) is not None:
                raise ConfigError(f"--{name}: precomputed tokens have no checkpoint; remove it.")
        if args.features_of:
            raise ConfigError(
                "--features_of: precomputed tokens have no features; leave it (--keep_features of a"
                " recipe) out."
            )
        tag = TokenizerInfo.read(args.semantic_tokens).tag
    else:
        config = UpstreamConfig.read(args.config, args.path_or_url, args.hub_revision)
        tag = config.tag + args.tag_suffix
    if args.print_tag:
        print(tag)  # noqa: T201 - the answer, for recipes to read
        return
    if not args.sets:
        raise ConfigError("--sets: no sets are given; name those to tokenize.")
    if args.semantic_tokens is not None:
        from espnet_stacodec.semantic.precomputed import import_tokens

        import_tokens(args.semantic_tokens, args.dump_dir, args.sets, args.out_dir / tag)
        return
    from espnet_stacodec.semantic import extract as extraction
    from espnet_stacodec.semantic.extract_features import extract_features

    out_dir = args.out_dir / tag
    with _cli.workers(args) as workers:
        extraction.extract(config, args.dump_dir, args.train_set, args.sets, out_dir, workers)
        extract_features(config, args.dump_dir, args.features_of, out_dir, workers)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(extract, get_parser(), argv)


if __name__ == "__main__":
    main()
