"""The authors' released codecs as experiments of this package.

A release is a folder with model.th, config.json and, where the codec needs tokens, its k-means.
"""

import json
from pathlib import Path

import torch
import yaml
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError, ModelError
from espnet_stacodec.fileio.files import atomic_write, write_text
from espnet_stacodec.pretrained.checkpoint import GENERATOR_PREFIX, build_generator, load_state
from espnet_stacodec.pretrained.experiment import (
    CONFIG_NAME,
    PACKED_MODEL_NAME,
    REPOSITORY_PATTERN,
    TOKENIZER_FOLDER,
    cached,
    check_revision,
    download,
)
from espnet_stacodec.pretrained.official_checkpoint import Released, read_checkpoint
from espnet_stacodec.pretrained.official_kmeans import read_released_kmeans
from espnet_stacodec.pretrained.shipped.lookup import find_shipped
from espnet_stacodec.semantic.kmeans import KMeans
from espnet_stacodec.semantic.tokenizer import CENTROIDS_NAME
from espnet_stacodec.semantic.tokenizer_info import TOKEN_FRAMES, UpstreamConfig, write_info

# What a release's config.json calls its SSL model.
SSL_MODELS = {
    "wavlm_large_l23": UpstreamConfig(
        "wavlm_large", 23, 1000, "transformers", "microsoft/wavlm-large"
    ),
    "hubert_base_l9": UpstreamConfig(
        "hubert_base", 9, 1024, "transformers", "facebook/hubert-base-ls960"
    ),
}


@typechecked
def open_variant(
    source: Path | str,
    variant: str,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: Path | str | None = None,
) -> Path:
    """Return an experiment's folder, in the user's cache, of one of several releases.

    Args:
        source: A folder or a Hugging Face repository with a folder for each variant.
        variant: Its name, e.g. "stacodec_wavlm".
        revision: As for `Experiment.open`, and so are
        token: and
        cache_dir: these.

    Raises:
        ModelError: If there is no such variant, or it lacks a part.
    """
    if find_shipped(source):
        raise ModelError(f"{source}: a shipped codec has no variants; name the releases' folder.")
    base = Path(source).expanduser()
    check_revision(base, revision)
    if not base.is_dir():
        if REPOSITORY_PATTERN.fullmatch(str(source)) is None:
            raise ModelError(f"{source}: neither a folder nor an id of a Hugging Face repository.")
        base = download(str(source), f"{variant}/*", revision, token, cache_dir)
    release = base / variant
    if not (release / "config.json").is_file():
        found = ", ".join(sorted(p.parent.name for p in base.glob("*/config.json"))) or "none"
        raise ModelError(f"{source}: no variant {variant} (there: {found}).")
    files = sorted(path for path in release.rglob("*") if path.is_file())
    return cached(files, lambda folder: import_release(release, folder), cache_dir)


@typechecked
def import_release(release: Path | str, out: Path | str) -> None:
    """Write the experiment of a release's folder.

    Raises:
        ModelError: If the folder lacks a part, or a part cannot be used.
    """
    release = Path(release)
    path = release / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        ssl_model, predicts = config.get("ssl_model_type"), config.get("spd", False)
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: not the configuration of a release ({error}).") from error
    if predicts or ssl_model is None:
        return import_checkpoint(release / "model.th", out)
    if not isinstance(ssl_model, str) or ssl_model not in SSL_MODELS:
        raise ModelError(
            f"{path}: ssl_model_type '{ssl_model}' is unknown; known are {', '.join(SSL_MODELS)}."
        )
    found = sorted((release / "kmeans_models").glob("*"))
    if len(found) != 1:
        raise ModelError(f"{release}/kmeans_models: expected one k-means, found {len(found)}.")
    import_checkpoint(release / "model.th", out, found[0], SSL_MODELS[ssl_model])


@typechecked
def import_checkpoint(
    checkpoint: Path | str,
    out: Path | str,
    kmeans_file: Path | str | None = None,
    upstream: UpstreamConfig | None = None,
) -> None:
    """Write the experiment of a released checkpoint.

    Args:
        checkpoint: The authors' model.th.
        out: Folder to write; it must not hold an experiment yet.
        kmeans_file: The k-means of its semantic tokens, as the authors saved it; without it,
            encoding needs tokens from elsewhere.
        upstream: The SSL model that the k-means belongs to.

    Raises:
        ModelError: If a file cannot be used, or they do not belong together.
        ConfigError: If there is an experiment in `out`, or a k-means without its upstream.
    """
    out = Path(out)
    if (out / CONFIG_NAME).exists():
        raise ConfigError(f"{out}: there is an experiment in it; give another folder.")
    if (kmeans_file is None) != (upstream is None):
        raise ConfigError("A k-means needs its upstream, and an upstream its k-means; give both.")
    released = read_checkpoint(checkpoint)
    kmeans = None if kmeans_file is None else read_released_kmeans(kmeans_file)
    if kmeans is not None and upstream is not None:
        _check_clusters(kmeans, upstream, released)
    codec_conf = _codec_conf(released, kmeans)
    # Before anything is written: missing and surplus weights show here.
    load_state(build_generator(codec_conf, str(checkpoint)), released.state, checkpoint)
    state = {GENERATOR_PREFIX + name: value for name, value in released.state.items()}
    with atomic_write(out / PACKED_MODEL_NAME) as temporary:
        torch.save(state, temporary)
    if kmeans is not None and upstream is not None:
        _write_tokenizer(out / TOKENIZER_FOLDER, kmeans, upstream)
    # Last: with it the experiment is complete.
    config = {"codec": "stacodec", "codec_conf": codec_conf}
    write_text(out / CONFIG_NAME, yaml.safe_dump(config, sort_keys=False))


def _codec_conf(released: Released, kmeans: KMeans | None) -> dict:
    """Return the experiment's codec_conf."""
    size = released.generator_params["codebook_size"]
    params = {
        # Without a k-means any entry may be a token.
        "semantic_clusters": size if kmeans is None else kmeans.num_clusters,
        **released.generator_params,
    }
    conf = {"sampling_rate": released.sample_rate, "generator_params": params}
    return conf if kmeans is None else conf | {"semantic_fingerprint": kmeans.fingerprint}


def _check_clusters(kmeans: KMeans, upstream: UpstreamConfig, released: Released) -> None:
    """Raise ModelError unless all have the same number of clusters."""
    predicted = released.generator_params.get("semantic_clusters", kmeans.num_clusters)
    for name, number in ((upstream.tag, upstream.num_clusters), ("the codec", predicted)):
        if number != kmeans.num_clusters:
            raise ModelError(
                f"The k-means has {kmeans.num_clusters} clusters, {name} has {number}; they do not"
                " belong together."
            )


def _write_tokenizer(folder: Path, kmeans: KMeans, upstream: UpstreamConfig) -> None:
    kmeans.save(folder / CENTROIDS_NAME)
    write_info(
        folder,
        {
            "upstream": upstream.upstream,
            "layer": upstream.layer,
            "num_clusters": upstream.num_clusters,
            "backend": upstream.backend,
            "path_or_url": upstream.path_or_url,
            "frame_rate_hz": TOKEN_FRAMES.frame_rate_hz,
            "feature_dim": kmeans.feature_dim,
            "fingerprint": kmeans.fingerprint,
        },
    )
