"""Codes in the form that ESPnet's own asr2.sh and slu.sh read, when they begin at the token list.

<dumpdir>/codes/<name>/ holds what `prepare_inputs` makes, and all arks. For asr2 there are

    <dumpdir>/raw/<set>/{text.<case>.<codes>, text.ts.en, utt2spk, spk2utt, feats_type}
    <dumpdir>/raw/lm_train.txt

where the case is ESPnet's: `rm` without repeated frames, `ts` with them. Codes of one codebook are
characters from U+4E00 on, as asr2.sh writes the clusters of a k-means; those of several are int32
arks, as it writes those of a codec, with <set>/token_lists/codec_token_list. For slu1 there are

    <dumpdir>/extracted/<set>/{feats.scp, feats_shape, feats_dim, feats_type, text, transcript,
                               utt2spk, spk2utt}
    <dumpdir>/extracted/{lm_train.txt, lm_train_transcript.txt}

where the features are the sums of the codebooks' entries, and text holds `intent word word ...`.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from typeguard import typechecked

from espnet_stacodec.downstream.code_bpe import as_characters
from espnet_stacodec.downstream.code_dir_info import VECTORS_NAME, CodesInfo
from espnet_stacodec.downstream.code_dirs import load_codes
from espnet_stacodec.downstream.inputs import prepare_inputs, read_labels
from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.arks import read_ark, write_arks
from espnet_stacodec.fileio.data_dir import write_spk2utt
from espnet_stacodec.fileio.files import identify, read_scp, write_scp, write_text
from espnet_stacodec.fileio.provenance import Provenance
from espnet_stacodec.gan_codec.quantizer.residual import sum_of_entries

TARGET = "ts.en"  # --tgt_case and --tgt_lang that asr2.sh has if it is not given others
# ESPnet's recipe for LibriSpeech learns 6000 units from 2000 clusters.
UNITS_PER_CODE = 3


@typechecked
def export_asr2(
    codes_dir: Path,
    sets: Sequence[str],
    dumpdir: Path,
    codebooks: str = "1",
    deduplicated: bool = True,
    target: str = "words",
) -> list[str]:
    """Write what asr2.sh reads from stage 7 on.

    Args:
        codes_dir: <codes_dir>/<set> of stage 7 of a codec's recipe.
        sets: What to write, the training set first.
        dumpdir: The --dumpdir of asr2.sh.
        codebooks: Which codebooks, as for `parse_codebooks`.
        deduplicated: Whether frames that repeat the one before are left out.
        target: Kind of target text, one of `TARGETS`.

    Returns:
        Options for asr2.sh.

    Raises:
        StageError: If the codes of a set have not been made.
        DataError: If too many utterances lack their codes or their text.
    """
    name, case = _name(codes_dir, codebooks), _case(deduplicated)
    inputs = dumpdir.resolve() / "codes" / f"{name}_{case}_{target}"
    prepare_inputs(codes_dir, sets, codebooks, target, inputs, deduplicated)
    info = CodesInfo.read(inputs)
    n = len(info.codebooks)
    used: set[str] = set()  # characters of the training set
    for part in sets:
        folder = dumpdir / "raw" / part
        _write_labels(folder, inputs / part, f"text.{TARGET}", "raw")
        codes = read_scp(inputs / part / "codes.scp")
        if n == 1:
            codes = {utt: _characters(place, info) for utt, place in codes.items()}
            used = used or set().union(*codes.values())
        else:
            tokens = info.token_list()[info.first_code : -1]
            _write_lines(folder / "token_lists" / "codec_token_list", tokens)
        write_scp(folder / f"text.{case}.{name}", codes)
    targets = read_scp(inputs / sets[0] / "text")
    lm_train = {f"{utt}.{TARGET}": text for utt, text in targets.items()}
    write_scp(dumpdir / "raw" / "lm_train.txt", lm_train)
    options = ["--stage", "7", "--stop_stage", "15", "--src_lang", name, "--src_case", case]
    if n == 1:
        units = UNITS_PER_CODE * len(used)
        return [*options, "--src_token_type", "bpe", "--src_nbpe", str(units)]
    frames = f"--frontend patch --frontend_conf token_per_frame={n} --model_conf patch_size={n}"
    options += ["--tokenization_choice", "codec", "--src_token_type", "null"]
    return [*options, "--asr_args", frames]


@typechecked
def export_slu1(
    codes_dir: Path,
    sets: Sequence[str],
    dumpdir: Path,
    codebooks: str = "1",
    deduplicated: bool = False,
    target: str = "intent_words",
) -> list[str]:
    """Write what slu.sh reads from stage 5 on.

    Args:
        codes_dir: <codes_dir>/<set> of stage 7 of a codec's recipe.
        sets: What to write, the training set first.
        dumpdir: The --dumpdir of slu.sh.
        codebooks: Which codebooks, as for `parse_codebooks`.
        deduplicated: Whether frames that repeat the one before are left out.
        target: Kind of target text, one of `TARGETS`.

    Returns:
        Options for slu.sh.

    Raises:
        StageError: If the codes of a set have not been made.
        DataError: If too many utterances lack their codes or their text, or the codebooks
            have no known entries.
    """
    name = f"{_name(codes_dir, codebooks)}_{_case(deduplicated)}_{target}"
    inputs = dumpdir.resolve() / "codes" / name
    prepare_inputs(codes_dir, sets, codebooks, target, inputs, deduplicated)
    if not (codes_dir / VECTORS_NAME).exists():
        raise DataError(
            f"{codes_dir}: the entries of these codebooks are not known; export for asr2 instead."
        )
    info, books = CodesInfo.read(inputs), load_file(codes_dir / VECTORS_NAME)
    entries = [books[str(book)] for book in info.codebooks]
    root = dumpdir / "extracted"
    for part in sets:
        folder, scp = root / part, inputs / part / "feats.scp"
        codes = read_scp(inputs / part / "codes.scp")
        n, dim = len(info.codebooks), entries[0].shape[1]
        compute = functools.partial(_features, codes, entries, info.codebook_sizes)
        made_with = [info.codec_fingerprint, info.codebooks]
        made = Provenance(__name__, {"codec": info.codec_fingerprint}, {"codes": codes})
        write_arks(scp, identify(codes), made_with, compute, np.float32, made)
        _write_labels(folder, inputs / part, "text", "extracted")
        words = read_labels(codes_dir / part, "text")
        if not words:
            raise DataError(
                f"{codes_dir / part}: there are no transcripts (text), which slu1 reads."
            )
        write_scp(folder / "transcript", {utt: words[utt] for utt in codes if words.get(utt)})
        frames = {
            utt: len(read_ark(place, "the codes", "make them again")) // n
            for utt, place in codes.items()
        }
        write_scp(folder / "feats_shape", {utt: f"{t},{dim}" for utt, t in frames.items()})
        _write_lines(folder / "feats_dim", [str(dim)])
        write_scp(folder / "feats.scp", read_scp(scp))
    for list_name, source in (("lm_train.txt", "text"), ("lm_train_transcript.txt", "transcript")):
        write_scp(root / list_name, read_scp(root / sets[0] / source))
    # Names of slu.sh's experiments do not carry the features.
    return ["--stage", "5", "--feats_type", "extracted", "--expdir", f"exp/{name}"]


def _name(codes_dir: Path, codebooks: str) -> str:
    """Return a name of the codec, whose experiment has these codes, and of the codebooks."""
    folder = codes_dir.resolve()
    codec = folder.parent.name if folder.name == "codes" else folder.name
    return f"{codec}_q{codebooks.replace(',', '+')}"


def _case(deduplicated: bool) -> str:
    """Return what asr2.sh calls tokens without (rm) and with (ts) repetitions."""
    return "rm" if deduplicated else "ts"


def _characters(place: str, info: CodesInfo) -> str:
    """Return the codes of the only codebook as a word of as many characters."""
    codes = load_codes(place, info.codebook_sizes)
    return as_characters(codes[0])


def _features(
    places: Mapping[str, str],
    entries: Sequence[torch.Tensor],
    sizes: Sequence[int],
    utts: Sequence[str],
) -> Iterator[np.ndarray]:
    """Yield the latents (T, D) of flat codes; entries: (K, D) of each codebook."""
    for utt in utts:
        codes = load_codes(places[utt], sizes)
        yield sum_of_entries(entries, torch.from_numpy(codes)).numpy()


def _write_labels(folder: Path, inputs: Path, text: str, feats_type: str) -> None:
    """Write the target texts as `text`, speakers, and the type of the features."""
    speakers = read_scp(inputs / "utt2spk")
    write_scp(folder / text, read_scp(inputs / "text"))
    write_scp(folder / "utt2spk", speakers)
    write_spk2utt(folder, speakers)
    _write_lines(folder / "feats_type", [feats_type])


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))
