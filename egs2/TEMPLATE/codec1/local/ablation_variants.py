"""The trainings of an ablation: variants, their configurations with each seed, their stages."""

import argparse
import dataclasses
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from espnet_stacodec.config import choose, load_yaml
from espnet_stacodec.errors import STACodecError
from espnet_stacodec.fileio.files import write_text

BEST = "valid.mel_loss.best.pth"
# Keys of a variant that are not of the training's configuration.
OWN_KEYS = ("init_from", "speed_perturb_factors", "keep_features")


@dataclasses.dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        variant: Its name in ablations.yaml.
        seed: Of the training.
        tag: Of its experiment: variant, tokens and seed.
        experiment: Its folder.
        conf: Its whole configuration.
        options: Further options of run.sh.
    """

    variant: str
    seed: int
    tag: str
    experiment: Path
    conf: Mapping[str, Any]
    options: Mapping[str, str]

    @property
    def assigns(self) -> bool:
        """Whether semantic tokens are assigned, given or predicted."""
        return self.conf["codec_conf"]["generator_params"].get("assignment", "sta") != "none"


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes`: mappings are merged key by key, other values replaced."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def plan(ablations: Mapping[str, Any], args: argparse.Namespace) -> list[Run]:
    """Return the trainings of `args.variants` (None: all), seed by seed.

    Raises:
        ConfigError: If a variant is unknown.
    """
    variants = ablations["variants"]
    base = merge(load_yaml(args.train_config), ablations["all"])
    runs = []
    for seed in args.seeds:
        for name in args.variants or list(variants):
            variant = choose(variants, name, f"{args.ablations}: variant")
            changes = {key: value for key, value in variant.items() if key not in OWN_KEYS}
            options = {}
            if "speed_perturb_factors" in variant:
                options["--speed_perturb_factors"] = variant["speed_perturb_factors"]
            if variant.get("keep_features"):
                options["--keep_features"] = "true"
            if "init_from" in variant:
                begun = args.expdir / f"codec_{_tag(variant['init_from'], seed, args)}" / BEST
                options["--train_args"] = shlex.join(["--init_param", str(begun)])
            tag = _tag(name, seed, args)
            conf = merge(base, changes) | {"seed": seed}
            runs.append(Run(name, seed, tag, args.expdir / f"codec_{tag}", conf, options))
    return runs


def _tag(name: str, seed: int, args: argparse.Namespace) -> str:
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '_', name)}_{args.ssl_config.stem}_seed{seed}"


def train(run: Run, args: argparse.Namespace, first: bool) -> None:
    """Train with the recipe's own stages; the first training makes the statistics of all.

    Raises:
        STACodecError: If a stage fails, which has said why.
    """
    train_config = args.expdir / "conf" / f"{run.tag}.yaml"
    write_text(train_config, yaml.safe_dump(dict(run.conf), sort_keys=False))
    # Copies of other speeds have statistics of their own.
    own_statistics = first or "--speed_perturb_factors" in run.options
    options = {
        "--stage": 4 if own_statistics else 5,
        "--stop_stage": 5,
        "--train_config": train_config,
        "--tag": run.tag,
        "--ssl_config": args.ssl_config,
        "--train_set": args.train_set,
        "--valid_set": args.valid_set,
        "--test_sets": args.test_set,
        "--dumpdir": args.dumpdir,
        "--expdir": args.expdir,
        **run.options,
    }
    command = ["./run.sh", *(str(word) for option in options.items() for word in option)]
    if subprocess.run(command, stdout=sys.stderr).returncode:
        raise STACodecError(
            f"variant '{run.variant}' failed; read the lines above, then run this again."
        )
