"""How well a linear classifier tells a label, e.g. an intent or a speaker, from a code stream."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from typeguard import typechecked

from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation.intervals import Bootstrap, Estimate

FOLDS = 5  # fewer where no label, or no five speakers, have as many utterances
SEED = 0


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """What a probe reaches.

    Attributes:
        accuracy: Share (%) of the tested utterances, with its interval.
        majority: What always saying the commonest label of the training would reach (%).
        utterances: How many were tested.
        labels: How many there are in training.
    """

    accuracy: Estimate
    majority: float
    utterances: int
    labels: int


def deduplicate(stream: np.ndarray) -> np.ndarray:
    """Return a stream (T,) with runs of equal codes merged: 3 3 1 1 3 gives 3 1 3."""
    if not len(stream):
        return stream
    return stream[np.concatenate([[True], stream[1:] != stream[:-1]])]


@typechecked
def probe_labels(
    streams: Mapping[str, np.ndarray],
    labels: Mapping[str, str],
    test: Sequence[str] | None = None,
    speakers: Mapping[str, str] | None = None,
) -> Accuracy:
    """Train and test a probe: logistic regression on TF-IDF of 1- to 3-grams of merged codes.

    Args:
        streams: Codes (T,) of one codebook, by utterance.
        labels: By utterance.
        test: Utterances to test on, trained on all others; None for cross-validation in five
            parts, each with as many of each label as possible.
        speakers: Whole speakers are kept together in the parts, and drawn for the interval; None
            where they are not known or are the labels.

    Raises:
        DataError: If no utterance has both, or training knows one label only.
    """
    names = [name for name in streams if name in labels]
    if not names:
        raise DataError("No utterance has codes and a label; their names differ.")
    texts = [" ".join(map(str, deduplicate(streams[name]))) for name in names]
    targets = np.array([labels[name] for name in names])
    groups = None if speakers is None else np.array([speakers.get(name, name) for name in names])
    right = np.full(len(names), np.nan)
    common = np.full(len(names), np.nan)
    seen: set[str] = set()
    for train, tested in _parts(names, targets, groups, test):
        known, times = np.unique(targets[train], return_counts=True)
        if len(known) < 2:
            raise DataError(f"All of the training has the label '{known[0]}'; nothing to learn.")
        model = _classifier(len(train)).fit([texts[i] for i in train], targets[train])
        right[tested] = model.predict([texts[i] for i in tested]) == targets[tested]
        common[tested] = known[times.argmax()] == targets[tested]
        seen |= set(known)
    # Whether there are enough speakers for an interval, those of the training do not say.
    judged = np.flatnonzero(np.isfinite(right))
    drawn = None if groups is None else [str(group) for group in groups[judged]]
    return Accuracy(
        accuracy=Bootstrap(len(judged), drawn).mean(100 * right[judged]),
        majority=100 * float(common[judged].mean()),
        utterances=len(judged),
        labels=len(seen),
    )


def _parts(
    names: Sequence[str],
    targets: np.ndarray,
    groups: np.ndarray | None,
    test: Sequence[str] | None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return indices of training and test of each part."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if test is not None:
        is_test = np.isin(names, list(test))
        if is_test.all() or not is_test.any():
            raise DataError(
                f"{int(is_test.sum())} of {len(names)} labelled utterances are for testing; there"
                " must be some for each of training and test."
            )
        return [(np.flatnonzero(~is_test), np.flatnonzero(is_test))]
    folds = min(FOLDS, int(np.unique(targets, return_counts=True)[1].max()))
    if groups is not None:
        folds = min(folds, len(np.unique(groups)))
    if folds < 2:
        raise DataError(
            "Cross-validation needs two utterances of a label, and two speakers where they are"
            " known."
        )
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    return list(kind(folds, shuffle=True, random_state=SEED).split(names, targets, groups))


def _classifier(count: int):
    """Return an untrained classifier for `count` texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    rare = 2 if count > 50 else 1  # of few texts each n-gram may be the one that tells
    return make_pipeline(
        TfidfVectorizer(ngram_range=(1, 3), token_pattern=r"\S+", sublinear_tf=True, min_df=rare),
        LogisticRegression(C=30, max_iter=3000),
    )
