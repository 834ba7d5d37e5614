"""Scores of recognized text: ESPnet's result tables, accuracy and confusions of intents."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from splet.alignment import levenshtein_alignment
from typeguard import typechecked

from espnet_stacodec.config import choose
from espnet_stacodec.downstream.recognition import read_hypotheses
from espnet_stacodec.downstream.targets import TARGETS, Target
from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.files import read_scp, require, write_text
from espnet_stacodec.fileio.markdown import markdown_table

# Of errors (%), with ESPnet's headings.
RATES = {
    "corr": "Corr", "sub": "Sub", "del": "Del", "ins": "Ins", "err": "Err", "s_err": "S.Err"
}  # fmt: skip
UNKNOWN = "(nothing)"
MAJORITY = "{}, majority class"  # the row of the baseline on a set
SHOWN_CONFUSIONS = 20  # in RESULTS.md; results.json has all


@typechecked
def score_words(
    references: Mapping[str, str], hypotheses: Mapping[str, str], characters: bool = False
) -> dict[str, float]:
    """Return counts and rates (%) of the errors of all utterances together.

    Args:
        references: What was said, by utterance.
        hypotheses: What was recognized.
        characters: Whether characters are counted, blanks among them, instead of words.

    Returns:
        snt, wrd (units of the references), corr, sub, del, ins, err, s_err; rates in percent.
    """
    split = list if characters else str.split
    totals: Counter[str] = Counter()
    for utt, reference in references.items():
        aligned = levenshtein_alignment(split(reference), split(hypotheses[utt]))
        totals["wrd"] += aligned.ref_len
        totals["corr"] += aligned.hits
        totals["sub"] += aligned.substitutions
        totals["del"] += aligned.deletions
        totals["ins"] += aligned.insertions
        totals["wrong"] += aligned.errors > 0
    percent = 100 / max(totals["wrd"], 1)
    rates = {name: percent * totals[name] for name in ("corr", "sub", "del", "ins")}
    return {
        "snt": len(references),
        "wrd": totals["wrd"],
        **rates,
        "err": rates["sub"] + rates["del"] + rates["ins"],
        "s_err": 100 * totals["wrong"] / max(len(references), 1),
    }


@typechecked
def score_classes(
    references: Mapping[str, str], hypotheses: Mapping[str, str]
) -> dict[str, float | list]:
    """Return accuracy (%) and confusions of classes, e.g. intents: the first words of the texts.

    Returns:
        snt, right, accuracy, and confusions: [class, recognized as, times], most often first.
    """
    pairs = Counter(
        (_first_word(reference), _first_word(hypotheses[utt]))
        for utt, reference in references.items()
    )
    right = sum(times for (said, heard), times in pairs.items() if said == heard)
    confusions = [[said, heard, n] for (said, heard), n in pairs.most_common() if said != heard]
    return {
        "snt": len(references),
        "right": right,
        "accuracy": 100 * right / len(references),
        "confusions": confusions,
    }


def _first_word(text: str) -> str:
    return text.split()[0] if text.split() else UNKNOWN


@typechecked
def read_pair(reference: Path, hypothesis: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return references and hypotheses of the same utterances.

    Raises:
        StageError: If a file is not there.
        DataError: If an utterance was not recognized.
    """
    references = read_scp(require(reference, "the stage that makes the targets"))
    hypotheses = read_hypotheses(require(hypothesis, "the decoding of this set"))
    missing = sorted(set(references) - set(hypotheses))
    if missing:
        raise DataError(
            f"{hypothesis}: {len(missing)} utterances of {reference} are missing (first:"
            f" {missing[0]}); decode the set again."
        )
    return references, hypotheses


