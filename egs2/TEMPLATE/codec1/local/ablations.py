"""Train the variants of conf/ablations.yaml with a recipe's own stages, and print their scores.

Runs in a recipe's folder (run_ablations.sh). Size, seed and data are the same for all variants;
steps and learning rates are those of ablations.yaml. A second run keeps finished variants.
"""

import argparse
import functools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from kaldiio import load_scp

from espnet_stacodec.bin import _cli
from espnet_stacodec.config import check_keys, choose, load_yaml
from espnet_stacodec.downstream.code_dirs import unflatten_codes
from espnet_stacodec.errors import STACodecError
from espnet_stacodec.fileio.files import write_text
from espnet_stacodec.fileio.markdown import markdown_table

BEST = "valid.mel_loss.best.pth"
# Keys of a variant that are not of the training's configuration.
OWN_KEYS = ("init_from", "codebooks", "speed_perturb_factors")


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options; a recipe's defaults are in its run_ablations.sh."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--ablations", type=Path, default=Path("conf/ablations.yaml"))
    parser.add_argument("--train_config", type=Path, default=Path("conf/train_small.yaml"))
    parser.add_argument("--variants", nargs="+", help="names in ablations.yaml; all if not given")
    parser.add_argument("--ssl_config", type=Path, required=True)
    parser.add_argument("--train_set", required=True)
    parser.add_argument("--valid_set", required=True)
    parser.add_argument("--test_set", required=True)
    parser.add_argument("--dumpdir", type=Path, default=Path("dump"))
    parser.add_argument("--expdir", type=Path, default=Path("exp/ablations"))
    return parser


def main() -> None:
    """Run the command."""
    _cli.run(_work, get_parser())


