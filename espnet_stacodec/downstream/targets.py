"""Target texts of ASR and SLU models, and how each kind is scored."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Target:
    """One kind of target text.

    Attributes:
        text: Returns it for the words and the intent of an utterance; "" where one of them is
            missing.
        label: Name of the class that is its first word; None where there is no class.
        has_words: Whether words are recognized, after the class or alone.
    """

    text: Callable[[str, str | None], str]
    label: str | None = None
    has_words: bool = False


def _words(text: str, intent: str | None) -> str:
    return text


def _intent(text: str, intent: str | None) -> str:
    return intent or ""


def _intent_and_words(text: str, intent: str | None) -> str:
    return f"{intent} {text}" if intent and text else ""


def _scenario(text: str, intent: str | None) -> str:
    return (intent or "").partition("_")[0]


TARGETS = {
    "words": Target(_words, has_words=True),
    # ESPnet's form of SLURP.
    "intent_words": Target(_intent_and_words, "intent", has_words=True),
    "intent": Target(_intent, "intent"),
    # SLURP's intents are <scenario>_<action>; benchmarks of discrete tokens take its 18 scenarios.
    "scenario": Target(_scenario, "scenario"),
}
