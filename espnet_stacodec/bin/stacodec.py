"""The `stacodec` command: audio to codes, codes to audio, and what codecs there are."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_stacodec import __version__
from espnet_stacodec.bin import _benchmark, _cli, _demo, _probe, _report, _score, _stream
from espnet_stacodec.pretrained.shipped.lookup import DEFAULT_NAME, STREAMING_NAME

if TYPE_CHECKING:
    from espnet_stacodec.inference.file_coding import FileCoder

MODEL_HELP = "name of a shipped codec, experiment folder, archive, or Hugging Face repository"


def get_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(prog="stacodec", description=__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_encode(commands.add_parser("encode", help="audio files -> .npz files of codes"))
    _add_decode(commands.add_parser("decode", help=".npz files of codes -> audio files"))
    _add_one_codec(commands.add_parser("info", help="describe a codec"), _info, DEFAULT_NAME)
    _add_import(commands.add_parser("import", help="the authors' checkpoint -> experiment folder"))
    _score.add_arguments(
        commands.add_parser("score", help="resynthesized audio against its originals")
    )
    _probe.add_arguments(commands.add_parser("probe", help="what codes know, and what they cost"))
    _benchmark.add_arguments(
        commands.add_parser("benchmark", help="measure speed and memory, full size")
    )
    _report.add_arguments(commands.add_parser("report", help="a page to read and to listen to"))
    demo = commands.add_parser("demo", help="a local web page to try a codec on")
    _add_one_codec(demo, lambda args: _demo.serve(args, _source), STREAMING_NAME)
    _demo.add_arguments(demo)
    for command in commands.choices.values():
        _cli.add_common_arguments(command)
    return parser


def _add_encode(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(work=_encode)
    _add_files_arguments(
        parser,
        "audio files",
        "with the input -: raw audio from standard input (16-bit little-endian mono at the codec's"
        " rate) to codes on standard output, as it comes; needs a causal codec",
    )
    parser.add_argument(
        "--n_codebooks", type=int, help="how many codebooks to write (default: all)"
    )
    _add_model_arguments(parser)


def _add_decode(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(work=_decode)
    _add_files_arguments(
        parser,
        ".npz files",
        "with the input -: what `encode --stream` writes, from standard input to raw audio on"
        " standard output, as it comes",
    )
    parser.add_argument(
        "--format", choices=("wav", "flac"), default="wav", help="16-bit (default: wav)"
    )
    _add_model_arguments(parser)


def _add_files_arguments(parser: argparse.ArgumentParser, kind: str, stream: str) -> None:
    """Add what commands for many files have in common; `stream` is the help of that option."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help=f"{kind}; folders of them; lists (.txt or .lst, a path in each line); - for a list"
        " from standard input",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, help="folder to write to")
    target.add_argument("--stream", action="store_true", help=stream)
    parser.add_argument(
        "--root",
        type=Path,
        help="the tree below this folder is kept (default: the deepest that holds all inputs)",
    )
    parser.add_argument(
        "--nj", type=int, default=1, help="files at a time, each with one thread (default: 1, all)"
    )
    parser.add_argument(
        "--batch_size",
        type=int,
        default=1,
        help="files that are computed together, which is faster; rounding, and with it a few codes,"
        " can differ (default: 1)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="make outputs anew that were made from the same inputs with the same codec, too",
    )
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first file that cannot be used"
    )


def _add_one_codec(
    parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace], None], default: str
) -> None:
    parser.set_defaults(work=work)
    default_help = f"{MODEL_HELP} (default: {default}, which is shipped)"
    parser.add_argument("model", nargs="?", default=default, help=default_help)
    _add_loading_arguments(parser)


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    default_help = f"{MODEL_HELP} (default: {DEFAULT_NAME}; with --stream {STREAMING_NAME})"
    parser.add_argument("--model", help=default_help)
    _cli.add_precision_argument(parser)
    _add_loading_arguments(parser)


