"""Training options that no training can have, which ESPnet takes as they are."""

import argparse
from typing import Any

import pytest

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.tasks.stacodec import STACodecTask
from espnet_stacodec.tasks.training_options import check_options

PARSER = STACodecTask.get_parser()


def options(**changes: Any) -> argparse.Namespace:
    """The task's options, some of which are changed as a YAML file changes them."""
    return argparse.Namespace(**vars(PARSER.parse_args([])) | changes)


def test_what_can_be_trained_is_left_as_it_is():
    given = options(codec_conf={"generator_params": None, "discriminator_params": {"filters": 2}})
    before = dict(vars(given))
    check_options(given, PARSER)
    assert vars(given) == before


def test_a_mapping_that_is_null_is_empty():
    given = options(codec_conf=None, augmentation_conf=None, optim_conf=None)
    check_options(given, PARSER)
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
        ({"valid_batch_size": 2.5}, "train_config: valid_batch_size 2.5 is no whole number."),
        ({"max_epoch": True}, "train_config: max_epoch True is no whole number."),
        # Equal to the default.
        ({"max_epoch": 40.0}, "train_config: max_epoch 40.0 is no whole number."),
        ({"accum_grad": True}, "train_config: accum_grad True is no whole number."),
        ({"grad_clip": [5]}, "train_config: grad_clip .5. is no number."),
        ({"use_amp": 1}, "train_config: use_amp 1 is neither true nor false."),
        (
            {"batch_type": "foo"},
            "train_config: batch_type 'foo' is unknown; known are unsorted,",
        ),
        (
            {"scheduler": "cosine"},
            "train_config: scheduler 'cosine' is unknown; known are reduce",
        ),
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
        check_options(options(**changes), PARSER)
