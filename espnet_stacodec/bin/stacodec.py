"""The `stacodec` command: audio to codes, codes to audio, and what codecs there are."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.bin import _cli


def get_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(prog="stacodec", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    encode = commands.add_parser("encode", help="audio files -> .npz files of codes")
    decode = commands.add_parser("decode", help=".npz files of codes -> .wav files")
    info = commands.add_parser("info", help="describe a codec")
    imported = commands.add_parser("import", help="the authors' checkpoint -> experiment folder")
    encode.set_defaults(work=_encode)
    decode.set_defaults(work=_decode)
    benchmark = commands.add_parser("benchmark", help="measure speed and memory, full size")
    benchmark.set_defaults(work=_benchmark)
    benchmark.add_argument("--seconds", type=float, default=10.0, help="of audio (default: 10)")
    benchmark.add_argument("--threads", type=int, default=2, help="of torch (default: 2)")
    benchmark.add_argument("--repeats", type=int, default=3, help="the median counts (default: 3)")
    _cli.add_common_arguments(benchmark)
    info.set_defaults(work=_info)
    imported.set_defaults(work=_import)
    encode.add_argument("files", nargs="+", type=Path, help="audio files")
    decode.add_argument("files", nargs="+", type=Path, help=".npz files")
    info.add_argument("model", help="experiment folder, archive, or Hugging Face repository")
    for command in (encode, decode):
        command.add_argument(
            "--model", required=True, help="experiment folder, archive, or Hugging Face repository"
        )
        command.add_argument("--out", type=Path, required=True, help="folder to write to")
    encode.add_argument(
        "--n_codebooks", type=int, help="how many codebooks to write (default: all)"
    )
    imported.add_argument(
        "checkpoint", type=Path, help="model.th, or the folder of a release with its config.json"
    )
    imported.add_argument("--out", type=Path, required=True, help="experiment folder to write")
    imported.add_argument(
        "--kmeans", type=Path, help="the k-means of its semantic tokens, as the authors saved it"
    )
    imported.add_argument(
        "--ssl_config", type=Path, help="YAML of the SSL upstream that the k-means belongs to"
    )
    _cli.add_common_arguments(imported)
    for command in (encode, decode, info):
        command.add_argument("--variant", help="which of the authors' releases MODEL holds")
        command.add_argument("--model_file", help="checkpoint; the best one if not given")
        command.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
        _cli.add_common_arguments(command)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(lambda args: args.work(args), get_parser(), argv)


def _targets(files: Sequence[Path], folder: Path, suffix: str) -> dict[Path, Path]:
    """Return input -> output path, or raise DataError where two inputs share an output."""
    from espnet_stacodec.errors import DataError

    targets: dict[Path, Path] = {}
    for file in files:
        target = folder / f"{file.stem}{suffix}"
        for other, taken in targets.items():
            if taken == target:
                raise DataError(f"{file} and {other} would both become {target}; rename one.")
        targets[file] = target
    return targets


def _encode(args: argparse.Namespace) -> None:
    targets = _targets(args.files, args.out, ".npz")

    from tqdm import tqdm

    from espnet_stacodec.inference.audio_coding import AudioCoding

    codec = AudioCoding.from_pretrained(args.model, args.device, args.model_file, args.variant)
    for file, target in tqdm(targets.items(), "encode", unit=" files"):
        codec.encode_file(file, args.n_codebooks).save(target)
    logging.info("%d files written to %s", len(targets), args.out)


def _decode(args: argparse.Namespace) -> None:
    targets = _targets(args.files, args.out, ".wav")

    import soundfile
    from tqdm import tqdm

    from espnet_stacodec.errors import naming
    from espnet_stacodec.fileio.code_files import Codes
    from espnet_stacodec.fileio.files import atomic_write
    from espnet_stacodec.inference.audio_coding import AudioCoding

    codec = AudioCoding.from_pretrained(args.model, args.device, args.model_file, args.variant)
    for file, target in tqdm(targets.items(), "decode", unit=" files"):
        codes = Codes.load(file)
        with naming(file):
            wave = codec.decode(codes).numpy()
        with atomic_write(target) as temporary:
            soundfile.write(temporary, wave, codes.sample_rate, "PCM_16")
    logging.info("%d files written to %s", len(targets), args.out)


def _info(args: argparse.Namespace) -> None:
    from espnet_stacodec.inference.audio_coding import AudioCoding
    from espnet_stacodec.pretrained.experiment import Experiment
    from espnet_stacodec.pretrained.releases import open_variant

    source = args.model if args.variant is None else open_variant(args.model, args.variant)
    experiment = Experiment.open(source, args.model_file)
    codec = AudioCoding.from_experiment(experiment, args.device)
    described = "none"
    if info := codec.tokenizer.describe():
        described = f"{info.tag}, {info.num_clusters} tokens, fingerprint {info.fingerprint}"
    weights = sum(p.numel() for p in codec.generator.parameters())
    rows = {
        "model": experiment.model_file,
        "fingerprint": codec.fingerprint,
        "sampling rate": f"{codec.sample_rate} Hz",
        "frame": f"{codec.frame_rule.hop_samples} samples"
        f" ({codec.frame_rule.frame_rate_hz:g} per second)",
        "codebooks": f"{codec.n_codebooks} of {codec.codebook_sizes[0]} entries"
        f" ({codec.bits_per_second() / 1000:.2f} kbit/s)",
        "semantic tokens": codec.token_kind + (f": {described}" if codec.needs_tokens else ""),
        "parameters": f"{weights / 1e6:.2f} million",
    }
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


def _benchmark(args: argparse.Namespace) -> None:
    from espnet_stacodec.evaluation.benchmark import format_table, run_benchmark

    results = run_benchmark(args.seconds, args.threads, args.repeats)
    sys.stdout.write(format_table(results))


if __name__ == "__main__":
    main()