def _add_loading_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--variant", help="which of the authors' releases MODEL holds")
    parser.add_argument("--hub_revision", help="commit, tag or branch of a repository")
    parser.add_argument("--model_file", help="checkpoint; the best one if not given")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(work=_import)
    parser.add_argument(
        "checkpoint", type=Path, help="model.th, or the folder of a release with its config.json"
    )
    parser.add_argument("--out", type=Path, required=True, help="experiment folder to write")
    parser.add_argument(
        "--kmeans", type=Path, help="the k-means of its semantic tokens, as the authors saved it"
    )
    parser.add_argument(
        "--ssl_config", type=Path, help="YAML of the SSL upstream that the k-means belongs to"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(lambda args: args.work(args), get_parser(), argv)


def _encode(args: argparse.Namespace) -> None:
    if args.stream:
        _stream.encode(args, _source)
        return
    from espnet_stacodec.inference.file_coding import FileEncoder

    source = _source(args)
    options = (args.device, args.model_file, args.precision, args.batch_size, args.n_codebooks)
    _code(args, FileEncoder(source, *options))


def _decode(args: argparse.Namespace) -> None:
    if args.stream:
        _stream.decode(args, _source)
        return
    from espnet_stacodec.inference.file_coding import FileDecoder

    source = _source(args)
    options = (args.device, args.model_file, args.precision, args.batch_size, args.format)
    _code(args, FileDecoder(source, *options))


def _code(args: argparse.Namespace, coder: "FileCoder") -> None:
    from espnet_stacodec.inference.file_coding import code_files
    from espnet_stacodec.parallel import Workers

    with Workers(args.nj) as workers:
        summary = code_files(
            coder, args.inputs, args.out, workers, args.root, args.overwrite, args.strict
        )
    summary.check()


def _source(args: argparse.Namespace) -> Path | str:
    """Return what MODEL is, or the release in it, or its revision, that was asked for."""
    model = args.model
    if model is None:
        model = STREAMING_NAME if args.stream else DEFAULT_NAME
    if args.variant is not None:
        from espnet_stacodec.pretrained.releases import open_variant

        return open_variant(model, args.variant, args.hub_revision)
    if args.hub_revision is not None:
        from espnet_stacodec.pretrained.experiment import Experiment

        return Experiment.open(model, args.model_file, args.hub_revision).folder
    return model


def _info(args: argparse.Namespace) -> None:
    from espnet_stacodec.inference.audio_coding import AudioCoding
    from espnet_stacodec.pretrained.experiment import CARD_NAME, Experiment

    experiment = Experiment.open(_source(args), args.model_file)
    codec = AudioCoding.from_experiment(experiment, args.device)
    tokens = codec.token_kind
    if info := codec.tokenizer.describe():
        tokens += f": {info.tag}, {info.num_clusters} tokens, fingerprint {info.fingerprint}"
    elif codec.needs_tokens:
        tokens += ": none"
    weights = sum(p.numel() for p in codec.generator.parameters())
    rows: dict[str, object] = {
        "model": experiment.model_file,
        "fingerprint": codec.fingerprint,
        "sampling rate": f"{codec.sample_rate} Hz",
        "frame": f"{codec.frame_rule.hop_samples} samples"
        f" ({codec.frame_rule.frame_rate_hz:g} per second)",
        "codebooks": f"{codec.n_codebooks} of {codec.codebook_sizes[0]} entries"
        f" ({codec.bits_per_second() / 1000:.2f} kbit/s)",
        "semantic tokens": tokens,
        "parameters": f"{weights / 1e6:.2f} million",
        "streaming": codec.streaming_in_words,
    }
    card = experiment.folder / CARD_NAME
    if card.is_file():
        rows["data, licence, limits"] = card
    width = max(len(name) for name in rows)
    sys.stdout.write("".join(f"{name:<{width}}  {value}\n" for name, value in rows.items()))


def _import(args: argparse.Namespace) -> None:
    from espnet_stacodec.pretrained.releases import import_checkpoint, import_release
    from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig

    if args.checkpoint.is_dir():
        import_release(args.checkpoint, args.out)
    else:
        upstream = None if args.ssl_config is None else UpstreamConfig.read(args.ssl_config)
        import_checkpoint(args.checkpoint, args.out, args.kmeans, upstream)
    logging.info("%s written", args.out)


if __name__ == "__main__":
    main()
