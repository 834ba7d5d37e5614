"""Audio of data sets to semantic tokens: fit the tokenizer once, then tokenize every set."""

import contextlib
import dataclasses
import functools
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.fileio.arks import SHARD_UTTERANCES, in_parts
from espnet_stacodec.fileio.audio import read_audio
from espnet_stacodec.fileio.files import atomic_write
from espnet_stacodec.parallel import Workers
from espnet_stacodec.semantic.backends import build_upstream
from espnet_stacodec.semantic.fit_data import FitData
from espnet_stacodec.semantic.kmeans import KMeans
from espnet_stacodec.semantic.token_files import (
    Utterance,
    read_tokens,
    read_utterances,
    write_tokens,
)
from espnet_stacodec.semantic.tokenizer import SemanticTokenizer, read_config
from espnet_stacodec.semantic.tokenizer_info import (
    INFO_NAME,
    TOKEN_FRAMES,
    TokenizerInfo,
    UpstreamConfig,
    content_key,
)
from espnet_stacodec.semantic.upstream import Upstream

__all__ = ["extract", "fit_tokenizer", "read_tokens", "read_wave"]


def read_wave(utterance: Utterance) -> torch.Tensor:
    """Return the samples (N,) float32 of a formatted utterance.

    Raises:
        DataError: If they cannot be read, or are not what stage 2 wrote.
    """
    wave, rate = read_audio(utterance.wav)
    if rate != TOKEN_FRAMES.sample_rate:
        raise DataError(
            f"{utterance.utt_id}: {utterance.wav} has {rate} Hz, not {TOKEN_FRAMES.sample_rate};"
            " format the audio (stage 2)."
        )
    if len(wave) != utterance.num_samples:
        raise DataError(
            f"{utterance.utt_id}: {utterance.wav} has {len(wave)} samples, utt2num_samples says"
            f" {utterance.num_samples}; format the audio again (stage 2)."
        )
    return torch.from_numpy(wave)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of floats depend on the number of threads: with one, tokens never depend on --nj."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# A process holds one model at a time, built when its first utterance comes.
_upstream = functools.lru_cache(maxsize=1)(build_upstream)


@functools.lru_cache(maxsize=1)
def _tokenizer(folder: Path, device: str, fingerprint: str) -> SemanticTokenizer:
    # The fingerprint is part of the cache's key: a folder may be filled anew.
    return SemanticTokenizer.load(folder, device)


def _features_of(
    config: UpstreamConfig, device: str, job: tuple[Utterance, np.ndarray]
) -> np.ndarray:
    """Return the features (m, D) of the frames (m,) that the sample takes of an utterance."""
    utterance, frames = job
    with _one_thread():
        features = _upstream(config, device).features(read_wave(utterance), utterance.utt_id)
        return features[torch.from_numpy(frames).to(features.device)].cpu().numpy()


def _tokens_of(folder: Path, device: str, fingerprint: str, utterance: Utterance) -> np.ndarray:
    """Return the tokens (T,) of an utterance."""
    with _one_thread():
        tokenizer = _tokenizer(folder, device, fingerprint)
        return tokenizer(read_wave(utterance), utterance.utt_id).cpu().numpy()


def draw_frames(
    config: UpstreamConfig, utterances: Sequence[Utterance]
) -> list[tuple[Utterance, np.ndarray]]:
    """Draw what k-means is fitted on: utterances up to fit_hours, and frames of them.

    Returns:
        (utterance, its frames (m,) in order) pairs, without utterances of which no frame is drawn.
        All frames are equally likely; there are at most frames_per_cluster * num_clusters.
    """
    generator = np.random.default_rng(config.seed)
    limit = config.fit_hours * 3600 * TOKEN_FRAMES.sample_rate
    drawn: list[Utterance] = []
    samples = 0
    for index in generator.permutation(len(utterances)):
        if samples >= limit:
            break
        drawn.append(utterances[index])
        samples += utterances[index].num_samples
    starts = np.cumsum([0, *(utterance.num_frames for utterance in drawn)])
    wanted = min(starts[-1], config.frames_per_cluster * config.num_clusters)
    frames = np.sort(generator.choice(starts[-1], wanted, replace=False, shuffle=False))
    parts = np.split(frames, np.searchsorted(frames, starts[1:-1]))
    return [
        (utterance, part - start)
        for utterance, start, part in zip(drawn, starts[:-1], parts, strict=True)
        if len(part)
    ]


