"""How late sound comes through `stacodec encode --stream | stacodec decode --stream`."""

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from typeguard import typechecked

from espnet_stacodec.errors import STACodecError
from espnet_stacodec.fileio.markdown import markdown_table
from espnet_stacodec.inference.audio_coding import AudioCoding
from espnet_stacodec.inference.pipes import SAMPLE
from espnet_stacodec.pretrained.shipped.lookup import STREAMING_NAME

# Before the clock starts: both commands have loaded the codec when the sound of these is there.
WARM_UP_SECONDS = 1.0


@typechecked
def compare(seconds: float) -> str:
    """Return a table of the delays of `seconds` of noise, at its own pace, of the shipped codec."""
    delays = 1000 * measure(STREAMING_NAME, seconds)
    latency = 1000 * AudioCoding.from_pretrained(STREAMING_NAME).latency_seconds
    shown = {"median": np.median(delays), "longest": delays.max()}
    rows = [[name, f"{value:.0f}", f"{value - latency:.0f}"] for name, value in shown.items()]
    return (
        markdown_table(["delay of a frame", "ms", "of which computing and pipes"], rows)
        + f"\n\n`{STREAMING_NAME}` through two commands of one thread each: from a frame's first"
        + f" sample to its sound, of {seconds:g} s of noise as fast as it would be spoken.\n"
    )


@typechecked
def measure(model: Path | str, seconds: float) -> np.ndarray:
    """Return the delays (F,) in seconds from each frame's first sample to its sound.

    Raises:
        STACodecError: If a command ends before its time; it has said why.
    """
    codec = AudioCoding.from_pretrained(model)
    rule = codec.frame_rule
    frame_seconds = 1 / rule.frame_rate_hz
    warm, timed = (round(s * rule.frame_rate_hz) for s in (WARM_UP_SECONDS, seconds))
    waiting = round(codec.latency_seconds * rule.frame_rate_hz) - 1
    # The last frames need not wait for later ones, and are not timed.
    number = warm + timed + waiting
    wave = np.random.default_rng(0).normal(0, 0.1 * 2**15, rule.num_samples(number))
    pieces = [piece.tobytes() for piece in np.split(wave.astype(SAMPLE), number)]
    came: list[float] = []  # when the sound of each frame was there
    heard = threading.Event()

    def listen(sound: BinaryIO) -> None:
        while len(sound.read(len(pieces[0]))) == len(pieces[0]):
            came.append(time.perf_counter())
            if len(came) == warm - waiting:
                heard.set()
        heard.set()

    with _commands(model) as (voice, sound):
        listener = threading.Thread(target=listen, args=(sound,))
        listener.start()
        try:
            os.write(voice.fileno(), b"".join(pieces[:warm]))
            heard.wait()
            start = time.perf_counter()
            for index, piece in enumerate(pieces[warm:], 1):
                time.sleep(max(0.0, start + index * frame_seconds - time.perf_counter()))
                os.write(voice.fileno(), piece)
        except BrokenPipeError:
            logging.warning("the pipe is closed")
        voice.close()
        listener.join()
    if len(came) < len(pieces):
        raise STACodecError(
            f"{model}: the pipe gave the sound of {len(came)} of {len(pieces)} frames; what its"
            " commands say stands above."
        )
    return np.array(came[warm : warm + timed]) - start - frame_seconds * np.arange(timed)


@contextlib.contextmanager
def _commands(model: Path | str) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Run both commands, one behind the other; yield the one's input and the other's output."""
    options = ["--stream", "--model", str(model), "--log_level", "WARNING", "-"]

    def start(work: str, source: int | BinaryIO) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "espnet_stacodec.bin.stacodec", work, *options]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(words, stdin=source, stdout=subprocess.PIPE, env=environment)

    with start("encode", subprocess.PIPE) as first:
        codes = cast(BinaryIO, first.stdout)
        with start("decode", codes) as second:
            codes.close()  # now the encoder notices when the decoder ends
            try:
                yield cast(BinaryIO, first.stdin), cast(BinaryIO, second.stdout)
            finally:
                first.kill()
                second.kill()
