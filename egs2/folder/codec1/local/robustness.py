"""How a codec takes what real recordings are like: a table of distorted copies of a set.

robustness.py MODEL WAV_SCP [RECOGNIZER]: for each distortion the STOI of the distorted audio and of
its resynthesis to the clean original, how many of the first codebook's codes change (edits of
deduplicated codes, of the clean ones' number), and with a recognizer the word errors of both to its
words for the clean original. Babble is made of the other speakers of the set. Rows are written as
they are found: with a recognizer each takes a minute or two.
"""

import sys
from pathlib import Path

import editdistance
import numpy as np
from tqdm import tqdm

from espnet_stacodec.downstream.inputs import deduplicate
from espnet_stacodec.evaluation.distortions import standard_distortions
from espnet_stacodec.evaluation.metrics import stoi_score
from espnet_stacodec.evaluation.recognizer import open_recognizer
from espnet_stacodec.fileio.audio import read_audio
from espnet_stacodec.fileio.files import read_scp
from espnet_stacodec.fileio.markdown import markdown_table
from espnet_stacodec.inference.audio_coding import AudioCoding

EVERY_SECOND_FILE = 2  # is judged; the others speak the babble
WHISPER = {"language": "en", "task": "transcribe"}


def main() -> None:
    """Run the command."""
    model, wav_scp, *recognizer = sys.argv[1:]
    codec = AudioCoding.from_pretrained(model)
    paths = list(read_scp(Path(wav_scp)).values())
    judged, others = paths[::EVERY_SECOND_FILE], paths[1::EVERY_SECOND_FILE]
    waves = {path: read_audio(path)[0] for path in judged}
    words = open_recognizer(Path(recognizer[0]), WHISPER) if recognizer else None
    clean_codes = {path: first_codes(codec, wave) for path, wave in waves.items()}
    texts = {path: words(wave).lower().split() for path, wave in waves.items()} if words else {}
    head = ["distortion", "STOI of the input", "of the resynthesis", "codes changed (%)"]
    head += ["WER of the input (%)", "of the resynthesis (%)"] if words else []
    _say(markdown_table(head, []))
    distortions = [None, *(d for d in standard_distortions(others).values() if d.keeps_length)]
    for distort in tqdm(distortions, unit=" distortions"):
        figures = []
        for path, wave in waves.items():
            rate = codec.sample_rate
            heard = wave if distort is None else distort(wave, rate, path)
            heard = heard[: len(wave)].clip(-1, 1).astype(np.float32)
            given = np.asarray(codec.decode(codec.encode(heard, rate)))[: len(heard)]
            clean = wave[: len(heard)]
            one, two = clean_codes[path], first_codes(codec, heard)
            figures.append(
                [stoi_score(clean, x) for x in (heard, given)]
                + [editdistance.eval(one, two), len(one)]
                + ([errors(texts[path], words(x)) for x in (heard, given)] if words else [])
            )
        columns: np.ndarray = np.array(figures).T
        total = sum(map(len, texts.values()))
        row = (
            ["none" if distort is None else distort.name]
            + [f"{column.mean():.3f}" for column in columns[:2]]
            + [f"{100 * columns[2].sum() / columns[3].sum():.1f}"]
            + [f"{100 * column.sum() / total:.1f}" for column in columns[4:]]
        )
        _say(markdown_table(head, [row]).rpartition("\n")[2])


def _say(lines: str) -> None:
    sys.stdout.write(lines + "\n")
    sys.stdout.flush()


def first_codes(codec: AudioCoding, wave: np.ndarray) -> list[int]:
    """Return the deduplicated codes of the first codebook."""
    codes = codec.encode(wave, codec.sample_rate)
    return deduplicate(np.asarray(codes[:1]))[0].tolist()


def errors(text: list[str], heard: str) -> int:
    """Return by how many words two texts differ."""
    return editdistance.eval(text, heard.lower().split())


if __name__ == "__main__":
    main()
