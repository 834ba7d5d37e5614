"""Make a page of samples: short pieces of recordings, and what a codec makes of them.

Writes FLAC files, which add no losses of their own, and a README.md with a table of links.
"""

import argparse
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from espnet_stacodec.bin import _cli
from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.pretrained.shipped.lookup import DEFAULT_NAME

MAX_BYTES = 3_000_000
# A piece ends in the quietest frame of the last part of what it may have.
FRAME_SECONDS = 0.02
SHORTEST_SHARE = 0.75

PAGE = """# Samples

{number} voices that the codec `{model}` (fingerprint {fingerprint}) has not been trained on, and
what its codes give back. It has {most} codebooks; fewer are the first ones of the same codes.
The files are FLAC, 16 kHz.

{table}

Recordings: {source}. They are cut to at most {seconds:g} s, and not chosen by how they sound:
the command takes them at equal distances from the list of files.

```sh
{command}
```
"""


def get_parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("audio_dir", type=Path, help="recordings of voices the codec never heard")
    parser.add_argument("--model", default=DEFAULT_NAME, help="as for stacodec encode")
    parser.add_argument("--out", type=Path, required=True, help="folder, which is made anew")
    parser.add_argument("--source", required=True, help="of the recordings, and their licence")
    parser.add_argument("--number", type=int, default=6, help="of recordings")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each at most")
    parser.add_argument("--codebooks", type=int, nargs="+", default=[8, 4, 2, 1], help="how many")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    _cli.run(_work, get_parser(), argv)


def _work(args: argparse.Namespace) -> None:
    from espnet_stacodec.data_prep.folder import make_ids
    from espnet_stacodec.fileio.audio import read_audio, resample, write_audio
    from espnet_stacodec.fileio.files import scratch_folder, write_text
    from espnet_stacodec.fileio.markdown import markdown_table
    from espnet_stacodec.inference.audio_coding import AudioCoding

    codec = AudioCoding.from_pretrained(args.model)
    rows = []
    paths = choose(args.audio_dir, args.number)
    # Of several folders files may have one name; a link has no blanks.
    ids = make_ids({str(path.relative_to(args.audio_dir)): path.stem for path in paths})
    with scratch_folder(args.out) as folder:
        for path, name in zip(paths, ids.values(), strict=True):
            wave, rate = read_audio(path)
            wave = cut(resample(wave, rate, codec.sample_rate, str(path)), codec.sample_rate,
                       args.seconds)  # fmt: skip
            pieces = {"original": wave}
            for n in args.codebooks:
                codes = codec.encode(wave, codec.sample_rate, n_codebooks=n)
                pieces[f"{n}"] = codec.decode(codes, len(wave)).numpy()
            names = {what: f"{name}_{what}.flac" for what in pieces}
            for what, samples in pieces.items():
                write_audio(folder / names[what], samples, codec.sample_rate)
            rows.append([name, *(f"[{what}]({file})" for what, file in names.items())])
        size = sum(path.stat().st_size for path in folder.iterdir())
        if size > MAX_BYTES:
            raise ConfigError(
                f"{args.out}: {size / 1e6:.1f} MB, and a page may have {MAX_BYTES / 1e6:g} MB;"
                " lower --number or --seconds."
            )
        rates = [f"{n} ({codec.bits_per_second(n) / 1000:.2f} kbit/s)" for n in args.codebooks]
        page = PAGE.format(
            number=len(rows),
            model=args.model,
            fingerprint=codec.fingerprint,
            most=codec.n_codebooks,
            table=markdown_table(["recording", "original", *rates], rows),
            source=args.source,
            seconds=args.seconds,
            command=_command(args),
        )
        write_text(folder / "README.md", page)
        if args.out.exists():
            shutil.rmtree(args.out)
        folder.rename(args.out)
    logging.info("%s: %d recordings, %.1f MB", args.out, len(rows), size / 1e6)


def choose(folder: Path, number: int) -> list[Path]:
    """Return `number` audio files of a tree, at equal distances in the sorted list.

    Raises:
        DataError: If there are not so many.
    """
    from espnet_stacodec.fileio.audio import AUDIO_ENDINGS

    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_ENDINGS)
    if len(files) < number:
        raise DataError(f"{folder}: {len(files)} audio files, and {number} are asked for.")
    return [files[index] for index in np.linspace(0, len(files) - 1, number).round().astype(int)]


def cut(wave: np.ndarray, rate: int, seconds: float) -> np.ndarray:
    """Return the beginning (M,) of a waveform (N,) of a rate in Hz, cut in a quiet frame.

    At most `seconds`; where the waveform is longer, at least three quarters of that.
    """
    longest, frame = int(seconds * rate), int(FRAME_SECONDS * rate)
    if len(wave) <= longest:
        return wave
    starts = np.arange(int(SHORTEST_SHARE * longest), longest - frame, frame)
    energies = [np.square(wave[start : start + frame]).sum() for start in starts]
    return wave[: starts[int(np.argmin(energies))] + frame // 2]


def _command(args: argparse.Namespace) -> str:
    """Return the command with the options of this page."""
    n = " ".join(map(str, args.codebooks))
    return (
        f"python tools/make_samples.py {args.audio_dir} --out {args.out} --model {args.model} \\\n"
        f"    --number {args.number} --seconds {args.seconds:g} --codebooks {n} \\\n"
        f'    --source "{args.source}"'
    )


if __name__ == "__main__":
    main()
