"""What a configuration gets from the tokenizer of a training."""

import argparse

from espnet_stacodec.frames import FrameRule
from espnet_stacodec.tasks.stacodec import check_windows
from espnet_stacodec.tasks.trained_tokenizer import with_tokenizer


def test_null_is_the_codec_with_all_defaults(toy_task):
    """As the documentation of `generator_params` says."""
    args = argparse.Namespace(
        codec_conf={"generator_params": None},
        semantic_tokenizer=str(toy_task.tokenizer),
        chunk_length="32000",
    )
    made = with_tokenizer(args)
    assert made["generator_params"].keys() == {"semantic_clusters"}
    check_windows(args, FrameRule(320, 16000))
