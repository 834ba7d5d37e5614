"""Check that a codec gives through pipes, as audio comes, what it gives for a whole file."""

import logging
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.inference.pipes import HEADER


def through(command: list[str], given: bytes, size: int) -> bytes:
    """Return what a command makes of bytes that come in pieces of `size`."""
    pieces = [given[begin : begin + size] for begin in range(0, len(given), size)]
    runs = threading.Event()

    def write(pipe: IO[bytes]) -> None:
        # What comes while it loads it reads at once; so the other half waits for that.
        for index, piece in enumerate(pieces):
            if index == len(pieces) // 2:
                runs.wait()
            pipe.write(piece)
        pipe.close()

    with subprocess.Popen(command, 0, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        writer = threading.Thread(target=write, args=(process.stdin,), daemon=True)
        writer.start()
        made = process.stdout.read(1)
        runs.set()
        made += process.stdout.read()
        writer.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)}: status {process.returncode}")
    return made


def main(experiment: Path, wav: Path) -> None:
    """Compare codes and audio; exits with status 1 if they differ."""
    # In float64 no rounding decides between two entries that are equally near.
    model = ["--model", str(experiment), "--precision", "float64"]

    def stacodec(command: str, *arguments: str) -> list[str]:
        return ["stacodec", command, *model, *arguments]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(stacodec("encode", "--out", str(folder / "codes"), str(wav)), check=True)
        packed = folder / "codes" / f"{wav.stem}.npz"
        subprocess.run(stacodec("decode", "--out", str(folder / "wav"), str(packed)), check=True)
        codes = Codes.load(packed).codes
        audio, _ = soundfile.read(folder / "wav" / f"{wav.stem}.wav", dtype="int16")
    samples, _ = soundfile.read(wav, dtype="int16")
    stream = through(stacodec("encode", "--stream", "-"), samples.astype("<i2").tobytes(), 640)
    heard = np.frombuffer(through(stacodec("decode", "--stream", "-"), stream, 37), "<i2")
    values = np.frombuffer(stream[HEADER.size :], "<u2")
    last = len(values) - len(codes)  # the end mark stands before the last frame
    streamed = np.concatenate([values[: last - 2], values[last:]]).reshape(-1, len(codes)).T
    # After a few steps the predicted tokens, of the first one, may all be the same.
    if min(len(np.unique(of_book)) for of_book in codes[1:]) < 4:
        sys.exit(f"{wav}: a codebook has hardly any codes, so that equal ones say nothing.")
    if not np.array_equal(streamed, codes):
        sys.exit(f"{wav}: the codes of the stream are not those of the file.")
    if len(heard) != len(samples) or np.abs(heard - audio.astype(int)).max() > 1:
        sys.exit(f"{wav}: the audio of the stream is not that of the file.")
    logging.info("%s: streamed as it is coded whole, %d frames", wav, streamed.shape[1])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
