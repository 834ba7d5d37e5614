"""Training options that no training can have, which ESPnet takes as they are."""

import argparse
from typing import Any

import pytest

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.tasks.training_options import check_options


def options(**changes: Any) -> argparse.Namespace:
    """ESPnet's arguments, some of which are changed."""
    mappings = ("codec", "augmentation", "optim", "optim2", "scheduler", "scheduler2")
    given: dict[str, Any] = {f"{name}_conf": {} for name in mappings}
    given |= {"batch_size": 20, "valid_batch_size": None, "accum_grad": 1, "max_epoch": 40}
    given |= {"num_cache_chunks": 1024, "num_iters_per_epoch": None, "num_workers": 0, "seed": 0}
    given |= {"num_scored_utts": 0, "audio_log_epochs": 0, "chunk_shift_ratio": 0.5}
    given["best_model_criterion"] = [("valid", "mel_loss", "min")]
    return argparse.Namespace(**given | changes)


def test_what_can_be_trained_is_left_as_it_is():
    given = options(codec_conf={"generator_params": None, "discriminator_params": {"filters": 2}})
    before = dict(vars(given))
    check_options(given)
    assert vars(given) == before


def test_a_mapping_that_is_null_is_empty():
    given = options(codec_conf=None, augmentation_conf=None, optim_conf=None)
    check_options(given)
    assert (given.codec_conf, given.augmentation_conf, given.optim_conf) == ({}, {}, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "train_config: batch_size 0 is below 1."),
        ({"batch_size": 2.5}, "train_config: batch_size 2.5 is no whole number."),
        ({"batch_size": None}, "train_config: batch_size None is no whole number."),
        ({"valid_batch_size": 0}, "train_config: valid_batch_size 0 is below 1."),
        ({"accum_grad": -1}, "train_config: accum_grad -1 is below 1."),
        ({"max_epoch": 0}, "train_config: max_epoch 0 is below 1."),
        ({"num_workers": -1}, "train_config: num_workers -1 is below 0."),
        ({"seed": -1}, "train_config: seed -1 is outside 0"),
        ({"chunk_shift_ratio": 0.0}, "train_config: chunk_shift_ratio 0.0 is not above 0."),
        (
            {"best_model_criterion": [("valid", "mel_loss", "minn")]},
            "train_config: best_model_criterion .valid, mel_loss, minn. is not",
        ),
        (
            {"best_model_criterion": [("test", "mel_loss", "min")]},
            "train_config: best_model_criterion .test, mel_loss, min. is not",
        ),
        ({"codec_conf": [1]}, "codec_conf: .1. is no mapping"),
        ({"codec_conf": {"generator_params": "a"}}, "codec_conf.generator_params: 'a' is no map"),
        ({"augmentation_conf": 5}, "augmentation_conf: 5 is no mapping"),
    ],
)
def test_what_no_training_can_have(changes, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        check_options(options(**changes))
