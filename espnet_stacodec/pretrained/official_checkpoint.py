"""The released checkpoints, in the form that the published implementation saves, made ours.

Loading one runs no code from it: of the classes that a checkpoint may name only those of its
configuration (omegaconf) are known, anything else is refused by name.
"""

import dataclasses
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from typeguard import typechecked

from espnet_stacodec.errors import ModelError
from espnet_stacodec.pretrained.checkpoint import load_reason
from espnet_stacodec.pretrained.finite import check_finite

CONFIG_KEY = "xp.cfg"
# What the published implementation can vary and ours does not: section, option, only value.
FIXED = {
    "seanet": {
        "channels": 1,
        "causal": False,
        "n_residual_layers": 1,
        "activation": "ELU",
        "norm": "weight_norm",
        "kernel_size": 7,
        "residual_kernel_size": 3,
        "last_kernel_size": 7,
        "dilation_base": 2,
        "pad_mode": "constant",
        "true_skip": True,
        "compress": 2,
        "lstm_bidirectional": True,
    },
    "encodec": {"autoencoder": "seanet", "quantizer": "rvq", "renormalize": False},
}
# Names of a transformer's parts there and here; a "." at the end stands for weight and bias.
TRANSFORMER_NAMES = {
    "in_projection.": "in_projection.",
    "out_projection.": "out_projection.",
    "embeddings.LayerNorm.": "norm.",
    "attention.output.dense.": "self_attn.out_proj.",
    "attention.output.LayerNorm.": "norm1.",
    "intermediate.dense.": "linear1.",
    "output.dense.": "linear2.",
    "output.LayerNorm.": "norm2.",
}
CODEBOOK_NAMES = {"embed": "embed", "embed_avg": "embed_sum", "cluster_size": "cluster_size"}
# Old-style weight normalization, and what torch keeps today.
WEIGHT_NORM_NAMES = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}
BOTTLENECK = "encoder.encoder_transformer."
PREDICTION = "auxiliary_tasks_models.0.linar_prob_models.0."
# Parameters that are in the checkpoints and never used.
UNUSED = re.compile(r"word_embeddings|\.pooler\.|_codebook\.inited$|position_ids$")
# No quote in it: one value at a time, of a mapping's text.
RESOLVER_CALL = re.compile(r"\$\{[^}']*:")
# torch.load's wording where it meets a class that it was not told of.
FORBIDDEN = re.compile(r"(?:GLOBAL|Unsupported global:? ?(?:GLOBAL)?) ([\w.]+)")


@dataclasses.dataclass(frozen=True)
class Released:
    """A released checkpoint in our form.

    Attributes:
        sample_rate: Hz.
        generator_params: Arguments of `STACodecGenerator`, without `semantic_clusters` where the
            checkpoint does not say it.
        state: State of that generator.
    """

    sample_rate: int
    generator_params: dict[str, Any]
    state: dict[str, torch.Tensor]


@typechecked
def read_checkpoint(path: Path | str) -> Released:
    """Read a released checkpoint.

    Raises:
        ModelError: If the file is none, is cut off, names a class that is not its configuration's,
            is of a model that this package does not have, or has weights that are not finite.
    """
    from omegaconf.errors import OmegaConfBaseException

    content = _load(Path(path))
    try:
        config, weights = content[CONFIG_KEY], content["best_state"]["model"]
        released = convert(config, weights)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    # What is missing, is not a number, or has another shape than others.
    except (
        KeyError, TypeError, AttributeError, ValueError, RuntimeError, OmegaConfBaseException
    ) as error:  # fmt: skip
        lacks = f"{error} is missing" if isinstance(error, KeyError) else _one_line(error)
        raise ModelError(
            f"{path}: not a checkpoint of the published STACodec ({lacks})."
        ) from error
    check_finite(_used(weights), path)
    return released


