"""What happens to an utterance after ESPnet's own preprocessing."""

import argparse
from functools import partial

import numpy as np
import pytest
import torch
from espnet2.iterators.sequence_iter_factory import worker_init_fn
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed
from torch.utils.data import DataLoader

from espnet_stacodec.errors import LengthError, TokenError
from espnet_stacodec.frames import FrameRule
from espnet_stacodec.iterators.augmentation import Augmentation
from espnet_stacodec.tasks import preprocessors
from espnet_stacodec.tasks.preprocessors import (
    AlignedPreprocessor,
    AugmentingPreprocessor,
    WholeFramePreprocessor,
)
from espnet_stacodec.tasks.stacodec import STACodecTask


def test_preprocessing_brings_tokens_to_the_frames_of_the_audio():
    prepare = AlignedPreprocessor(None, FrameRule(320, 16000), 8)

    def run(samples: int, tokens: list[int]) -> list[int]:
        data = {"audio": np.zeros(samples, np.float32), "semantic": np.array(tokens, np.int32)}
        return prepare("utt", data)["semantic"].tolist()

    assert run(640, [3, 4]) == [3, 4]
    assert run(641, [3, 4]) == [3, 4, 4]
    assert run(640, [3, 4, 5]) == [3, 4]
    with pytest.raises(LengthError, match="^utt: 2 semantic tokens for 4 codec frames"):
        run(1280, [3, 4])
    for wrong in (8, -1):
        with pytest.raises(TokenError, match=f"^utt: token {wrong} is outside 0 to 7"):
            run(640, [3, wrong])
    assert "semantic" not in prepare("utt", {"audio": np.zeros(4, np.float32)})


def test_preprocessing_brings_features_to_the_frames_of_the_audio():
    prepare = AlignedPreprocessor(None, FrameRule(320, 16000), 8)

    def run(samples: int, frames: int) -> list[int]:
        features = np.arange(2 * frames, dtype=np.float32).reshape(frames, 2)
        made = prepare("utt", {"audio": np.zeros(samples, np.float32), "features": features})
        assert made["features"].dtype == np.float32
        return made["features"].tolist()

    assert run(640, 2) == [[0, 1], [2, 3]]
    assert run(641, 2) == [[0, 1], [2, 3], [2, 3]]
    assert run(320, 2) == [[0, 1]]
    with pytest.raises(LengthError, match="^utt: 2 .* for 4 codec frames"):
        run(1280, 2)


def test_preprocessing_changes_the_audio_first():
    """Here it halves it, as a preprocessor that selects a channel or resamples might."""
    prepare = AlignedPreprocessor(
        lambda uid, data: data | {"audio": data["audio"][::2]}, FrameRule(320, 16000), None
    )
    data = {"audio": np.zeros(1280, np.float32), "semantic": np.array([99, 98])}
    assert prepare("utt", data)["semantic"].tolist() == [99, 98]


def test_espnets_codecs_get_whole_frames():
    prepare = WholeFramePreprocessor(None, FrameRule(4, 16000))
    for length, expected in ((3, 4), (4, 4), (5, 8)):
        audio = prepare("utt", {"audio": np.ones(length, np.float32)})["audio"]
        assert audio.tolist() == [1.0] * length + [0.0] * (expected - length)


def test_augmentation_changes_the_audio_and_leaves_the_tokens():
    louder = Augmentation(16000, gain_db=(6, 6))
    prepare = AugmentingPreprocessor(None, louder)
    data = {"audio": np.full(640, 0.1, np.float32), "semantic": np.array([3, 4])}
    made = prepare("utt", data)
    np.testing.assert_allclose(made["audio"], 0.1 * 10 ** (6 / 20), rtol=1e-5)
    assert made["semantic"].tolist() == [3, 4]
    assert data["audio"][0] == np.float32(0.1)


@pytest.mark.parametrize("train", [True, False])
def test_only_training_audio_is_augmented(train):
    parser = STACodecTask.get_parser()
    args = parser.parse_args(["--augmentation_conf", "gain_db=[6,6]", "--output_dir", "unused"])
    args = argparse.Namespace(**vars(args) | {"fs": 16000, "frame_shift": 320})
    audio = np.full(640, 0.1, np.float32)
    made = STACodecTask.build_preprocess_fn(args, train)("utt", {"audio": audio})["audio"]
    assert np.array_equal(made, audio) != train


SEED = 4  # that of the options and the epoch
CHANGES = Augmentation(16000, gain_db=(-20, 6), noise_share=0.5, equalizer_share=0.5)
RAMP = np.linspace(-0.1, 0.1, 640, dtype=np.float32)


def changed(prepare: AugmentingPreprocessor, items: list[int]) -> np.ndarray:
    return prepare("utt", {"audio": RAMP})["audio"]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_ranks_change_their_audio_differently(monkeypatch, num_workers):
    """The first as a training of one process does; torch's numbers are the same on all."""

    def on_rank(rank: int) -> tuple[list[np.ndarray], float]:
        monkeypatch.setattr(preprocessors, "own_rank", lambda: rank)
        prepare = AugmentingPreprocessor(None, CHANGES)
        set_all_random_seed(SEED)
        loader: DataLoader = DataLoader(
            range(6),  # type: ignore[arg-type]
            num_workers=num_workers,
            collate_fn=partial(changed, prepare),
            worker_init_fn=partial(worker_init_fn, base_seed=SEED),
        )
        return list(loader), float(torch.rand(1))

    ranks = [on_rank(rank) for rank in range(3)]
    random = np.random.RandomState(SEED)
    for audio in ranks[0][0]:
        np.testing.assert_array_equal(audio, CHANGES(RAMP, random))
    assert len({audio.tobytes() for made, _ in ranks for audio in made}) == 18
    assert len({number for _, number in ranks}) == 1
    for one, other in zip(ranks[2][0], on_rank(2)[0], strict=True):
        np.testing.assert_array_equal(one, other)
