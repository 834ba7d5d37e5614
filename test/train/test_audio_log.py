"""Tensorboard gets audio and spectrograms of a training's validation."""

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from espnet_stacodec.train.audio_log import spectrograms


def test_audio_and_spectrograms_of_every_second_epoch(toy_task, tmp_path):
    out = toy_task.train(
        tmp_path / "exp", use_tensorboard=True, audio_log_epochs=2, max_epoch=2, num_scored_utts=2
    )
    events = EventAccumulator(str(out / "tensorboard" / "valid")).Reload()
    names = {f"utterance_{n}/{what}" for n in (1, 2) for what in ("original", "resynthesized")}
    assert set(events.Tags()["audio"]) == names
    assert [event.step for event in events.Audio("utterance_1/original")] == [2]
    assert events.Audio("utterance_1/original")[0].sample_rate == 16000
    assert set(events.Tags()["images"]) == {f"utterance_{n}/spectrograms" for n in (1, 2)}


def test_spectrograms_share_their_scale(noise):
    loud = spectrograms([noise(1600), noise(1600)], 16000)
    assert loud.shape == (160, 11, 3) and loud.min() >= 0 and loud.max() <= 1
    quiet = spectrograms([noise(1600), 0.01 * noise(1600)], 16000)
    assert np.array_equal(quiet[:80], loud[:80])
    assert quiet[80:].mean() < loud[80:].mean()
