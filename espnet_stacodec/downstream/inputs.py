"""Inputs and target texts of an ASR or SLU recipe: codes of chosen codebooks, or audio.

<out_dir>/<set>/{codes.scp, codes.<N>.ark, text, utt2spk, intent} and, for all sets,
<out_dir>/{codes.json, src_tokens.txt, codebooks.txt}, vectors.npy for codes that stand alone and
src_bpe.model for a BPE over codes, whose ids the arks then hold, while codes.json still describes
the codes; for audio <out_dir>/<set>/{wav.scp, text, ...}.
"""

import functools
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from typeguard import typechecked

from espnet_stacodec.config import choose
from espnet_stacodec.downstream.code_bpe import CodeBPE
from espnet_stacodec.downstream.code_dir_info import VECTORS_NAME, CodesInfo
from espnet_stacodec.downstream.code_dirs import flatten_codes, load_codes
from espnet_stacodec.downstream.targets import TARGETS, Target
from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.fileio.arks import write_arks
from espnet_stacodec.fileio.files import (
    atomic_write,
    content_key,
    identify,
    read_scp,
    require,
    write_scp,
    write_text,
)
from espnet_stacodec.fileio.provenance import Provenance

# Utterances that may lack their codes or their text, of all of a set; more are an error.
TOLERATED_SHARE = 0.01
NAMED_UTTERANCES = 10


@typechecked
def parse_codebooks(spec: str, available: int) -> list[int]:
    """Return the codebooks, from 1, that e.g. "1", "1-8" or "1,3-4" names.

    Raises:
        ConfigError: If it is malformed, or names a codebook that there is not.
    """
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", spec):
        raise ConfigError(f"codebooks '{spec}' is not a list such as 1, 1-8 or 1,3-4.")
    ranges = [[int(number) for number in part.split("-")] for part in spec.split(",")]
    chosen = [book for first, *last in ranges for book in range(first, (last or [first])[0] + 1)]
    wrong = [book for book in chosen if not 1 <= book <= available]
    are_upward = all(borders == sorted(borders) for borders in ranges)
    if wrong or not are_upward or len(set(chosen)) < len(chosen):
        what = "each is named once, and ranges go up"
        if wrong:
            what = f"codebook {wrong[0]} is not one of them"
        raise ConfigError(f"codebooks '{spec}': these codes have codebooks 1-{available}; {what}.")
    return chosen


@typechecked
def deduplicate(codes: np.ndarray) -> np.ndarray:
    """Return codes (n, T') without the frames of (n, T) that are equal to the one before."""
    changes = (codes[:, 1:] != codes[:, :-1]).any(axis=0)
    return codes[:, np.concatenate([[True], changes])]


@typechecked
def prepare_inputs(
    codes_dir: Path,
    sets: Sequence[str],
    codebooks: str,
    target: str,
    out_dir: Path,
    deduplicated: bool = False,
    num_units: int = 0,
) -> None:
    """Write the inputs and targets of sets, the training set first.

    Args:
        codes_dir: <codes_dir>/<set> of stage 7 of a codec's recipe.
        sets: What to write.
        codebooks: Which codebooks, as for `parse_codebooks`.
        target: One of `TARGETS`.
        out_dir: Gets a folder for each set.
        deduplicated: Whether frames that repeat the one before are left out.
        num_units: Size of a BPE over the codes of one codebook; 0 for single codes.

    Raises:
        ConfigError: If `num_units` is negative, or not 0 with several codebooks.
        StageError: If the codes of a set have not been made.
        DataError: If too many utterances lack their codes or their text.
    """
    whole = CodesInfo.read(codes_dir)
    info = _chosen(whole, codebooks, num_units)
    chosen = info.codebooks
    kind = choose(TARGETS, target, "target")
    configuration = {
        "codebooks": chosen,
        "target": target,
        "deduplicated": deduplicated,
        "num_units": num_units,
        "codec": whole.codec_fingerprint,
    }
    seen: set[str] = set()
    units: CodeBPE | None = None
    for name in sets:
        lists = _read_set(codes_dir / name, "codes", read_code_places(codes_dir / name), kind)
        _warn_of_unseen(name, lists["text"], kind, seen)
        _write_lists(out_dir / name, lists)
        read = functools.partial(_read_codes, lists["codes"], whole, chosen, deduplicated)
        if num_units and units is None:
            frames = (codes[0] for codes in read(list(lists["codes"])))
            units = CodeBPE.learn(frames, num_units, out_dir / "src_bpe.model")
        # Units that were learned from other utterances are others.
        tokens = None if units is None else content_key(units.token_list())
        made_with = [whole.codec_fingerprint, chosen, deduplicated, tokens]
        compute = functools.partial(_flat_inputs, read, info, units)
        # Last: with it the set is complete.
        made = Provenance(__name__, configuration, {"codes": lists["codes"]})
        write_arks(
            out_dir / name / "codes.scp",
            identify(lists["codes"]),
            made_with,
            compute,
            provenance=made,
        )
    # ESPnet's own codecs have no known entries, a BPE over codes none of its own.
    if (codes_dir / VECTORS_NAME).exists() and units is None:
        _write_vectors(codes_dir, info, out_dir)
    names = info.token_list() if units is None else units.token_list()
    write_text(out_dir / "codebooks.txt", "".join(f"{book}\n" for book in chosen))
    write_text(out_dir / "src_tokens.txt", "".join(f"{name}\n" for name in names))
    info.write(out_dir)


