"""A speech recognizer of `transformers` or ESPnet, given by its path, as audio -> words."""

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from typeguard import typechecked

from espnet_stacodec.errors import ModelError

SAMPLE_RATE = 16000
WINDOW_SECONDS = 30.0  # what Whisper hears at once; longer audio is recognized in pieces
Recognizer = Callable[[np.ndarray], str]


@typechecked
def check_recognizer(source: Path) -> None:
    """Raise ModelError unless a path may be that of a recognizer, without loading it.

    Args:
        source: A folder that `transformers` loads (with config.json), e.g. of a Whisper or CTC
            model; a checkpoint of ESPnet (.pth) with its config.yaml beside it; or a packed ESPnet
            model (.zip).
    """
    espnet = source.is_file() and source.suffix in (".pth", ".zip")
    if not espnet and not (source / "config.json").is_file():
        raise ModelError(
            f"{source}: not a recognizer: neither a folder with a config.json (transformers), nor"
            " a checkpoint .pth or a packed model .zip (ESPnet)."
        )


@typechecked
def open_recognizer(
    source: Path, options: Mapping[str, Any] | None = None, device: str = "cpu"
) -> Recognizer:
    """Return a function that recognizes a (N,) float signal at 16 kHz.

    Args:
        source: As for `check_recognizer`.
        options: Of decoding: arguments of `generate`, e.g. language, for `transformers`; of
            ESPnet's `Speech2Text`, e.g. beam_size and ctc_weight.
        device: Where to compute.

    Raises:
        ModelError: If it is none, or cannot be loaded.
    """
    given = dict(options or {})
    check_recognizer(source)
    build = _open_transformers if source.is_dir() else _open_espnet
    try:
        return build(source, given, device)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{source}: the recognizer cannot be loaded ({reason}).") from error


def _open_transformers(source: Path, options: dict[str, Any], device: str) -> Recognizer:
    import torch
    from transformers import pipeline

    recognize = pipeline(
        "automatic-speech-recognition", model=str(source), device=device, dtype=torch.float32
    )
    generation = {"generate_kwargs": options} if options else {}

    def words_of(wave: np.ndarray) -> str:
        long = len(wave) > WINDOW_SECONDS * SAMPLE_RATE
        pieces = {"chunk_length_s": WINDOW_SECONDS} if long else {}
        # A copy: the pipeline takes what it is given out of the dictionary.
        audio = {"raw": wave.astype(np.float32), "sampling_rate": SAMPLE_RATE}
        found: Any = recognize(audio, **generation, **pieces)  # of one recording: a dictionary
        return found["text"].strip()

    return words_of


def _open_espnet(source: Path, options: dict[str, Any], device: str) -> Recognizer:
    from espnet2.bin.asr_inference import Speech2Text

    if source.suffix == ".zip":
        recognize = Speech2Text.from_pretrained(str(source), device=device, **options)
    else:
        recognize = Speech2Text(
            asr_train_config=str(source.parent / "config.yaml"),
            asr_model_file=str(source),
            device=device,
            **options,
        )

    def words_of(wave: np.ndarray) -> str:
        hypotheses = recognize(wave.astype(np.float32))
        return (hypotheses[0][0] or "").strip() if hypotheses else ""

    return words_of


@functools.lru_cache(maxsize=1)
def recognizer_once(source: Path, options: str, device: str) -> Recognizer:
    """Return `open_recognizer`, loaded once in each process; `options` is JSON."""
    return open_recognizer(source, json.loads(options), device)
