"""Audio of data sets to semantic tokens: fit the tokenizer once, then tokenize every set."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.fileio.files import atomic_write, fingerprint, identify
from espnet_stacodec.fileio.parts import Part, Parts, cut
from espnet_stacodec.fileio.provenance import Provenance
from espnet_stacodec.fileio.temporaries import exclusive, remove
from espnet_stacodec.parallel import Workers, one_thread
from espnet_stacodec.semantic.backends import build_upstream
from espnet_stacodec.semantic.fit_data import FitData
from espnet_stacodec.semantic.kmeans import KMeans
from espnet_stacodec.semantic.token_files import (
    SCP_NAME,
    TokenReader,
    Utterance,
    read_tokens,
    read_utterances,
    read_wave,
    write_tokens,
)
from espnet_stacodec.semantic.tokenize_set import tokenize_set
from espnet_stacodec.semantic.tokenizer import SemanticTokenizer, read_config
from espnet_stacodec.semantic.tokenizer_info import (
    INFO_NAME,
    TOKEN_FRAMES,
    TokenizerInfo,
    UpstreamConfig,
)
from espnet_stacodec.semantic.upstream import Upstream

FIT_FOLDER = ".fit"  # features of an unfinished tokenizer

__all__ = ["extract", "fit_tokenizer", "read_tokens"]

# A process holds one model at a time, built when its first utterance comes.
_upstream = functools.lru_cache(maxsize=1)(build_upstream)


@one_thread()
def write_features(
    config: UpstreamConfig, device: str, folder: Path, job: tuple[Utterance, np.ndarray]
) -> Path:
    """Write the features (m, D) of the frames (m,) that the sample takes of an utterance.

    Returns:
        The file: a gigabyte in all, which is not for the messages between processes.
    """
    utterance, frames = job
    wave = torch.from_numpy(read_wave(utterance))
    features = _upstream(config, device).features(wave, utterance.utt_id)
    with atomic_write(folder / f"{utterance.utt_id}.npy") as temporary:
        np.save(temporary, features[torch.from_numpy(frames).to(features.device)].cpu().numpy())
    return folder / f"{utterance.utt_id}.npy"


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
) -> np.ndarray:
    """Return features (n, D) of drawn frames; `folder` keeps parts of them meanwhile."""
    jobs = {job[0].utt_id: job for job in draw_frames(config, utterances)}
    audio = identify({utt_id: utterance.wav for utt_id, (utterance, _) in jobs.items()})
    sources = {
        utt_id: [audio[utt_id], utterance.num_samples, fingerprint([("frames", frames)])]
        for utt_id, (utterance, frames) in jobs.items()
    }

    def save(part: Part, files: Sequence[Path]) -> None:
        with atomic_write(part.path) as temporary:
            np.save(temporary, np.concatenate([np.load(file) for file in files]))
        for file in files:
            file.unlink()

    work = functools.partial(write_features, config, workers.device, folder / "utterances")
    parts = Parts(folder / "features.npy", cut(sources), dataclasses.asdict(config), "npy")
    parts.complete(workers.map_named(work, jobs, "features for k-means"), save)
    return np.concatenate([np.load(part.path) for part in parts])


@typechecked
def fit_tokenizer(
    config: UpstreamConfig,
    train_dir: Path | str,
    out_dir: Path | str,
    workers: Workers,
) -> TokenizerInfo:
    """Fit k-means on `train_dir` and write the tokenizer to `out_dir`, unless it is there.

    Raises:
        ConfigError: If `out_dir` holds a tokenizer of another configuration or other audio.
        StageError: If `train_dir` has not been made.
        DataError: If the audio has fewer frames than clusters, or cannot be read.
    """
    with exclusive(Path(out_dir), FIT_FOLDER):
        return _fit_tokenizer(config, Path(train_dir), Path(out_dir), workers)


def _fit_tokenizer(
    config: UpstreamConfig, train_dir: Path, out_dir: Path, workers: Workers
) -> TokenizerInfo:
    utterances = read_utterances(train_dir)
    fit_data = FitData.of(train_dir, utterances)
    if (out_dir / INFO_NAME).exists():
        _check_same(config, read_config(out_dir), out_dir)
        fit_data.check(out_dir)
        remove(out_dir / FIT_FOLDER)  # of a call that was killed when all was done
        return TokenizerInfo.read(out_dir)
    if sum(utterance.num_frames for utterance in utterances) < config.num_clusters:
        raise DataError(
            f"{train_dir}: too little audio for {config.num_clusters} clusters, which need as many"
            " frames of 20 ms at least; use more audio or a smaller num_clusters."
        )
    # Building the model first finds a wrong name or layer before any work is done.
    upstream: Upstream = _upstream(config, workers.own_device)
    features = _sample_features(config, utterances, out_dir / FIT_FOLDER, workers)
    logging.info("k-means on %d frames of %d dimensions", *features.shape)
    kmeans = KMeans.fit(
        features, config.num_clusters, config.seed, config.batch_frames, config.passes
    )
    fit_data.write(out_dir)
    audio = {utterance.utt_id: utterance.wav for utterance in utterances}
    settings = dataclasses.asdict(config) | {"device": workers.device}
    data = {"audio": audio, "weights": upstream.weights}
    Provenance(__name__, settings, data, config.seed).write(out_dir)
    SemanticTokenizer(upstream, kmeans).save(out_dir)  # last: with it the folder is complete
    remove(out_dir / FIT_FOLDER)
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
    workers: Workers | None = None,
) -> TokenizerInfo:
    """Fit the tokenizer on the train set and write the tokens of all sets.

    Complete results are kept: the tokenizer, and parts of the same utterances.

    Args:
        config: Which features, how many clusters.
        dump_dir: Holds <set>/{wav.scp,utt2num_samples}, 16 kHz.
        train_set: Set that k-means is fitted on.
        sets: Sets to tokenize.
        out_dir: Gets tokenizer.yaml, centroids.safetensors, <set>/{semantic.scp,semantic.<N>.ark}.
        workers: Processes that run the model, each with one thread; None for this one.

    Raises:
        ConfigError: As `fit_tokenizer` does, or if the upstream cannot be built.
        StageError: If a set has not been made.
        DataError: If an utterance is unreadable or was changed since stage 2.
    """
    dump_dir, out_dir = Path(dump_dir), Path(out_dir)
    utterances = {name: read_utterances(dump_dir / name) for name in sets}
    workers = workers or Workers(1)
    info = fit_tokenizer(config, dump_dir / train_set, out_dir, workers)
    key = (out_dir, workers.device, info.fingerprint)
    known: dict[Utterance, TokenReader] = {}
    for name in sets:
        compute = functools.partial(tokenize_set, workers, key, f"tokens of {name}")
        tokenize = functools.partial(_tokenize_unknown, compute, known)
        audio = {utterance.utt_id: utterance.wav for utterance in utterances[name]}
        made = Provenance(
            __name__,
            {"device": workers.device},
            {"audio": audio, "tokenizer": info.fingerprint},
        )
        write_tokens(out_dir / name, utterances[name], info.fingerprint, tokenize, provenance=made)
        known |= dict.fromkeys(utterances[name], read_tokens(out_dir / name / SCP_NAME))
    return info


def _tokenize_unknown(
    compute: Callable[[Sequence[Utterance]], Iterable[np.ndarray]],
    known: Mapping[Utterance, Mapping[str, np.ndarray]],
    utterances: Sequence[Utterance],
) -> Iterator[np.ndarray]:
    """Yield the tokens (T,) of each utterance, read where an earlier set has the same audio.

    So has the training set, whose copies of other speeds (stage 2) make a set together with it.
    """
    unknown = [utterance for utterance in utterances if utterance not in known]
    computed = iter(compute(unknown) if unknown else ())
    for utterance in utterances:
        if utterance in known:
            yield known[utterance][utterance.utt_id]
        else:
            yield next(computed)
    next(computed, None)  # progress bars and processes end with the iterator