def _load(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint; only tensors, numbers and its configuration."""
    from omegaconf import base, dictconfig, listconfig, nodes

    known: list[Any] = [
        dictconfig.DictConfig,
        listconfig.ListConfig,
        base.ContainerMetadata,
        base.Metadata,
        nodes.AnyNode,
        dict,
        list,
        int,
        (typing.Any, "typing.Any"),
        (_plain_dict, "collections.defaultdict"),
    ]
    try:
        with torch.serialization.safe_globals(known):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: there is no such file.") from error
    # A file that is cut off or of another kind fails in ways that depend on where.
    except Exception as error:
        forbidden = FORBIDDEN.search(str(error))
        if forbidden:
            raise ModelError(
                f"{path}: refused, since it names {forbidden[1]}, which no checkpoint needs and"
                " which loading could run; get the file from its authors again."
            ) from error
        raise ModelError(f"{path}: not a checkpoint, or cut off ({load_reason(error)}).") from error


def _plain_dict(*args: Any) -> dict:
    """Stand for the defaultdict in omegaconf's metadata."""
    return {}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _refuse_calls(config: Any) -> None:
    """Raise ModelError if a value of a configuration (omegaconf) calls a resolver.

    `${section.option}` names another value. `${name:...}` calls what the process has registered as
    name, with what the file says.
    """
    from omegaconf import OmegaConf

    if OmegaConf.is_config(config) and (
        call := RESOLVER_CALL.search(repr(OmegaConf.to_container(config, resolve=False)))
    ):
        raise ModelError(
            f"refused, since its configuration calls {call[0]}...}}, which no checkpoint needs and"
            " which loading could run; get the file from its authors again."
        )


def convert(config: Any, weights: Mapping[str, torch.Tensor]) -> Released:
    """Translate a configuration (omegaconf) and weights of the published implementation.

    Raises:
        ModelError: If the model is one that this package does not have, or a weight is left over.
    """
    _refuse_calls(config)
    for section, options in FIXED.items():
        for option, value in options.items():
            if config[section][option] != value:
                raise ModelError(
                    f"{section}.{option} is {config[section][option]}, and this package has"
                    f" {value} only."
                )
    sizes, quantizer = config["seanet"], config["rvq"]
    transformer = sizes["transformer_params"]
    params: dict[str, Any] = {
        "dimension": int(sizes["dimension"]),
        "n_filters": int(sizes["n_filters"]),
        "ratios": [int(ratio) for ratio in sizes["ratios"]],
        "lstm_layers": int(sizes["lstm"]),
        "n_codebooks": int(quantizer["n_q"]),
        "codebook_size": int(quantizer["bins"]),
        "codebook": {"decay": float(quantizer["decay"])},
        "input_padding": "convolutions",
    }
    if transformer["do_enc"]:
        params["bottleneck"] = _transformer_conf(transformer)
    if any(name.startswith(PREDICTION) for name in weights):
        prediction = config["auxiliary_tasks"]["token_pred"]
        params["predistillation"] = {
            "transformer": _transformer_conf(prediction["transformer_params"])
        }
        params["semantic_clusters"] = len(weights[f"{PREDICTION}ce_lin.bias"])
    return Released(int(config["sample_rate"]), params, _convert_weights(weights))


def _transformer_conf(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `WindowedTransformer` for its options there."""
    return {
        "hidden": int(options["hidden_size"]),
        "layers": int(options["num_hidden_layers"]),
        "heads": int(options["num_attention_heads"]),
        "feed_forward": int(options["intermediate_size"]),
        "window": int(options["max_frames_in_trans"]),
        "overlap": int(options["overlap_frames"]),
        "windows": "reference",
    }


def _used(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in weights.items() if not UNUSED.search(name)}


def _convert_weights(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the generator's state."""
    left = _used(weights)
    state: dict[str, torch.Tensor] = {}
    for source, target in (
        (BOTTLENECK, "bottleneck."),
        (f"{PREDICTION}enc.", "token_source.transformer."),
    ):
        part = {n.removeprefix(source): left.pop(n) for n in list(left) if n.startswith(source)}
        if part:
            converted = _convert_transformer(part)
            state |= {target + name: value for name, value in converted.items()}
    for name, value in left.items():
        state[_convert_name(name)] = value
    if "token_source.head.bias" in state:
        state["token_source.steps"] = torch.zeros((), dtype=torch.long)
        state["token_source.token_counts"] = torch.zeros(
            len(state["token_source.head.bias"]), dtype=torch.long
        )
    first = state["quantizer.layers.0.cluster_size"]
    state["quantizer.layers.0.seen"] = torch.ones_like(first, dtype=torch.bool)
    # Not zero, which stands for codebooks that were never trained.
    state["quantizer.updates"] = torch.ones((), dtype=torch.long)
    return state


def _convert_name(name: str) -> str:
    """Return our name of a weight outside of the transformers."""
    if match := re.fullmatch(r"quantizer\.vq\.layers\.(\d+)\._codebook\.(\w+)", name):
        if match[2] in CODEBOOK_NAMES:
            return f"quantizer.layers.{match[1]}.{CODEBOOK_NAMES[match[2]]}"
    elif match := re.fullmatch(r"((?:en|de)coder\.model\..+\.)(\w+)", name):
        return match[1] + WEIGHT_NORM_NAMES.get(match[2], match[2])
    elif name.startswith(f"{PREDICTION}ce_lin."):
        return name.replace(f"{PREDICTION}ce_lin.", "token_source.head.")
    raise ModelError(f"it holds {name}, which no STACodec has.")


def _convert_transformer(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the state of a `WindowedTransformer`; consumes `weights`."""
    bert = {name.removeprefix("transformer_encoder."): value for name, value in weights.items()}
    # Token type 0 is all that is ever used: a constant, which goes into the positions.
    types = bert.pop("embeddings.token_type_embeddings.weight")
    state = {"position": bert.pop("embeddings.position_embeddings.weight") + types[0]}
    projections: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in bert.items():
        layer, rest = "", name
        if match := re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", name):
            layer, rest = f"transformer.layers.{match[1]}.", match[2]
        if match := re.fullmatch(r"attention\.self\.(query|key|value)\.(weight|bias)", rest):
            projections.setdefault(f"{layer}self_attn.in_proj_{match[2]}", {})[match[1]] = value
            continue
        part, _, kind = rest.rpartition(".")
        if f"{part}." not in TRANSFORMER_NAMES:
            raise ModelError(f"it holds {name}, which no transformer of STACodec has.")
        state[layer + TRANSFORMER_NAMES[f"{part}."] + kind] = value
    for name, parts in projections.items():
        state[name] = torch.cat([parts["query"], parts["key"], parts["value"]])
    return state
