"""The sentences: a small grammar of home commands, each with its intent."""

import itertools
import random
import re

# A template's <slot> is filled with each of its phrases.
SLOTS: dict[str, tuple[str, ...]] = {
    "please": ("", "please", "hey computer", "could you", "i want you to", "can you please"),
    "room": (
        "kitchen",
        "bathroom",
        "bedroom",
        "hallway",
        "living room",
        "garage",
        "office",
        "guest room",
        "cellar",
        "nursery",
    ),
    "lamp": ("lights", "lamp", "ceiling light", "floor lamp", "reading light"),
    "percent": ("ten", "twenty", "thirty five", "forty", "fifty", "sixty five", "eighty", "ninety"),
    "degrees": (
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
        "twenty one",
        "twenty two",
    ),
    "music": (
        "some jazz",
        "classical music",
        "the new album",
        "my favorite songs",
        "a piano concert",
        "the morning radio",
        "something quiet",
        "old rock songs",
    ),
    "level": ("three", "four", "five", "six", "seven", "eight", "nine"),
    "duration": (
        "five minutes",
        "ten minutes",
        "a quarter of an hour",
        "half an hour",
        "two hours",
        "forty five seconds",
        "ninety minutes",
    ),
    "purpose": ("pizza", "laundry", "tea", "workout", "homework", "oven"),
    "blinds": ("blinds", "shutters", "curtains"),
    "door": ("front door", "back door", "garage door", "garden gate", "cellar door"),
    "place": ("london", "paris", "the mountains", "our village", "new york", "berlin", "this town"),
    "day": ("today", "tonight", "tomorrow", "on monday", "on friday", "this weekend"),
}

TEMPLATES: dict[str, tuple[str, ...]] = {
    "lights_on": (
        "<please> turn on the <lamp> in the <room>",
        "<please> switch the <room> <lamp> on",
        "it is too dark in the <room>",
    ),
    "lights_off": (
        "<please> turn off the <lamp> in the <room>",
        "<please> switch the <room> <lamp> off",
        "nobody needs the <lamp> in the <room> any more",
    ),
    "set_brightness": (
        "<please> dim the <room> <lamp> to <percent> percent",
        "<please> set the brightness in the <room> to <percent> percent",
    ),
    "set_temperature": (
        "<please> set the temperature in the <room> to <degrees> degrees",
        "<please> heat the <room> to <degrees> degrees",
        "i would like <degrees> degrees in the <room>",
    ),
    "heating_off": (
        "<please> stop heating the <room>",
        "<please> turn the heating off in the <room>",
        "the radiator in the <room> can go off",
    ),
    "play_music": (
        "<please> play <music> in the <room>",
        "<please> put on <music>",
        "i would love to hear <music> <day>",
    ),
    "stop_music": (
        "<please> stop the music in the <room>",
        "<please> pause the song that is playing in the <room>",
        "no more music in the <room>",
    ),
    "set_volume": (
        "<please> set the volume to <level>",
        "<please> change the volume in the <room> to <level>",
        "volume <level> in the <room>",
    ),
    "set_timer": (
        "<please> set a timer for <duration>",
        "<please> start a <purpose> timer for <duration>",
        "<please> remind me of the <purpose> in <duration>",
    ),
    "cancel_timer": (
        "<please> cancel the <purpose> timer",
        "<please> delete the timer for the <purpose>",
        "i do not need the <purpose> timer any more",
    ),
    "open_blinds": (
        "<please> open the <blinds> in the <room>",
        "<please> pull up the <room> <blinds>",
        "let some sun into the <room>",
    ),
    "close_blinds": (
        "<please> close the <blinds> in the <room>",
        "<please> let down the <room> <blinds>",
        "keep the sun out of the <room>",
    ),
    "lock_door": (
        "<please> lock the <door>",
        "<please> make sure that the <door> is locked <day>",
        "<please> check that nobody left the <door> open",
    ),
    "ask_weather": (
        "what is the weather like in <place> <day>",
        "will it rain in <place> <day>",
        "do i need an umbrella in <place> <day>",
    ),
}


def expand(template: str) -> list[str]:
    """Return every sentence of a template, in upper case and without punctuation."""
    parts = re.split(r"<(\w+)>", template)
    choices = [SLOTS[part] if i % 2 else (part,) for i, part in enumerate(parts)]
    return [" ".join("".join(words).split()).upper() for words in itertools.product(*choices)]


def draw(intent: str, rng: random.Random) -> str:
    """Return a sentence of the intent: a template by chance, then one of its sentences."""
    return rng.choice(expand(rng.choice(TEMPLATES[intent])))
