"""Encode and decode a set, keep codes and audio, and score them (stage 6)."""

import dataclasses
import functools
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typeguard import typechecked

from espnet_stacodec.errors import DataError, naming
from espnet_stacodec.evaluation.audio_sets import AudioSet
from espnet_stacodec.evaluation.score_sets import SCORES_NAME, score_set
from espnet_stacodec.evaluation.scoring import write_rows
from espnet_stacodec.evaluation.words import Recognition
from espnet_stacodec.fileio.audio import write_audio
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.fileio.files import read_scp, write_scp, write_text
from espnet_stacodec.fileio.parts import Part, Parts, cut
from espnet_stacodec.fileio.provenance import Provenance
from espnet_stacodec.fileio.temporaries import exclusive
from espnet_stacodec.inference.audio_coding import AudioCoding, load_once
from espnet_stacodec.parallel import Workers, one_thread
from espnet_stacodec.semantic.token_files import CodecInput, CodecInputs

PART_UTTERANCES = 50
DECODED_NAME = "decoded.jsonl"


@dataclasses.dataclass(frozen=True)
class SetToDecode:
    """Job of the workers that decode a set.

    Attributes:
        model: Experiment folder.
        model_file: Name of the checkpoint; None for the best one.
        wav_scp: Audio of the set.
        semantic_scp: Its semantic tokens; None where the codec needs none, or makes them itself.
        out_dir: Where codes and audio go.
        n_codebooks: How many codebooks to keep; None for all.
        precision: What the networks compute in, as for `AudioCoding`.
    """

    model: Path
    model_file: str | None
    wav_scp: Path
    semantic_scp: Path | None
    out_dir: Path
    n_codebooks: int | None = None
    precision: str = "float32"

    def codec(self, device: str) -> AudioCoding:
        """Return the codec, loaded once in a process."""
        return load_once(self.model, device, self.model_file, self.precision)

    def files(self, utt_id: str) -> tuple[Path, Path]:
        """Return where codes and audio of an utterance go."""
        return self.out_dir / "codes" / f"{utt_id}.npz", self.out_dir / "wav" / f"{utt_id}.wav"


@typechecked
def decode_set(job: SetToDecode, workers: Workers) -> list[dict]:
    """Decode a set and return one row per utterance: utt, encode_seconds, decode_seconds.

    Makes out_dir/{codes/*.npz, wav/*.wav, codes.scp, wav.scp, decoded.jsonl}; what an interrupted
    call has finished is kept.

    Raises:
        StageError: If the audio or the tokens of the set have not been made.
        DataError: If an utterance has no tokens, or those of another tokenizer than the codec's.
    """
    inputs = CodecInputs(job.wav_scp, job.semantic_scp)
    codec = job.codec(workers.own_device)
    if job.semantic_scp is not None:
        codec.tokenizer.check_tokens_of(job.semantic_scp)
    decoded = job.out_dir / DECODED_NAME
    parts = Parts(
        decoded,
        cut(inputs.identify(), PART_UTTERANCES),
        [codec.output_key, job.n_codebooks],
        "jsonl",
    )
    settings = {
        "n_codebooks": job.n_codebooks or codec.n_codebooks,
        "device": workers.device,
        "precision": job.precision,
    }
    made = Provenance(__name__, settings, {**inputs.places(), "codec": codec.fingerprint})
    compute = workers.map_named(
        functools.partial(_decode_one, job, workers.device), inputs, f"decode {job.out_dir}"
    )
    with exclusive(job.out_dir, "codes", "wav"):
        for part in parts:
            if not all(path.exists() for utt in part.ids for path in job.files(utt)):
                part.path.unlink(missing_ok=True)
        if parts.missing():
            (job.out_dir / "codes.scp").unlink(missing_ok=True)
            (job.out_dir / "wav.scp").unlink(missing_ok=True)
            (job.out_dir / SCORES_NAME).unlink(missing_ok=True)
        parts.complete(compute, _save)
        text = "".join(part.path.read_text(encoding="utf-8") for part in parts)
        codes, audio = zip(*map(job.files, inputs), strict=True)
        write_scp(job.out_dir / "codes.scp", dict(zip(inputs, codes, strict=True)))
        write_scp(job.out_dir / "wav.scp", dict(zip(inputs, audio, strict=True)))
        made.write_before(decoded)
        write_text(decoded, text)
    logging.info("%s: %d utterances decoded", job.out_dir, len(inputs))
    return [json.loads(line) for line in text.splitlines()]


@typechecked
def score_decoded(
    job: SetToDecode,
    decoded: Sequence[Mapping[str, Any]],
    families: Sequence[str],
    workers: Workers,
    recognition: Recognition | None = None,
) -> list[dict[str, Any]]:
    """Score a decoded set; writes out_dir/scores.jsonl and returns its rows.

    Args:
        job: What was decoded.
        decoded: What `decode_set` returned; becomes part of the rows.
        families: Keys of `metrics.FAMILIES`.
        workers: Who computes.
        recognition: A recognizer for word errors; None for none.
    """
    originals = AudioSet.open(job.wav_scp.parent)
    rows = score_set(
        originals,
        read_scp(job.out_dir / "wav.scp"),
        job.out_dir,
        families,
        workers,
        recognition,
    )
    times = {row["utt"]: row for row in decoded}
    rows = [{**row, **times[row["utt"]]} for row in rows]
    write_rows(job.out_dir / SCORES_NAME, rows)
    return rows


def _save(part: Part, rows: Sequence[dict]) -> None:
    write_text(part.path, "".join(json.dumps(row) + "\n" for row in rows))


@one_thread()
def _decode_one(job: SetToDecode, device: str, source: CodecInput) -> dict:
    """Encode, decode and write one utterance; returns its row."""
    codec = job.codec(device)
    with naming(source.utt_id):
        wave, rate, semantic = source.read()
        if rate != codec.sample_rate:
            raise DataError(
                f"{source.wav}: {rate} Hz instead of {codec.sample_rate}; run stage 2 first."
            )
        started = time.perf_counter()
        codes = codec.encode(wave, rate, semantic, n_codebooks=job.n_codebooks)
    encoded = time.perf_counter()
    estimate = codec.decode(codes, len(wave)).numpy()
    decoded = time.perf_counter()
    codes_file, wav_file = job.files(source.utt_id)
    Codes(codes.numpy(), len(wave), rate, codec.fingerprint).save(codes_file)
    write_audio(wav_file, estimate, rate)
    return {
        "utt": source.utt_id,
        "encode_seconds": encoded - started,
        "decode_seconds": decoded - encoded,
    }