@typechecked
def write_scores(
    target: str,
    title: str,
    train_text: Path,
    pairs: Mapping[str, tuple[Path, Path]],
    out_dir: Path,
) -> str:
    """Score sets and write RESULTS.md and results.json (one line); returns the tables.

    Args:
        target: Kind of target text, one of `TARGETS`.
        title: Heading: what was recognized with what.
        train_text: Targets of the training set, which give the majority-class baseline.
        pairs: References and hypotheses of each set.
        out_dir: Where to write.
    """
    kind = choose(TARGETS, target, "target")
    training = list(read_scp(train_text).values())
    scores: dict[str, dict] = {}
    chance: dict[str, dict] = {}
    for name, (reference, hypothesis) in pairs.items():
        references, hypotheses = read_pair(reference, hypothesis)
        scores[name] = _score(kind, references, hypotheses)
        always = dict.fromkeys(references, _majority(kind, training))
        chance[name] = _score(kind, references, always)
    sections = [f"# {title}"]
    if kind.label:
        # Numbers of tasks with other classes are not comparable: a table says how many.
        count = len({_first_word(text) for text in training})
        heading = f"## {kind.label.capitalize()}s, {count} of them in training"
        sections.append(f"{heading}\n\n{_class_table(scores, chance, kind.label)}")
    if kind.has_words:
        for part, unit in (("wer", "Wrd"), ("cer", "Chr")):
            sections.append(f"## {part.upper()}\n\n{_error_table(scores, chance, part, unit)}")
    table = "\n\n".join(sections) + "\n"
    results = {"title": title, "sets": scores, "chance": chance}
    write_text(out_dir / "results.json", json.dumps(results) + "\n")
    write_text(out_dir / "RESULTS.md", table)
    return table


def _score(kind: Target, references: Mapping[str, str], hypotheses: Mapping[str, str]) -> dict:
    scores: dict = {}
    if kind.label:
        scores[kind.label] = score_classes(references, hypotheses)
        references = {utt: _after_first(text) for utt, text in references.items()}
        hypotheses = {utt: _after_first(text) for utt, text in hypotheses.items()}
    if kind.has_words:
        scores["wer"] = score_words(references, hypotheses)
        scores["cer"] = score_words(references, hypotheses, characters=True)
    return scores


def _after_first(text: str) -> str:
    return text.partition(" ")[2]


def _majority(kind: Target, texts: Iterable[str]) -> str:
    """Return the most frequent target; where it begins with a class, of the majority class."""
    counted = Counter(texts)
    if not kind.label:
        return counted.most_common(1)[0][0]
    classes: Counter[str] = Counter()
    for text, times in counted.items():
        classes[_first_word(text)] += times
    best = classes.most_common(1)[0][0]
    return max((t for t in counted if _first_word(t) == best), key=lambda t: counted[t])


def _with_chance(
    scores: Mapping[str, dict], chance: Mapping[str, dict], part: str
) -> Iterator[tuple[str, dict]]:
    """Yield the name of each row of a table, and what it shows."""
    for name in scores:
        yield name, scores[name][part]
        yield MAJORITY.format(name), chance[name][part]


def _class_table(scores: Mapping[str, dict], chance: Mapping[str, dict], label: str) -> str:
    rows = [
        [name, s["snt"], s["right"], f"{s['accuracy']:.1f}"]
        for name, s in _with_chance(scores, chance, label)
    ]
    sections = [markdown_table(["dataset", "Snt", "right", "accuracy (%)"], rows)]
    for name, score in scores.items():
        confusions = score[label]["confusions"]
        if confusions:
            shown = confusions[:SHOWN_CONFUSIONS]
            sections.append(
                f"Confusions of {name}, the most frequent {len(shown)} of {len(confusions)}:"
            )
            sections.append(markdown_table([label, "recognized as", "times"], shown))
    return "\n\n".join(sections)


def _error_table(
    scores: Mapping[str, dict], chance: Mapping[str, dict], part: str, unit: str
) -> str:
    rows = [
        [name, s["snt"], s["wrd"], *(f"{s[rate]:.1f}" for rate in RATES)]
        for name, s in _with_chance(scores, chance, part)
    ]
    return markdown_table(["dataset", "Snt", unit, *RATES.values()], rows)
