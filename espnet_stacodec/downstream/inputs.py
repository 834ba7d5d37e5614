"""What an ASR or SLU recipe trains on: the codes of chosen codebooks, and what is to be said.

<out_dir>/<set>/{codes.scp, codes.<N>.ark, text, utt2spk, intent} and, for all sets,
<out_dir>/{codes.json, src_tokens.txt}.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import kaldiio
import numpy as np
from typeguard import typechecked

from espnet_stacodec.arks import write_arks
from espnet_stacodec.config import choose
from espnet_stacodec.downstream.code_dirs import flatten_codes, unflatten_codes
from espnet_stacodec.downstream.codes_info import CodesInfo
from espnet_stacodec.errors import ConfigError, DataError, StageError
from espnet_stacodec.files import read_scp, write_scp, write_text

# Utterances that may lack their codes or their text, of all of a set; more are an error.
TOLERATED_SHARE = 0.01
NAMED_UTTERANCES = 10


def _words(text: str, intent: str | None) -> str:
    return text


def _intent_and_words(text: str, intent: str | None) -> str:
    return f"{intent} {text}".strip() if intent else ""


def _intent(text: str, intent: str | None) -> str:
    return intent or ""


# What the model is to say of an utterance.
TARGETS: dict[str, Callable[[str, str | None], str]] = {
    "words": _words,
    "intent_words": _intent_and_words,
    "intent": _intent,
}


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
    if wrong or not chosen or len(set(chosen)) < len(chosen):
        what = f"codebook {wrong[0]} is not one of them" if wrong else "each is to be named once"
        raise ConfigError(f"codebooks '{spec}': these codes have codebooks 1-{available}; {what}.")
    return chosen


@typechecked
def prepare_inputs(
    codes_dir: Path, sets: Sequence[str], codebooks: str, target: str, out_dir: Path
) -> None:
    """Write the inputs and targets of sets, the training set first.

    Args:
        codes_dir: <codes_dir>/<set> of stage 7 of a codec's recipe.
        sets: What to write.
        codebooks: Which codebooks, as for `parse_codebooks`.
        target: One of `TARGETS`.
        out_dir: Gets a folder for each set.

    Raises:
        StageError: If the codes of a set have not been made.
        DataError: If too many utterances lack their codes or their text.
    """
    whole = CodesInfo.read(codes_dir)
    chosen = parse_codebooks(codebooks, len(whole.codebook_sizes))
    info = CodesInfo(
        codebook_sizes=[whole.codebook_sizes[book - 1] for book in chosen],
        frame_rate_hz=whole.frame_rate_hz,
        codec_fingerprint=whole.codec_fingerprint,
        codebooks=chosen,
    )
    say = choose(TARGETS, target, "target")
    seen: set[str] = set()
    for name in sets:
        lists = _read_set(codes_dir / name, say)
        _warn_of_unseen(name, lists.get("intent", {}), seen)
        _write_set(out_dir / name, codes_dir / name, lists, whole, info)
    write_text(out_dir / "src_tokens.txt", "".join(f"{token}\n" for token in info.token_list()))
    info.write(out_dir)


def read_ark_places(scp: Path) -> dict[str, str]:
    """Read an scp file whose arks lie beside it, wherever it was made and is read from."""
    if not scp.exists():
        raise StageError(f"{scp}: not there; run stage 7 of the codec's recipe for this set.")
    return {utt: str(scp.parent / Path(place).name) for utt, place in read_scp(scp).items()}


def _read_set(folder: Path, say: Callable[[str, str | None], str]) -> dict[str, Mapping[str, str]]:
    """Return the lists of a set, of the utterances that have all: codes, text, utt2spk, intent."""
    codes = read_ark_places(folder / "codes.scp")
    words = read_scp(folder / "text")
    intents = read_scp(folder / "intent") if (folder / "intent").exists() else {}
    text = {utt: say(words.get(utt, ""), intents.get(utt)) for utt in sorted({*words, *intents})}
    lacking = {
        "codes": sorted(set(text) - set(codes)),
        "text": sorted(utt for utt in codes if not text.get(utt)),
    }
    left_out = {utt for utts in lacking.values() for utt in utts}
    _check_lacking(folder, lacking, len({*codes, *text}))
    kept = [utt for utt in codes if utt not in left_out]
    speakers = read_scp(folder / "utt2spk")
    lists = {"codes": codes, "text": text, "utt2spk": speakers, "intent": intents}
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


def _warn_of_unseen(name: str, intents: Mapping[str, str], seen: set[str]) -> None:
    """Log the intents that the first set, which is trained on, does not have."""
    if not seen:
        seen.update(intents.values())
        return
    unseen = sorted(set(intents.values()) - seen)
    if unseen:
        count = sum(intent in unseen for intent in intents.values())
        logging.warning(
            "%s: %d utterances have intents that are not in training and cannot be right: %s",
            name,
            count,
            ", ".join(unseen),
        )


def _write_set(
    folder: Path,
    source: Path,
    lists: Mapping[str, Mapping[str, str]],
    whole: CodesInfo,
    info: CodesInfo,
) -> None:
    """Write the codes of the chosen codebooks and the lists; codes.scp comes last."""
    for name in ("text", "utt2spk", "intent"):
        if name in lists:
            write_scp(folder / name, lists[name])
    places = lists["codes"]

    def compute(utts: Sequence[str]) -> Iterator[np.ndarray]:
        for utt in utts:
            codes = unflatten_codes(kaldiio.load_mat(places[utt]), whole.codebook_sizes)
            yield flatten_codes(codes[[book - 1 for book in info.codebooks]], info.codebook_sizes)

    made_with = f"{whole.codec_fingerprint} {info.codebooks} {source}"
    write_arks(folder / "codes.scp", places, made_with, compute)
