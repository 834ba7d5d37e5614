"""What a model is to say of an utterance, and how that is scored."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Target:
    """One kind of text that a model is trained to say.

    Attributes:
        say: Returns it, of the words and the intent of an utterance; "" where a part of it is
            lacking.
        label: What its first word is called, where that is a class to be told; None otherwise.
        has_words: Whether there are words to be recognized, after the class or alone.
    """

    say: Callable[[str, str | None], str]
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
    # SLURP's intents are <scenario>_<action>; benchmarks of discrete tokens tell its 18 scenarios.
    "scenario": Target(_scenario, "scenario"),
}
