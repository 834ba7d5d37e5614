"""Steps that are counted on the host and in a buffer: the two never differ."""

import copy

import pytest
import torch

from espnet_stacodec.gan_codec.bottleneck import Bottleneck
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.gan_codec.stacodec import STACodec
from espnet_stacodec.gan_codec.step_counter import StepCounter


class Counting(StepCounter):
    counter = "steps"


def test_steps_are_counted_in_the_buffer_too():
    module = Counting()
    for expected in (1, 2, 3):
        module.advance()
        assert module.count() == int(module.state_dict()["steps"]) == expected


def test_a_loaded_state_and_a_copy_go_on_from_their_step():
    module, other = Counting(), Counting()
    module.advance()
    assert other.count() == 0
    other.load_state_dict(module.state_dict())
    for counting in (other, copy.deepcopy(module)):
        assert counting.count() == 1
        counting.advance()
        assert counting.count() == int(counting.state_dict()["steps"]) == 2
    assert module.count() == 1


def test_a_state_without_the_count_is_incomplete():
    with pytest.raises(RuntimeError, match="Missing key.*steps"):
        Counting().load_state_dict({})


class Unreadable(torch.Tensor):
    """A tensor whose value nobody may wait for."""

    def item(self):
        raise AssertionError("the host read a counter from the device")

    def __int__(self) -> int:
        return self.item()

    def __float__(self) -> float:
        return self.item()

    def __bool__(self) -> bool:
        return self.item()


@pytest.mark.parametrize("predicted", [False, True])
def test_a_training_step_reads_no_counter_from_the_device(
    tiny_codec_conf, toy_utterance, predicted
):
    transformer = {"hidden": 8, "layers": 1, "heads": 2, "feed_forward": 12, "window": 10}
    params = tiny_codec_conf["generator_params"] | {"semantic_clusters": 8}
    if predicted:
        params["predistillation"] = {"transformer": transformer | {"overlap": 3}}
    codec = STACodec(**tiny_codec_conf | {"generator_params": params})
    audio, tokens = (torch.from_numpy(a)[None] for a in toy_utterance(0, 20))
    codec(audio, semantic=tokens.long())
    counters = [m for m in codec.modules() if isinstance(m, StepCounter)]
    assert len(counters) == 3 if predicted else 2
    for module in counters:
        value = getattr(module, module.counter)
        module._buffers[module.counter] = value.as_subclass(Unreadable)
    codec(audio, semantic=tokens.long())
    assert {module.count() for module in counters} == {2}


def test_a_window_that_needs_no_filling_has_no_mask_to_be_looked_at(tiny_codec_conf):
    """`all()` of a mask on a device would wait for it."""
    sizes = {"hidden": 8, "layers": 1, "heads": 2, "feed_forward": 12, "window": 10, "overlap": 3}
    params = tiny_codec_conf["generator_params"] | {"assignment": "none"}
    generator = STACodecGenerator(16000, **params, bottleneck=sizes)
    masks = []
    assert isinstance(generator.bottleneck, Bottleneck)
    transformer = generator.bottleneck.transformer
    transformer.register_forward_pre_hook(
        lambda module, args, kwargs: masks.append(kwargs["src_key_padding_mask"]),
        with_kwargs=True,
    )
    generator.encode(torch.zeros(2, 1, 6400))
    assert masks == [None]
