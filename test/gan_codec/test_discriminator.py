"""The discriminator is ESPnet's, of the options that a configuration has."""

import pytest

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.discriminator import build_discriminator


def test_options_reach_its_parts():
    built = build_discriminator({"filters": 2, "max_filters": 3, "filters_scale": 2}, "here")
    assert {conv.conv.out_channels for conv in built.discriminators[0].convs} == {2, 3}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"filtres": 2}, "here: unknown key filtres; known.*filters"),
        ({"filters": 0}, "here: ESPnet's .*'filters': 0"),
        ({"norm": "foo"}, "here: ESPnet's .*'norm': 'foo'"),
        ({"n_ffts": 256}, "here: .* lists must be equally long"),
    ],
)
def test_what_cannot_be_built(params, message):
    with pytest.raises(ConfigError, match=message):
        build_discriminator(params, "here")
