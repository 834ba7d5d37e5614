"""A generator from its configuration."""

import pytest

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.pretrained.checkpoint import build_generator


@pytest.mark.parametrize("codec_conf", [{}, {"generator_params": None}])
def test_null_is_what_a_key_that_is_left_out_is(codec_conf):
    with pytest.raises(ConfigError, match="assignment 'sta' needs semantic tokens"):
        build_generator(codec_conf, "config.yaml")
