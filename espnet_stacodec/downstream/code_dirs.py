"""Codes of whole sets as ESPnet's discrete-token recipes read them (stage 7).

<out_dir>/<set>/{codes.scp, codes.<N>.ark} hold one flat int32 vector per utterance, frame by
frame: t0q0 t0q1 ... t1q0 ...; code c of codebook q (from 0) is written as
2 + (sum of the sizes of the codebooks before q) + c, after <blank> and <unk>. The source token
list that belongs to it is <out_dir>/token_list/src_tokens.txt; <out_dir>/codebooks.safetensors
holds the entries (K, D) of the codebooks, "1", "2", ... . Speakers and, where the set has them,
transcripts and intents lie beside the codes; slu_text is ESPnet's form for SLU, `intent word word
...`.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from typeguard import typechecked

from espnet_stacodec.downstream.code_dir_info import FIRST_CODE, VECTORS_NAME, CodesInfo
from espnet_stacodec.errors import TokenError, naming
from espnet_stacodec.fileio.arks import read_ark, write_arks
from espnet_stacodec.fileio.data_dir import DataDir
from espnet_stacodec.fileio.files import atomic_write, read_scp, write_scp, write_text
from espnet_stacodec.fileio.provenance import Provenance
from espnet_stacodec.inference.audio_coding import load_once
from espnet_stacodec.parallel import Workers, one_thread
from espnet_stacodec.semantic.kmeans import KMeans
from espnet_stacodec.semantic.token_files import CodecInput, CodecInputs, TokenReader, read_tokens
from espnet_stacodec.semantic.tokenizer import CENTROIDS_NAME
from espnet_stacodec.semantic.tokenizer_info import TOKEN_FRAMES, TokenizerInfo


@typechecked
def flatten_codes(codes: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Return codes (n, T) of codebooks of `sizes` (n) as a flat (T * n,) int32 vector.

    Worked example: codes [[0, 1], [3, 2]] of sizes 4, 4 give 2 9 3 8.
    """
    offsets = FIRST_CODE + np.cumsum([0, *sizes[:-1]])
    return (codes + offsets[:, None]).T.reshape(-1).astype(np.int32)


