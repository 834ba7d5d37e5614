"""SSL features of data sets on disk: <folder>/<set>/features/{features.scp, features.<N>.ark}.

Training needs them only where a codec learns from the features themselves, not from their tokens
(distillation): in float32, 50 frames a second of 768 numbers are half a gigabyte an hour.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from typeguard import typechecked

from espnet_stacodec.fileio.arks import write_arks
from espnet_stacodec.fileio.files import identify
from espnet_stacodec.fileio.provenance import Provenance
from espnet_stacodec.fileio.temporaries import remove
from espnet_stacodec.parallel import Workers
from espnet_stacodec.semantic.extract import write_features
from espnet_stacodec.semantic.token_files import Utterance, read_utterances
from espnet_stacodec.semantic.tokenizer_info import TokenizerInfo, UpstreamConfig

PLACE = Path("features/features.scp")  # in the folder of a set's tokens
UTTERANCES_FOLDER = ".utterances"  # those of a part, while it is made


@typechecked
def extract_features(
    config: UpstreamConfig,
    dump_dir: Path | str,
    sets: Sequence[str],
    out_dir: Path | str,
    workers: Workers | None = None,
) -> None:
    """Write the features (T, F) of all utterances, going on from whole parts of the same ones.

    Args:
        config: Of the tokenizer, which `extract` has written.
        dump_dir: Holds <set>/{wav.scp,utt2num_samples}, 16 kHz.
        sets: Sets whose features are kept.
        out_dir: The tokenizer's folder; gets <set>/features.
        workers: Processes that run the model, each with one thread; None for this one.

    Raises:
        ConfigError: If the upstream cannot be built.
        StageError: If a set has not been made.
        DataError: If an utterance is unreadable or was changed since stage 2.
    """
    fingerprint = TokenizerInfo.read(out_dir).fingerprint
    for name in sets:
        utterances = read_utterances(Path(dump_dir) / name)
        scp = Path(out_dir) / name / PLACE
        _write(config, utterances, scp, fingerprint, workers or Workers(1), f"features of {name}")


def _write(
    config: UpstreamConfig,
    utterances: Sequence[Utterance],
    scp: Path,
    fingerprint: str,
    workers: Workers,
    description: str,
) -> None:
    """Write the features of a set."""
    folder = scp.parent / UTTERANCES_FOLDER
    jobs = {u.utt_id: (u, np.arange(u.num_frames)) for u in utterances}
    audio = {utterance.utt_id: utterance.wav for utterance in utterances}
    # Files, because features are too much for the messages between processes.
    files = workers.map_named(
        functools.partial(write_features, config, workers.device, folder), jobs, description
    )

    def compute(utt_ids: Sequence[str]) -> Iterator[np.ndarray]:
        for path in files(utt_ids):
            yield np.load(path)
            path.unlink()

    made_of = identify(audio)
    described = {u.utt_id: [made_of[u.utt_id], u.num_samples] for u in utterances}
    settings = {"device": workers.device}
    made = Provenance(__name__, settings, {"audio": audio, "tokenizer": fingerprint})
    write_arks(scp, described, fingerprint, compute, np.float32, made)
    remove(folder)
