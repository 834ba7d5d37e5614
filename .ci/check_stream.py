"""Check that a codec gives through pipes, as audio comes, what it gives for a whole file."""

import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.inference.pipes import HEADER


def main(experiment: Path, wav: Path) -> None:
    """Compare codes and audio; exits with status 1 if they differ."""
    # In float64 no rounding decides between two entries that are equally near.
    model = ["--model", str(experiment), "--precision", "float64"]

    def stacodec(command: str, *arguments: str, given: bytes = b"") -> bytes:
        words = ["stacodec", command, *model, *arguments]
        return subprocess.run(words, input=given, stdout=subprocess.PIPE, check=True).stdout

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stacodec("encode", "--out", str(folder / "codes"), str(wav))
        packed = folder / "codes" / f"{wav.stem}.npz"
        stacodec("decode", "--out", str(folder / "wav"), str(packed))
        codes = Codes.load(packed).codes
        audio, _ = soundfile.read(folder / "wav" / f"{wav.stem}.wav", dtype="int16")
    samples, _ = soundfile.read(wav, dtype="int16")
    stream = stacodec("encode", "--stream", "-", given=samples.astype("<i2").tobytes())
    heard = np.frombuffer(stacodec("decode", "--stream", "-", given=stream), "<i2")
    values = np.frombuffer(stream[HEADER.size :], "<u2")
    last = len(values) - len(codes)  # the end mark stands before the last frame
    streamed = np.concatenate([values[: last - 2], values[last:]]).reshape(-1, len(codes)).T
    if not np.array_equal(streamed, codes):
        sys.exit(f"{wav}: the codes of the stream are not those of the file.")
    if len(heard) != len(samples) or np.abs(heard - audio.astype(int)).max() > 1:
        sys.exit(f"{wav}: the audio of the stream is not that of the file.")
    logging.info("%s: streamed as it is coded whole, %d frames", wav, streamed.shape[1])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
