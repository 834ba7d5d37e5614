"""Encode and decode a set, keep codes and audio, and score each utterance (stage 6)."""

import dataclasses
import functools
import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from typeguard import typechecked

from espnet_stacodec.errors import DataError, StageError, naming
from espnet_stacodec.evaluation import metrics
from espnet_stacodec.fileio.audio import read_audio
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.fileio.files import atomic_write, read_scp, write_scp, write_text
from espnet_stacodec.inference.audio_coding import AudioCoding, load_once
from espnet_stacodec.parallel import Workers
from espnet_stacodec.semantic.token_files import read_tokens

SHARD_UTTERANCES = 50
SCORES_NAME = "scores.jsonl"


@dataclasses.dataclass(frozen=True)
class SetToDecode:
    """What a worker needs to decode utterances of a set.

    Attributes:
        model: Experiment folder.
        model_file: Name of the checkpoint; None for the best one.
        wav_scp: Audio of the set.
        semantic_scp: Its semantic tokens; None where the codec needs none, or makes them itself.
        out_dir: Where codes, audio and scores go.
        device: Where to compute.
        n_codebooks: How many codebooks to keep; None for all.
    """

    model: Path
    model_file: str | None
    wav_scp: Path
    semantic_scp: Path | None
    out_dir: Path
    device: str
    n_codebooks: int | None = None


@typechecked
def decode_set(job: SetToDecode, workers: Workers) -> list[dict]:
    """Decode a set and return one row of scores per utterance.

    Makes out_dir/{codes/*.npz, wav/*.wav, codes.scp, wav.scp, scores.jsonl}; what an interrupted
    call has finished is kept.

    Raises:
        StageError: If the audio or the tokens of the set have not been made.
        DataError: If an utterance has no tokens, or those of another tokenizer than the codec's.
    """
    audio = _read_stage(job.wav_scp, 2)
    utterances = list(audio)
    if job.semantic_scp is not None:
        tokens = _read_stage(job.semantic_scp, 3)
        codec = load_once(job.model, job.device, job.model_file)
        codec.tokenizer.check_tokens_of(job.semantic_scp)
        missing = [utt for utt in utterances if utt not in tokens]
        if missing:
            raise DataError(
                f"{job.semantic_scp}: {len(missing)} utterances of {job.wav_scp} have no tokens"
                f" (first: {missing[0]}); extract them again (stage 3)."
            )
    _discard_outdated(job)
    shards = [
        (number, utterances[start : start + SHARD_UTTERANCES])
        for number, start in enumerate(range(0, len(utterances), SHARD_UTTERANCES))
    ]
    work = functools.partial(_decode_shard, job)
    done = workers.map(work, shards, f"decode {job.out_dir}", unit="shards")
    rows = [row for shard in done for row in shard]
    utts = [row["utt"] for row in rows]
    write_scp(job.out_dir / "codes.scp", {u: job.out_dir / "codes" / f"{u}.npz" for u in utts})
    write_scp(job.out_dir / "wav.scp", {u: job.out_dir / "wav" / f"{u}.wav" for u in utts})
    write_text(job.out_dir / SCORES_NAME, "".join(json.dumps(row) + "\n" for row in rows))
    logging.info("%s: %d utterances decoded", job.out_dir, len(rows))
    return rows


def _read_stage(scp: Path, stage: int) -> dict[str, str]:
    """Read an scp file that an earlier stage makes."""
    if not scp.exists():
        raise StageError(f"{scp}: not there; run stage {stage} for this set first.")
    return read_scp(scp)


def _discard_outdated(job: SetToDecode) -> None:
    """Remove the scores of an earlier call whose model, audio or tokens were others."""
    codec = load_once(job.model, job.device, job.model_file)
    wanted = {
        "codec": codec.fingerprint,
        "n_codebooks": job.n_codebooks,
        "wav_scp": job.wav_scp.read_text(encoding="utf-8"),
        "semantic_scp": job.semantic_scp and job.semantic_scp.read_text(encoding="utf-8"),
    }
    state = job.out_dir / "shards" / "made_from.json"
    if state.exists() and json.loads(state.read_text(encoding="utf-8")) != wanted:
        for shard in state.parent.glob("scores.*.jsonl"):
            shard.unlink()
    write_text(state, json.dumps(wanted))


def _decode_shard(job: SetToDecode, shard: tuple[int, Sequence[str]]) -> list[dict]:
    """Decode and score the utterances of a shard, unless it was finished before."""
    number, utterances = shard
    kept = job.out_dir / "shards" / f"scores.{number}.jsonl"
    if kept.exists():
        return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    torch.set_num_threads(1)
    codec = load_once(job.model, job.device, job.model_file)
    audio = read_scp(job.wav_scp)
    tokens = None if job.semantic_scp is None else read_tokens(job.semantic_scp)
    rows = [
        _decode_one(job, codec, utt, audio[utt], None if tokens is None else tokens[utt])
        for utt in utterances
    ]
    write_text(kept, "".join(json.dumps(row) + "\n" for row in rows))
    return rows


def _decode_one(
    job: SetToDecode, codec: AudioCoding, utt_id: str, path: str, semantic: np.ndarray | None
) -> dict:
    """Encode, decode, write and score one utterance; returns its row of scores."""
    wave, rate = read_audio(path)
    if rate != codec.sample_rate:
        raise DataError(f"{path}: {rate} Hz instead of {codec.sample_rate}; run stage 2 first.")
    started = time.perf_counter()
    with naming(utt_id):
        codes = codec.encode(wave, rate, semantic, n_codebooks=job.n_codebooks)
    encoded = time.perf_counter()
    estimate = codec.decode(codes, len(wave)).numpy()
    decoded = time.perf_counter()
    Codes(codes.numpy(), len(wave), rate, codec.fingerprint).save(
        job.out_dir / "codes" / f"{utt_id}.npz"
    )
    with atomic_write(job.out_dir / "wav" / f"{utt_id}.wav") as temporary:
        soundfile.write(temporary, estimate, rate, "PCM_16")
    return {
        "utt": utt_id,
        "num_samples": len(wave),
        "encode_seconds": encoded - started,
        "decode_seconds": decoded - encoded,
        # JSON has no NaN: a metric that is not defined is null.
        **{n: v if math.isfinite(v) else None for n, v in metrics.score(wave, estimate).items()},
    }
