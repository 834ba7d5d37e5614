"""The semantic tokenizer whose tokens a codec is trained on."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.fileio.files import atomic_write
from espnet_stacodec.frames import FrameRule
from espnet_stacodec.gan_codec.stacodec import STACodec
from espnet_stacodec.gan_codec.tokens.predistillation import Predistillation
from espnet_stacodec.pretrained.experiment import TOKENIZER_FOLDER
from espnet_stacodec.semantic.kmeans import KMeans
from espnet_stacodec.semantic.tokenizer import CENTROIDS_NAME
from espnet_stacodec.semantic.tokenizer_info import (
    INFO_NAME,
    TokenizerInfo,
    check_same_tokenizer,
)


def with_tokenizer(args: argparse.Namespace) -> dict:
    """Return codec_conf completed with the properties of the tokenizer.

    Raises:
        TokenError: If codec_conf already names another tokenizer.
        ConfigError: If the codec's frames are not as long as the tokens.
    """
    conf = dict(args.codec_conf)
    params = dict(conf.get("generator_params") or {})
    distillation = params.get("distillation")
    unused = params.get("assignment", "sta") == "none" and distillation is None
    if unused or args.semantic_tokenizer is None:
        return conf
    saved = conf.get("semantic_fingerprint")
    if saved is not None and not (Path(args.semantic_tokenizer) / INFO_NAME).exists():
        # A saved configuration: the tokenizer's folder may not exist on this machine.
        return conf
    info = TokenizerInfo.read(args.semantic_tokenizer)
    where = f"codec_conf: semantic_fingerprint: {args.semantic_tokenizer}"
    check_same_tokenizer(info.fingerprint, saved, where)
    params["semantic_clusters"] = info.num_clusters
    if distillation is not None:
        kmeans = KMeans.load(Path(args.semantic_tokenizer) / CENTROIDS_NAME)
        params["distillation"] = {**distillation, "feature_dim": kmeans.feature_dim}
    return conf | {"generator_params": params, "semantic_fingerprint": info.fingerprint}


def give_centroids(codec: STACodec, tokenizer_folder: str | None) -> None:
    """Show a tokenizer's centroids to the parts of a codec that learn from them."""
    # A saved model needs none, or brings its own, and the folder may not exist on this machine.
    path = None if tokenizer_folder is None else Path(tokenizer_folder) / CENTROIDS_NAME
    if path is None or not path.exists():
        return
    centroids = KMeans.load(path).centroids
    if codec.generator.distillation is not None:
        codec.generator.distillation.know_centroids(centroids)
    if isinstance(codec.generator.token_source, Predistillation):
        codec.generator.token_source.know_centroids(centroids)


def check_frame_rate(frame_rule: FrameRule, tokenizer_folder: str | None) -> None:
    """Raise ConfigError where a codec's frames are not as long as its tokens."""
    if tokenizer_folder is None or not (Path(tokenizer_folder) / INFO_NAME).exists():
        return  # a saved configuration: the folder may not exist on this machine
    info = TokenizerInfo.read(tokenizer_folder)
    if frame_rule.frame_rate_hz != info.frame_rate_hz:
        raise ConfigError(
            f"codec_conf: frames of {frame_rule.hop_samples} samples at"
            f" {frame_rule.sample_rate} Hz are {frame_rule.frame_rate_hz:g} a second, the tokens of"
            f" {tokenizer_folder} {info.frame_rate_hz:g}; choose ratios whose product is"
            f" {frame_rule.sample_rate / info.frame_rate_hz:g}."
        )


def keep_tokenizer(source: Path, output_dir: Path) -> None:
    """Copy the tokenizer into the experiment, which then needs nothing from elsewhere.

    Raises:
        TokenError: If there is another tokenizer in the experiment.
    """
    kept = output_dir / TOKENIZER_FOLDER
    if (kept / INFO_NAME).exists():
        given = TokenizerInfo.read(source).fingerprint
        check_same_tokenizer(TokenizerInfo.read(kept).fingerprint, given, kept)
        return
    # The YAML comes last: with it the copy is complete.
    for path in (*source.glob("*.safetensors"), source / INFO_NAME):
        with atomic_write(kept / path.name) as temporary:
            shutil.copyfile(path, temporary)


def check_token_files(
    data_paths: Sequence[tuple[str, str, str]], tokenizer_folder: str | None
) -> None:
    """Raise TokenError if tokens or features stand beside a tokenizer other than the given one."""
    if tokenizer_folder is None:
        return
    expected = TokenizerInfo.read(tokenizer_folder).fingerprint
    # The tokenizer lies above dump/semantic/<tag>/<set>/{semantic.scp,features/features.scp}.
    levels = {"semantic": 1, "features": 2}
    for path, name, _ in data_paths:
        beside = Path(path).parents[levels[name]] if name in levels else None
        if beside is not None and (beside / INFO_NAME).exists():
            check_same_tokenizer(TokenizerInfo.read(beside).fingerprint, expected, path)
