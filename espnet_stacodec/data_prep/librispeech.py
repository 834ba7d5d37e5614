"""LibriSpeech: LibriSpeech/<part>/<speaker>/<chapter>/<utterance>.flac and .trans.txt files.

Mini LibriSpeech, 5 hours for training and 2 for development, has two parts of the same layout.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm
from typeguard import typechecked

from espnet_stacodec.data_prep.download import download, extract_tar
from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.data_dir import DataDir
from espnet_stacodec.fileio.temporaries import exclusive

FOLDER = "LibriSpeech"
OPENSLR = "https://www.openslr.org/resources"
LIBRISPEECH, MINI_LIBRISPEECH = 12, 31  # numbers of the resources there
MINI_PARTS = ("train-clean-5", "dev-clean-2")
# As published in md5sum.txt beside the archives.
MD5 = {
    "dev-clean": "42e2234ba48799c1f50f24a7926300a1",
    "dev-other": "c8d0bcc9cca99d4f8b62fcc847357931",
    "test-clean": "32fa31d27d2e1cad72775fee3f4849a9",
    "test-other": "fb5a50374b501bb3bac4815ee91d3135",
    "train-clean-100": "2a93770f6d5c6c964bc36631d331a522",
    "train-clean-360": "c0e676e450a7ff2f54aeade5171606fa",
    "train-other-500": "d1a0fd59409feb2c614ce4d30c387708",
    "dev-clean-2": "6d7ab67ac6a1d2c993d050e16d61080d",
    "train-clean-5": "5df7d4e78065366204ca6845bb08f490",
}
# Sets made of several parts, by the names that Kaldi and ESPnet recipes use.
SETS = {
    "train_960": ("train-clean-100", "train-clean-360", "train-other-500"),
    "train_clean_460": ("train-clean-100", "train-clean-360"),
    "dev": ("dev-clean", "dev-other"),
}


def parts_of(set_name: str) -> tuple[str, ...]:
    """Return the parts of a set: `SETS` has it, or it is one part with underscores for dashes."""
    return SETS.get(set_name, (set_name.replace("_", "-"),))


def url_of(part: str, base_url: str | None = None) -> str:
    """Return the address of a part's archive: on OpenSLR, or in the folder `base_url`."""
    resource = MINI_LIBRISPEECH if part in MINI_PARTS else LIBRISPEECH
    folder = base_url or f"{OPENSLR}/{resource}"
    return f"{folder.rstrip('/')}/{part}.tar.gz"


@typechecked
def download_parts(
    parts: Sequence[str],
    folder: Path | str,
    base_url: str | None = None,
    md5: dict[str, str] = MD5,
) -> Path:
    """Download and unpack parts of the corpus into `folder`/LibriSpeech; skip those that are there.

    An archive is removed once it is unpacked: all of them together take 60 GB.

    Args:
        parts: For example ["dev-clean", "test-clean"].
        folder: Where the archives and the corpus go.
        base_url: Address of a folder that holds every <part>.tar.gz; None for OpenSLR.
        md5: Checksum of each part's archive, in hexadecimal.

    Returns:
        The corpus folder, `folder`/LibriSpeech.

    Raises:
        DataError: If a part is not one of LibriSpeech's, or its download fails.
    """
    folder = Path(folder)
    for part in parts:
        if part not in md5:
            raise DataError(f"LibriSpeech has no part '{part}'; its parts are {', '.join(md5)}.")
    for part in parts:
        destination = folder / FOLDER / part
        if destination.exists():
            continue
        with exclusive(folder, name=f".{part}.lock"):
            if destination.exists():  # another call was quicker
                continue
            archive = download(url_of(part, base_url), folder / f"{part}.tar.gz", md5[part])
            extract_tar(archive, f"{FOLDER}/{part}", destination)
            archive.unlink()
    return folder / FOLDER


@typechecked
def prepare_set(corpus: Path | str, parts: Sequence[str]) -> DataDir:
    """List the utterances of some parts of the corpus.

    Utterance ids are the official ones, "<speaker>-<chapter>-<number>"; the speaker is "<speaker>".

    Args:
        corpus: The folder LibriSpeech, or the one that holds it (as ESPnet's recipes have it).
        parts: Folders in it, e.g. ["dev-clean"].

    Raises:
        DataError: If a part, a transcript, or the audio of one is missing, or an utterance is
            there twice.
    """
    corpus = Path(corpus)
    if (corpus / FOLDER).is_dir():
        corpus = corpus / FOLDER
    wav: dict[str, str] = {}
    text: dict[str, str] = {}
    utt2spk: dict[str, str] = {}
    for part in parts:
        for chapter in tqdm(_chapters(corpus, part), desc=f"list {part}", unit=" chapters"):
            for utt_id, path, words in _utterances(chapter):
                if utt_id in wav:
                    raise DataError(f"{utt_id} is there twice: {wav[utt_id]} and {path}.")
                wav[utt_id], text[utt_id], utt2spk[utt_id] = path, words, chapter.parent.name
    return DataDir(wav, text, utt2spk).validate(f"{corpus} ({', '.join(parts)})")


def _chapters(corpus: Path, part: str) -> list[Path]:
    """Return the folders <part>/<speaker>/<chapter>."""
    if not (corpus / part).is_dir():
        there = sorted(path.name for path in corpus.glob("*-*") if path.is_dir())
        raise DataError(
            f"{corpus}: there is no folder '{part}' of LibriSpeech here;"
            f" found {', '.join(there) if there else 'no part of it'}."
        )
    return sorted(path for path in (corpus / part).glob("*/*") if path.is_dir())


def _utterances(chapter: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (utterance id, audio file, words) of one chapter's folder."""
    transcripts = _read_transcripts(chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt")
    audio = {path.stem: str(path) for path in chapter.glob("*.flac")}
    for utt_id in sorted(set(transcripts) ^ set(audio)):
        lacking = "no audio file" if utt_id in transcripts else "no transcript"
        raise DataError(f"{chapter}: {utt_id} has {lacking}; unpack this part again.")
    for utt_id in sorted(transcripts):
        yield utt_id, audio[utt_id], transcripts[utt_id]


def _read_transcripts(path: Path) -> dict[str, str]:
    """Read `<utterance id> <WORDS>` lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the transcripts cannot be read ({error}).") from error
    transcripts: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        utt_id, _, words = line.strip().partition(" ")
        if not words.strip():
            raise DataError(f"{path}:{number}: '{line}' has no words after the utterance id.")
        if utt_id in transcripts:
            raise DataError(f"{path}:{number}: utterance id '{utt_id}' is there twice.")
        transcripts[utt_id] = words.strip()
    return transcripts


@typechecked
def prepare(corpus: Path | str, set_names: Sequence[str], out_dir: Path | str) -> None:
    """Write `out_dir`/<set> for every set; see `parts_of` for the names and `prepare_set`."""
    for name in set_names:
        data = prepare_set(corpus, parts_of(name))
        data.write(Path(out_dir) / name)
        speakers = len(set(data.utt2spk.values()))
        logging.info("%s/%s: %d utterances, %d speakers", out_dir, name, len(data.wav), speakers)