def _chosen(whole: CodesInfo, codebooks: str, num_units: int) -> CodesInfo:
    """Return what describes the chosen codebooks; raise ConfigError if no BPE can be over them."""
    chosen = parse_codebooks(codebooks, len(whole.codebook_sizes))
    if num_units < 0:
        raise ConfigError(f"src_nbpe {num_units} is negative; 0 leaves the codes as they are.")
    if num_units and len(chosen) > 1:
        raise ConfigError(f"src_nbpe learns a BPE over one codebook, not over '{codebooks}'.")
    return CodesInfo(
        codebook_sizes=[whole.codebook_sizes[book - 1] for book in chosen],
        frame_rate_hz=whole.frame_rate_hz,
        codec_fingerprint=whole.codec_fingerprint,
        codebooks=chosen,
    )


def _write_vectors(codes_dir: Path, info: CodesInfo, out_dir: Path) -> None:
    """Write vectors.npy: (V, D), the codebook entry of each id of the source token list."""
    books = load_file(codes_dir / VECTORS_NAME)
    entries = [books[str(book)] for book in info.codebooks]
    special = np.zeros((1, entries[0].shape[1]), np.float32)
    with atomic_write(out_dir / "vectors.npy") as temporary:
        np.save(temporary, np.concatenate([special] * info.first_code + entries + [special]))


@typechecked
def prepare_audio(dump_dir: Path, sets: Sequence[str], target: str, out_dir: Path) -> None:
    """Write audio and targets of sets, the training set first, for models that read audio.

    Args:
        dump_dir: <dump_dir>/<set> of stage 2 of a codec's recipe.
        sets: What to write.
        target: One of `TARGETS`.
        out_dir: Gets a folder for each set.

    Raises:
        StageError: If a set has not been made.
        DataError: If too many utterances lack their text.
    """
    kind = choose(TARGETS, target, "target")
    seen: set[str] = set()
    for name in sets:
        scp = require(dump_dir / name / "wav.scp", "stages 1 and 2 of the codec's recipe")
        places = {utt: _locate(place, dump_dir / name) for utt, place in read_scp(scp).items()}
        lists = _read_set(dump_dir / name, "wav.scp", places, kind)
        _warn_of_unseen(name, lists["text"], kind, seen)
        _write_lists(out_dir / name, lists)
        Provenance(__name__, {"target": target}, {"audio": lists["wav.scp"]}).write(out_dir / name)
        write_scp(out_dir / name / "wav.scp", lists["wav.scp"])


def _locate(place: str, folder: Path) -> str:
    """Return the absolute path of audio in the folder of its set, where stage 2 put it.

    Relative paths in its wav.scp begin at the codec recipe's folder, not here.
    """
    if Path(place).is_absolute():
        return place
    return str((folder / f"/{place}".rpartition(f"/{folder.name}/")[2]).resolve())