def _work(args: argparse.Namespace) -> None:
    conf = load_yaml(args.ablations)
    check_keys(conf, ("all", "phase", "variants"), str(args.ablations))
    rows = []
    for name in args.variants or list(conf["variants"]):
        variant = choose(conf["variants"], name, f"{args.ablations}: variant")
        experiment = _train(name, variant, conf["all"], args)
        rows += _rows(name, experiment, args, variant.get("codebooks", []))
    table = _format(rows) + _majority_class(args, experiment)
    write_text(args.expdir / "ABLATIONS.md", table)
    sys.stdout.write(table)


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes`: mappings are merged key by key, other values replaced."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _experiment(name: str, args: argparse.Namespace) -> Path:
    return args.expdir / f"codec_{_tag(name, args)}"


def _tag(name: str, args: argparse.Namespace) -> str:
    return f"{re.sub(r'[^A-Za-z0-9-]+', '_', name)}_{args.ssl_config.stem}"


def _train(
    name: str, variant: Mapping[str, Any], common: Mapping[str, Any], args: argparse.Namespace
) -> Path:
    """Train, score and encode a variant with the recipe's own stages; returns its experiment."""
    changes = {key: value for key, value in variant.items() if key not in OWN_KEYS}
    train_config = args.expdir / "conf" / f"{_tag(name, args)}.yaml"
    conf = merge(merge(load_yaml(args.train_config), common), changes)
    write_text(train_config, yaml.safe_dump(conf, sort_keys=False))
    options = {
        "--stage": 4,
        "--stop_stage": 7,
        "--train_config": train_config,
        "--tag": _tag(name, args),
        "--ssl_config": args.ssl_config,
        "--train_set": args.train_set,
        "--valid_set": args.valid_set,
        "--test_sets": args.test_set,
        "--dumpdir": args.dumpdir,
        "--expdir": args.expdir,
    }
    if "speed_perturb_factors" in variant:
        options["--speed_perturb_factors"] = variant["speed_perturb_factors"]
    if "init_from" in variant:
        checkpoint = _experiment(variant["init_from"], args) / BEST
        options["--train_args"] = shlex.join(["--init_param", str(checkpoint)])
    command = ["./run.sh", *(str(word) for option in options.items() for word in option)]
    if subprocess.run(command).returncode:
        raise STACodecError(f"variant '{name}' failed; read the lines above, then run this again.")
    return _experiment(name, args)


def _rows(
    name: str, experiment: Path, args: argparse.Namespace, codebooks: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the row of a variant, and one for each smaller number of codebooks asked for."""
    codes = {part: _read_codes(experiment, part) for part in (args.train_set, args.test_set)}
    row = {"variant": name, **_scores(experiment / "decode", args.test_set)}
    generator = load_yaml(experiment / "config.yaml")["codec_conf"]["generator_params"]
    if generator["assignment"] != "none":
        tokens = {part: _read_tokens(experiment, part) for part in codes}
        for column, part in (("train", args.train_set), ("test", args.test_set)):
            same = [codes[part][utt][0] == tokens[part][utt] for utt in codes[part]]
            row[column] = f"{100 * np.concatenate(same).mean():.1f}"
    sizes = _codebook_sizes(experiment)
    every = np.concatenate(list(codes[args.train_set].values()), axis=1)
    used = [len(np.unique(layer)) / size for layer, size in zip(every, sizes, strict=True)]
    row["usage"] = " ".join(f"{100 * share:.0f}" for share in used)
    rows = [row]
    for number in codebooks:
        folder = experiment / f"decode_{number}_codebooks"
        _decode(experiment, number, folder, args)
        rows.append(
            {"variant": f"{name}, {number} of {len(sizes)}", **_scores(folder, args.test_set)}
        )
    return rows


def _decode(experiment: Path, number: int, folder: Path, args: argparse.Namespace) -> None:
    """Score the first n codebooks on the test set."""
    options = {
        "--model": experiment,
        "--dump_dir": args.dumpdir / "raw",
        "--semantic_dir": _tokenizer(experiment),
        "--sets": args.test_set,
        "--out_dir": folder,
        "--n_codebooks": number,
    }
    words = [str(word) for option in options.items() for word in option]
    subprocess.run([sys.executable, "-m", "espnet_stacodec.bin.decode", *words], check=True)


def _scores(folder: Path, test_set: str) -> dict[str, str]:
    scores = json.loads((folder / "results.json").read_text(encoding="utf-8"))["sets"][test_set]
    return {
        "pesq_wb": f"{scores['pesq_wb']:.2f}",
        "stoi": f"{scores['stoi']:.3f}",
        "si_sdr": f"{scores['si_sdr']:.1f}",
        "kbps": f"{scores['kbps']:.2f}",
    }


@functools.cache
def _codebook_sizes(experiment: Path) -> list[int]:
    return json.loads((experiment / "codes" / "codes.json").read_text("utf-8"))["codebook_sizes"]


def _read_codes(experiment: Path, part: str) -> dict[str, np.ndarray]:
    """Return the codes (n, T) of each utterance."""
    flat = load_scp(str(experiment / "codes" / part / "codes.scp"))
    return {utt: unflatten_codes(flat[utt], _codebook_sizes(experiment)) for utt in flat}


def _tokenizer(experiment: Path) -> Path:
    return Path(load_yaml(experiment / "config.yaml")["semantic_tokenizer"])


def _read_tokens(experiment: Path, part: str) -> dict[str, np.ndarray]:
    """Return the semantic tokens (T,) of each utterance."""
    scp = load_scp(str(_tokenizer(experiment) / part / "semantic.scp"))
    return {utt: scp[utt] for utt in scp}


def _majority_class(args: argparse.Namespace, experiment: Path) -> str:
    """Return the accuracy of always predicting the training set's most frequent token."""
    train, test = (
        np.concatenate(list(_read_tokens(experiment, part).values()))
        for part in (args.train_set, args.test_set)
    )
    majority = np.bincount(train).argmax()
    shares = [f"{100 * (tokens == majority).mean():.1f} %" for tokens in (train, test)]
    return (
        f"\nMajority class: {shares[0]} of the frames of {args.train_set},"
        f" {shares[1]} of {args.test_set}.\n"
    )


def _format(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = {
        "variant": "variant",
        "pesq_wb": "PESQ-WB",
        "stoi": "STOI",
        "si_sdr": "SI-SDR (dB)",
        "kbps": "kbit/s",
        "train": "RVQ-1 is the token, train (%)",
        "test": "test (%)",
        "usage": "entries used, by layer (%)",
    }
    cells = [[row.get(key, "-") for key in columns] for row in rows]
    return markdown_table(list(columns.values()), cells) + "\n"


if __name__ == "__main__":
    main()
