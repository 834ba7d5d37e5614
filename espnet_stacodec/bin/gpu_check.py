"""Train, encode and decode with full-size codecs on a GPU, and print what it takes (see tools)."""

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet_stacodec.bin import _cli


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--configs", type=Path, nargs="+", required=True, help="training configurations"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder; gets gpu_check.json")
    parser.add_argument("--audio", type=Path, help="folder of audio files; tones if not given")
    parser.add_argument("--steps", type=int, default=200, help="of each training")
    parser.add_argument("--batch_size", type=int, default=32, help="chunks per step")
    parser.add_argument(
        "--max_seconds", type=float, default=600.0, help="of each training; fewer steps then"
    )
    parser.add_argument(
        "--precisions",
        nargs="+",
        default=["float32", "bfloat16"],
        choices=("float32", "tf32", "bfloat16"),
        help="trainings of each configuration",
    )
    parser.add_argument(
        "--fastest_kernels",
        action="store_true",
        help="let cuDNN try its kernels and take the fastest, not one that repeats its results"
        " (ESPnet's --cudnn_benchmark true --cudnn_deterministic false)",
    )
    parser.add_argument("--coded", type=int, default=8, help="waveforms to encode and decode")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, ...; cpu to try this out")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    import torch

    from espnet_stacodec.config import load_yaml
    from espnet_stacodec.errors import ConfigError
    from espnet_stacodec.fileio.files import write_text
    from espnet_stacodec.train import device_check, device_check_data, device_check_tables

    if args.device != "cpu" and not torch.cuda.is_available():
        raise ConfigError(f"--device {args.device}: no GPU can be used here; cpu tries this out.")
    for option in ("steps", "batch_size", "coded"):
        if getattr(args, option) < 1:
            raise ConfigError(f"--{option} {getattr(args, option)} is below 1.")
    torch.backends.cudnn.benchmark = args.fastest_kernels
    torch.backends.cudnn.deterministic = not args.fastest_kernels
    configurations = {path.stem: load_yaml(path) for path in args.configs}
    longest = max(int(conf["chunk_length"]) for conf in configurations.values())
    waves = device_check_data.read_waves(args.audio, longest)
    report: dict[str, Any] = {
        "device": _name(args.device),
        "torch": torch.__version__,
        "cpu_threads": torch.get_num_threads(),
        "batch_size": args.batch_size,
        "fastest_kernels": args.fastest_kernels,
        "trainings": [],
        "coding": [],
    }
    for name, conf in configurations.items():
        for precision in args.precisions:
            training, codec = device_check.train(
                name, conf, precision, waves, args.device, args.steps, args.batch_size,
                args.max_seconds,
            )  # fmt: skip
            report["trainings"].append(dataclasses.asdict(training))
            if precision == args.precisions[0]:
                rows = device_check.code(name, codec, waves[: args.coded], args.device, (1, 16))
                report["coding"] += [dataclasses.asdict(row) for row in rows]
            # Whatever comes after, what was measured is kept.
            write_text(args.out / "gpu_check.json", json.dumps(report, indent=1) + "\n")
            del codec
            if args.device != "cpu":
                torch.cuda.empty_cache()
    sys.stdout.write(device_check_tables.tables(report))
    logging.info("%s written", args.out / "gpu_check.json")


def _name(device: str) -> str:
    import torch

    return "CPU" if device == "cpu" else torch.cuda.get_device_name(device)


if __name__ == "__main__":
    main()