def read_code_places(folder: Path) -> dict[str, str]:
    """Read codes.scp, whose arks lie beside it, wherever it was made and is read from."""
    scp = require(folder / "codes.scp", "stage 7 of the codec's recipe for this set")
    return {utt: str(folder / Path(place).name) for utt, place in read_scp(scp).items()}


def read_labels(folder: Path, name: str) -> dict[str, str]:
    """Return a set's transcripts (`text`) or intents (`intent`); {} where it has none."""
    path = folder / name
    return read_scp(path, allow_empty=name == "text") if path.exists() else {}


def _read_set(
    folder: Path,
    kind: str,
    inputs: Mapping[str, str],
    target: Target,
) -> dict[str, Mapping[str, str]]:
    """Return the lists of a set, of the utterances that have all: `kind`, text, utt2spk, intent."""
    words, intents = read_labels(folder, "text"), read_labels(folder, "intent")
    text = {
        utt: target.text(words.get(utt, ""), intents.get(utt)) for utt in sorted({*words, *intents})
    }
    if not any(text.values()):
        needed = {"text": target.has_words, "intent": target.label is not None}
        names = " and ".join(name for name, is_needed in needed.items() if is_needed)
        raise DataError(
            f"{folder}: there is nothing to recognize in this set, it lacks {names}; a codec needs"
            " none, but this target does: prepare its data with them."
        )
    lacking = {
        kind: sorted(set(text) - set(inputs)),
        "text": sorted(utt for utt in inputs if not text.get(utt)),
    }
    left_out = {utt for utts in lacking.values() for utt in utts}
    _check_lacking(folder, lacking, len({*inputs, *text}))
    kept = [utt for utt in inputs if utt not in left_out]
    speakers = read_scp(folder / "utt2spk")
    lists = {kind: inputs, "text": text, "utt2spk": speakers, "intent": intents}
    return {name: {utt: entries[utt] for utt in kept} for name, entries in lists.items() if entries}


def _check_lacking(folder: Path, lacking: Mapping[str, Sequence[str]], total: int) -> None:
    """Log what utterances lack, or raise DataError if they are too many."""
    for what, utts in lacking.items():
        if not utts:
            continue
        named = ", ".join(utts[:NAMED_UTTERANCES])
        if len(utts) > NAMED_UTTERANCES:
            named += ", ..."
        message = f"{folder}: {len(utts)} of {total} utterances have no {what} ({named})"
        if len(utts) > TOLERATED_SHARE * total:
            raise DataError(
                f"{message}; at most {TOLERATED_SHARE:.0%} are left out, so make the set again."
            )
        logging.warning("%s and are left out", message)


def _warn_of_unseen(name: str, text: Mapping[str, str], target: Target, seen: set[str]) -> None:
    """Log the classes that the first set, which is trained on, does not have."""
    if not target.label:
        return
    classes = [words.split()[0] for words in text.values()]
    if not seen:
        seen.update(classes)
        return
    unseen = sorted(set(classes) - seen)
    if unseen:
        logging.warning(
            "%s: %d utterances have %ss that are not in training and cannot be right: %s",
            name,
            sum(label in unseen for label in classes),
            target.label,
            ", ".join(unseen),
        )


def _write_lists(folder: Path, lists: Mapping[str, Mapping[str, str]]) -> None:
    for name in ("text", "utt2spk", "intent"):
        if name in lists:
            write_scp(folder / name, lists[name])


def _read_codes(
    places: Mapping[str, str],
    whole: CodesInfo,
    codebooks: Sequence[int],
    deduplicated: bool,
    utts: Sequence[str],
) -> Iterator[np.ndarray]:
    """Yield the codes (n, T) of the chosen codebooks of utterances."""
    for utt in utts:
        codes = load_codes(places[utt], whole.codebook_sizes)
        chosen = codes[[book - 1 for book in codebooks]]
        yield deduplicate(chosen) if deduplicated else chosen


def _flat_inputs(
    read: Callable[[Sequence[str]], Iterator[np.ndarray]],
    info: CodesInfo,
    units: CodeBPE | None,
    utts: Sequence[str],
) -> Iterator[np.ndarray]:
    """Yield the ids of utterances in the source token list."""
    for codes in read(utts):
        if units is None:
            yield flatten_codes(codes, info.codebook_sizes)
        else:
            yield units.encode(codes[0])
