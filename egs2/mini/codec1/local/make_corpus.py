#!/usr/bin/env python3
"""Speak the mini corpus: downloads/mini/<utterance>.flac and data/{train,dev,test}.

The same seed gives the same bytes; what is there and complete is not spoken again.
"""

import argparse
import hashlib
import json
import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from espeak import Synthesizer, Voice
from grammar import TEMPLATES, draw
from tqdm import tqdm

from espnet_stacodec.bin._cli import record, run
from espnet_stacodec.fileio.data_dir import DataDir
from espnet_stacodec.fileio.files import atomic_write, write_text

SAMPLE_RATE = 16000
PEAK = 0.5  # of full scale; eSpeak's voices differ in loudness

# Variants of much breath, of silenced formants or of children's pitch are left out: a codec of
# few kbit/s cannot code them after so short a training, and what it learns from them is not speech.
VOICES: dict[str, dict[str, Voice]] = {
    "train": {
        "anna": Voice("en-us+f1", 150, 45),
        "bert": Voice("en-gb-x-rp+m1", 145, 50),
        "cleo": Voice("en+f3", 160, 40),
        "dave": Voice("en-us+m3", 155, 42),
        "edna": Voice("en-gb-scotland+f2", 140, 52),
        "finn": Voice("en-gb-scotland+m4", 160, 60),
        "gina": Voice("en-029+f5", 150, 38),
        "hank": Voice("en-us-nyc+m7", 165, 35),
        "iris": Voice("en-us+steph", 145, 48),
        "jack": Voice("en-gb-x-gbclan+m6", 150, 45),
        "kate": Voice("en-gb-x-rp+linda", 155, 30),
        "luke": Voice("en+paul", 140, 65),
        "lena": Voice("en-gb-x-gbclan+f1", 150, 62),
        "marc": Voice("en-us+Gene", 155, 45),
        "nina": Voice("en-029+Annie", 145, 30),
        "omar": Voice("en-gb-scotland+adam", 150, 55),
        "paul": Voice("en-us-nyc+grandpa", 160, 30),
        "rick": Voice("en-gb-x-gbclan+ed", 145, 65),
        "sara": Voice("en+antonio", 155, 60),
        "theo": Voice("en-gb-x-rp+john", 140, 40),
        "vera": Voice("en-us+aunty", 150, 25),
        "walt": Voice("en-gb-x-gbcwmd+Mike", 165, 48),
        "yara": Voice("en-gb-x-rp+shelby", 150, 60),
        "zeke": Voice("en-029+max", 155, 70),
    },
    "dev": {
        "mona": Voice("en-us+grandma", 155, 42),
        "nick": Voice("en-gb-x-gbcwmd+m2", 150, 55),
    },
    "test": {
        "olga": Voice("en-gb-x-rp+f4", 150, 46),
        "pete": Voice("en-us+m5", 145, 58),
        "rosa": Voice("en-029+f2", 155, 40),
    },
}
# How often each speaker of a set says each intent.
REPETITIONS = {"train": 1, "dev": 1, "test": 1}


@dataclass(frozen=True)
class Utterance:
    """One sentence to be spoken."""

    utt_id: str
    speaker: str
    intent: str
    text: str


def plan(seed: int, max_speakers: int | None = None) -> dict[str, list[Utterance]]:
    """Return what is said in each set, by speakers of its own; every speaker says every intent."""
    rng = random.Random(seed)
    sets: dict[str, list[Utterance]] = {}
    for name, voices in VOICES.items():
        sets[name] = []
        for speaker in list(voices)[:max_speakers]:
            intents = list(TEMPLATES) * REPETITIONS[name]
            rng.shuffle(intents)
            for number, intent in enumerate(intents, 1):
                sentence = draw(intent, rng)
                sets[name].append(Utterance(f"{speaker}-{number:03d}", speaker, intent, sentence))
    return sets


def speak(utterances: Sequence[Utterance]) -> Iterator[tuple[Utterance, np.ndarray]]:
    """Yield each utterance with its samples (N,) int16 at 16 kHz, in the order given."""
    voices = {speaker: voice for group in VOICES.values() for speaker, voice in group.items()}
    synthesizer = Synthesizer()
    for utterance in utterances:
        synthesizer.set_voice(voices[utterance.speaker])
        samples = synthesizer.speak(utterance.text.lower())
        wave = soxr.resample(samples.astype(np.float64), synthesizer.sample_rate, SAMPLE_RATE)
        wave *= PEAK * np.iinfo(np.int16).max / np.abs(wave).max()
        yield utterance, np.round(wave).astype(np.int16)


def speak_to_files(utterances: Sequence[Utterance], audio_dir: Path, plan_id: str) -> None:
    """Write every utterance's audio, then corpus.json, which marks the folder as complete."""
    # What it says is no longer true once the first file is written.
    (audio_dir / "corpus.json").unlink(missing_ok=True)
    digest = hashlib.sha256()
    num_samples = 0
    for utterance, wave in tqdm(speak(utterances), total=len(utterances), desc="speaking"):
        with atomic_write(audio_dir / f"{utterance.utt_id}.flac") as path:
            soundfile.write(path, wave, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
        digest.update(wave.tobytes())
        num_samples += len(wave)
    minutes = num_samples / SAMPLE_RATE / 60
    summary = {"plan": plan_id, "samples_sha256": digest.hexdigest(), "minutes": round(minutes, 2)}
    write_text(audio_dir / "corpus.json", json.dumps(summary, indent=2) + "\n")
    logging.info("spoke %.1f minutes: %s", minutes, digest.hexdigest())


def is_complete(utterances: Sequence[Utterance], audio_dir: Path, plan_id: str) -> bool:
    """Return whether this very plan was spoken to the end and all its files are still there."""
    summary = audio_dir / "corpus.json"
    if not summary.exists() or json.loads(summary.read_text())["plan"] != plan_id:
        return False
    return all((audio_dir / f"{utterance.utt_id}.flac").exists() for utterance in utterances)


def identify(sets: dict[str, list[Utterance]]) -> str:
    """Return a checksum of all that the samples depend on: sentences, voices, level."""
    content: list[Any] = [
        {name: [asdict(utterance) for utterance in group] for name, group in sets.items()},
        {name: {s: asdict(v) for s, v in group.items()} for name, group in VOICES.items()},
        [SAMPLE_RATE, PEAK],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def make_corpus(args: argparse.Namespace) -> None:
    """Speak what is missing and write the data directories."""
    sets = plan(args.seed, args.max_speakers)
    utterances = [utterance for group in sets.values() for utterance in group]
    plan_id = identify(sets)
    if is_complete(utterances, args.audio_dir, plan_id):
        logging.info("%s is complete.", args.audio_dir)
    else:
        speak_to_files(utterances, args.audio_dir, plan_id)
    for name, group in sets.items():
        DataDir(
            wav={u.utt_id: str(args.audio_dir / f"{u.utt_id}.flac") for u in group},
            text={u.utt_id: u.text for u in group},
            utt2spk={u.utt_id: u.speaker for u in group},
            intent={u.utt_id: u.intent for u in group},
        ).write(args.data_dir / name)
    record(args, "local/make_corpus.py", [args.data_dir / name for name in sets])


def get_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="chooses the sentences")
    parser.add_argument("--audio_dir", type=Path, default=Path("downloads/mini"))
    parser.add_argument("--data_dir", type=Path, default=Path("data"))
    parser.add_argument("--max_speakers", type=int, help="of each set; all if not given")
    return parser


if __name__ == "__main__":
    run(make_corpus, get_parser())
