"""Link the recordings that shipped codecs are trained on, and list those they are judged on.

shipped_data.py DATA AUDIO_DIR TEST_SET: DATA holds voices/{train,dev}/SPEAKER/*.flac,
LibriSpeech/train-clean-100/9101 (LJSpeech's reader) and slurp/ in SLURP's layout. AUDIO_DIR gets a
folder for each speaker; the speakers of slurp are not known, and its recordings are in one folder.
TEST_SET gets the data directory of voices/dev.
"""

import json
import sys
from pathlib import Path

from espnet_stacodec.fileio.data_dir import DataDir


def main() -> None:
    """Run the command."""
    data, audio_dir, test_set = map(Path, sys.argv[1:])
    for earlier in [path for path in audio_dir.rglob("*") if path.is_symlink()]:
        earlier.unlink()  # of other DATA
    for speaker in [*data.glob("voices/train/*"), data / "LibriSpeech/train-clean-100/9101"]:
        for recording in speaker.rglob("*.flac"):
            link(recording, audio_dir / speaker.name)
    slurp = data / "slurp"
    for line in (slurp / "dataset/slurp/train.jsonl").read_text(encoding="utf-8").splitlines():
        for recording in json.loads(line)["recordings"]:
            link(slurp / "audio/slurp_real" / recording["file"], audio_dir / "slurp")
    judged = sorted(data.glob("voices/dev/*/*.flac"))
    wavs = {file.stem: str(file.resolve()) for file in judged}
    DataDir(wavs, {}, {file.stem: file.parent.name for file in judged}).write(test_set)


def link(recording: Path, folder: Path) -> None:
    """Link a recording in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / recording.name).symlink_to(recording.resolve(strict=True))


if __name__ == "__main__":
    main()