@typechecked
def unflatten_codes(flat: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Undo `flatten_codes`: (T * n,) to codes (n, T) int64.

    Raises:
        TokenError: If the vector was not made with these sizes.
    """
    if len(flat) % len(sizes):
        raise TokenError(f"{len(flat)} flat codes are not whole frames of {len(sizes)} codebooks.")
    offsets = FIRST_CODE + np.cumsum([0, *sizes[:-1]])
    codes = flat.reshape(-1, len(sizes)).T.astype(np.int64) - offsets[:, None]
    if (codes < 0).any() or (codes >= np.asarray(sizes)[:, None]).any():
        raise TokenError(f"The flat codes were not made with codebooks of sizes {list(sizes)}.")
    return codes


def load_codes(place: str, sizes: Sequence[int]) -> np.ndarray:
    """Return the codes (n, T) at a place `<ark>:<offset>` of a codes.scp; `sizes` of n codebooks.

    Raises:
        DataError: If they cannot be read.
        TokenError: If they do not fit the codebooks.
    """
    return unflatten_codes(read_ark(place, "the codes", "make them again"), sizes)


@typechecked
def read_codes(scp: Path) -> tuple[dict[str, np.ndarray], CodesInfo]:
    """Return the codes (n, T) of each utterance of <folder>/<set>/codes.scp, and what they are.

    Raises:
        StageError: If the folder has no codes.json.
        TokenError: If codes do not fit it.
    """
    info = CodesInfo.read(scp.parent.parent)
    places = read_scp(scp)
    return {utt: load_codes(place, info.codebook_sizes) for utt, place in places.items()}, info


@typechecked
def dump_codes(
    model: Path,
    dump_dir: Path,
    semantic_dir: Path | None,
    sets: Sequence[str],
    out_dir: Path,
    workers: Workers | None = None,
    model_file: str | None = None,
    precision: str = "float32",
) -> None:
    """Encode sets and write the directories that ASR and SLU recipes read.

    Args:
        model: Experiment folder.
        dump_dir: Holds <set>/ of stage 2.
        semantic_dir: Holds <set>/semantic.scp of stage 3; None lets the codec make the tokens.
        sets: What to encode.
        out_dir: Gets <set>/, token_list/src_tokens.txt and codes.json.
        workers: Processes that encode; None for this one.
        model_file: Name of the checkpoint; None for the best one.
        precision: What the networks compute in, as for `AudioCoding`.

    Raises:
        StageError: If the audio or the tokens of a set have not been made.
    """
    workers = workers or Workers(1)
    codec = load_once(model, workers.own_device, model_file, precision)
    for name in sets:
        semantic = None
        if codec.needs_tokens and semantic_dir is not None:
            semantic = semantic_dir / name / "semantic.scp"
        inputs = CodecInputs(dump_dir / name / "wav.scp", semantic)
        data = DataDir.read(dump_dir / name)
        if semantic is not None:
            codec.tokenizer.check_tokens_of(semantic)
        work = functools.partial(_flat_codes, model, model_file, workers.device, precision)
        compute = workers.map_named(work, inputs, f"codes of {name}")
        settings = {"device": workers.device, "precision": precision}
        made = Provenance(__name__, settings, {**inputs.places(), "codec": codec.fingerprint})
        write_arks(
            out_dir / name / "codes.scp",
            inputs.identify(),
            codec.output_key,
            compute,
            provenance=made,
        )
        _write_labels(data, out_dir / name)
    info = CodesInfo.of_all(codec.codebook_sizes, codec.frame_rule.frame_rate_hz, codec.fingerprint)
    _write_info(out_dir, info, codec.codebook_vectors())


@typechecked
def tokens_as_codes(semantic_dir: Path, dump_dir: Path, sets: Sequence[str], out_dir: Path) -> None:
    """Write semantic tokens as codes of one codebook, the reference for what a codec keeps.

    Args:
        semantic_dir: Holds <set>/semantic.scp and the tokenizer of stage 3.
        dump_dir: Holds <set>/ of stage 2.
        sets: What to write.
        out_dir: As for `dump_codes`.

    Raises:
        StageError: If the audio or the tokens of a set have not been made.
    """
    info = TokenizerInfo.read(semantic_dir)
    for name in sets:
        scp = semantic_dir / name / "semantic.scp"
        inputs = CodecInputs(dump_dir / name / "wav.scp", scp)
        data = DataDir.read(dump_dir / name)
        tokens = read_tokens(scp)

        def compute(utts: Sequence[str], tokens: TokenReader = tokens) -> Iterator[np.ndarray]:
            for utt in utts:
                yield flatten_codes(tokens[utt][None], [info.num_clusters])

        made = Provenance(__name__, {}, {**inputs.places(), "tokenizer": info.fingerprint})
        out = out_dir / name / "codes.scp"
        write_arks(out, inputs.identify(), info.fingerprint, compute, provenance=made)
        _write_labels(data, out_dir / name)
    codes = CodesInfo.of_all([info.num_clusters], TOKEN_FRAMES.frame_rate_hz, info.fingerprint)
    _write_info(out_dir, codes, [KMeans.load(semantic_dir / CENTROIDS_NAME).centroids.numpy()])


def _write_info(folder: Path, info: CodesInfo, vectors: Sequence[np.ndarray]) -> None:
    """Write codes.json, the source token list and the entries (K, D) of the codebooks, if any."""
    if vectors:
        with atomic_write(folder / VECTORS_NAME) as temporary:
            save_file({str(i): entries for i, entries in enumerate(vectors, 1)}, temporary)
    tokens = "".join(f"{token}\n" for token in info.token_list())
    write_text(folder / "token_list" / "src_tokens.txt", tokens)
    info.write(folder)


def _write_labels(data: DataDir, folder: Path) -> None:
    """Write text, speakers and intents beside the codes."""
    DataDir(data.wav, data.text, data.utt2spk, data.intent).write(folder)
    if data.intent and data.text:
        slu = {utt: f"{intent} {data.text[utt]}" for utt, intent in data.intent.items()}
        write_scp(folder / "slu_text", slu)


@one_thread()
def _flat_codes(
    model: Path, model_file: str | None, device: str, precision: str, source: CodecInput
) -> np.ndarray:
    """Return the flat codes of one utterance."""
    codec = load_once(model, device, model_file, precision)
    with naming(source.utt_id):
        codes = codec.encode(*source.read())
    return flatten_codes(codes.numpy(), codec.codebook_sizes)