def _sample_features(
    config: UpstreamConfig,
    utterances: Sequence[Utterance],
    folder: Path,
    workers: Workers,
    device: str,
) -> np.ndarray:
    """Return features (n, D) of drawn frames; `folder` keeps blocks of them meanwhile."""
    jobs = draw_frames(config, utterances)
    starts = range(0, len(jobs), SHARD_UTTERANCES)
    blocks = {folder / f"{start}.npy": jobs[start : start + SHARD_UTTERANCES] for start in starts}
    missing = [path for path in blocks if not path.exists()]
    work = functools.partial(_features_of, config, device)
    todo = [job for path in missing for job in blocks[path]]
    results = workers.map(work, todo, "features for k-means")
    parts = in_parts(results, [len(blocks[path]) for path in missing])
    for path, features in zip(missing, parts, strict=True):
        with atomic_write(path) as temporary:
            np.save(temporary, np.concatenate(features))
    return np.concatenate([np.load(path) for path in blocks])


@typechecked
def fit_tokenizer(
    config: UpstreamConfig,
    train_dir: Path | str,
    out_dir: Path | str,
    workers: Workers,
    device: str = "cpu",
) -> TokenizerInfo:
    """Fit k-means on `train_dir` and write the tokenizer to `out_dir`, unless it is there.

    Raises:
        ConfigError: If `out_dir` holds a tokenizer of another configuration or other audio.
        DataError: If the audio has fewer frames than clusters, or cannot be read.
    """
    out_dir = Path(out_dir)
    utterances = read_utterances(train_dir)
    fit_data = FitData.of(Path(train_dir), utterances)
    if (out_dir / INFO_NAME).exists():
        _check_same(config, read_config(out_dir), out_dir)
        fit_data.check(out_dir)
        return TokenizerInfo.read(out_dir)
    if sum(utterance.num_frames for utterance in utterances) < config.num_clusters:
        raise DataError(
            f"{train_dir}: too little audio for {config.num_clusters} clusters, which need as many"
            " frames of 20 ms at least; use more audio or a smaller num_clusters."
        )
    # Building the model first finds a wrong name or layer before any work is done.
    upstream: Upstream = _upstream(config, device)
    content = [dataclasses.asdict(config), [dataclasses.astuple(utt) for utt in utterances]]
    parts = out_dir / f".fit_{content_key(content)}"
    features = _sample_features(config, utterances, parts, workers, device)
    logging.info("k-means on %d frames of %d dimensions", *features.shape)
    kmeans = KMeans.fit(
        features, config.num_clusters, config.seed, config.batch_frames, config.passes
    )
    fit_data.write(out_dir)
    SemanticTokenizer(upstream, kmeans).save(out_dir)  # last: with it the folder is complete
    shutil.rmtree(parts)
    return TokenizerInfo.read(out_dir)


def _check_same(config: UpstreamConfig, there: UpstreamConfig, out_dir: Path) -> None:
    """Raise ConfigError, naming the keys, if a folder's tokenizer has another configuration."""
    given, found = dataclasses.asdict(config), dataclasses.asdict(there)
    differing = [
        f"{key} ({found[key]} there, {given[key]} now)" for key in given if given[key] != found[key]
    ]
    if differing:
        raise ConfigError(
            f"{out_dir}: holds a tokenizer with another {', '.join(differing)}; remove that folder"
            " or write to another one."
        )


@typechecked
def extract(
    config: UpstreamConfig,
    dump_dir: Path | str,
    train_set: str,
    sets: Sequence[str],
    out_dir: Path | str,
    nj: int = 1,
    device: str = "cpu",
) -> TokenizerInfo:
    """Fit the tokenizer on the train set and write the tokens of all sets.

    What is complete already is kept: the tokenizer, and shards of the same utterances.

    Args:
        config: Which features, how many clusters.
        dump_dir: Holds <set>/{wav.scp,utt2num_samples}, 16 kHz.
        train_set: Set that k-means is fitted on.
        sets: Sets to tokenize.
        out_dir: Gets tokenizer.yaml, centroids.safetensors, <set>/{semantic.scp,semantic.<N>.ark}.
        nj: Processes that run the model; on a CPU each has one thread.
        device: cpu, cuda, cuda:1, ...

    Raises:
        ConfigError: As `fit_tokenizer` does, or if the upstream cannot be built.
        DataError: If a set is missing, or an utterance unreadable or changed since stage 2.
    """
    dump_dir, out_dir = Path(dump_dir), Path(out_dir)
    utterances = {name: read_utterances(dump_dir / name) for name in sets}
    with Workers(nj) as workers:
        info = fit_tokenizer(config, dump_dir / train_set, out_dir, workers, device)
        work = functools.partial(_tokens_of, out_dir, device, info.fingerprint)
        for name in sets:
            tokenize = functools.partial(workers.map, work, description=f"tokens of {name}")
            write_tokens(out_dir / name, utterances[name], info.fingerprint, tokenize)
    return info
