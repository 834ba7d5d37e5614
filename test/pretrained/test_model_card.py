"""What a card says of a codec."""

from causal_codecs import build_generator

from espnet_stacodec.pretrained.experiment import Experiment
from espnet_stacodec.pretrained.model_card import describe


def said_of(streaming_experiment, **params):
    return describe(Experiment.open(streaming_experiment), build_generator((1, 2), **params))


def test_only_what_can_encode_streams_is_said_to_stream(streaming_experiment):
    assert said_of(streaming_experiment).endswith(" It streams, 80 ms behind the voice.")
    # Causal, but its tokens come from an SSL model that hears the whole.
    assert "stream" not in said_of(streaming_experiment, predistillation=None)
