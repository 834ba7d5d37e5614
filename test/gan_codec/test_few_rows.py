"""Products of few rows: those of the float32 matrix, read in float16 where that is the same."""

import copy
import functools
import gc
import pickle

import pytest
import torch
from causal_codecs import build_codec, build_generator, cut, cuts, speech
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from espnet_stacodec import AudioCoding
from espnet_stacodec.errors import ModelError
from espnet_stacodec.gan_codec import few_rows
from espnet_stacodec.gan_codec.few_rows import (
    FEWEST_WEIGHTS,
    LSTM,
    MOST_ROWS,
    Linear,
    round_to_half,
)

INPUTS, OUTPUTS = 256, 192
assert INPUTS * OUTPUTS >= FEWEST_WEIGHTS


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return Linear(INPUTS, OUTPUTS).requires_grad_(False)


@pytest.fixture
def calls(monkeypatch):
    """Record the products that read a copy in float16."""
    made = []
    own = torch.ops.quantized.linear_dynamic_fp16

    def counted(rows, copied):
        made.append(rows.shape)
        return own(rows, copied)

    monkeypatch.setattr(torch.ops.quantized, "linear_dynamic_fp16", counted)
    return made


def assert_is_linear(layer, rows):
    expected = nn.functional.linear(rows, layer.weight, layer.bias)
    torch.testing.assert_close(layer(rows), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, INPUTS), (2, 3, INPUTS), (MOST_ROWS, INPUTS)])
def test_few_rows_are_multiplied_with_the_copy(layer, calls, shape):
    round_to_half(layer)
    assert_is_linear(layer, torch.randn(shape))
    assert calls == [torch.Size(shape)]


def test_other_products_are_those_of_torch(layer, calls):
    rows = torch.randn(2, INPUTS)
    assert_is_linear(layer, rows)  # other numbers than float16 has
    round_to_half(layer)
    assert_is_linear(layer, torch.randn(MOST_ROWS + 1, INPUTS))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(rows).dtype == torch.bfloat16
    assert layer.double()(rows.double()).dtype == torch.float64
    assert layer.float().requires_grad_(True)(rows).requires_grad
    small = Linear(4, 4).requires_grad_(False)
    round_to_half(small)
    assert_is_linear(small, torch.randn(1, 4))
    assert calls == []


@pytest.mark.parametrize("what", ["rows", "bias"])
def test_gradients_are_those_of_torch(layer, calls, what):
    round_to_half(layer)
    rows = torch.randn(2, INPUTS)
    learned = rows if what == "rows" else layer.bias
    learned.requires_grad_(True)
    layer(rows).sum().backward()
    of_rows = layer.weight.sum(0).expand_as(rows)
    expected = of_rows if what == "rows" else torch.full_like(learned, 2)
    torch.testing.assert_close(learned.grad, expected)
    assert calls == []


def test_weights_that_were_made_in_inference_mode(layer, calls):
    rows = torch.randn(1, INPUTS)
    round_to_half(layer)
    with torch.inference_mode():
        made = copy.deepcopy(layer)
        assert_is_linear(made, rows)
    assert made.weight.is_inference() and len(calls) == 1


def test_a_changed_matrix_is_copied_again(layer, calls):
    rows = torch.randn(1, INPUTS)
    round_to_half(layer)
    assert_is_linear(layer, rows)
    layer.weight.mul_(2)
    assert_is_linear(layer, rows)
    layer.weight = nn.Parameter(torch.ones(OUTPUTS, INPUTS), requires_grad=False)
    assert_is_linear(layer, rows)
    assert len(calls) == 3


def test_a_copy_goes_with_its_layer():
    layer = Linear(INPUTS, OUTPUTS).requires_grad_(False)
    round_to_half(layer)
    layer(torch.randn(1, INPUTS))
    assert layer in few_rows._copies
    number = len(few_rows._copies)
    del layer
    gc.collect()
    assert len(few_rows._copies) < number


def test_what_float16_cannot_hold_is_refused(layer):
    layer.weight[0, 0] = 1e5
    with pytest.raises(ModelError, match=r"model.weight has 100000, beyond float16's largest"):
        round_to_half(nn.ModuleDict({"model": layer}))


def large() -> AudioCoding:
    """Return a causal codec with matrices that are worth a copy, of all kinds."""
    sizes = {"hidden": 192, "layers": 1, "heads": 2, "feed_forward": 256, "context_frames": 7}
    parts = {"bottleneck": sizes, "predistillation": {"transformer": sizes}}
    generator = build_generator(**parts, n_filters=16, dimension=32)
    return AudioCoding(generator, precision="float16")


def test_streams_have_the_codes_of_the_whole(calls):
    codec = large()
    wave = speech(40 * 320, seed=1)
    stream, player = codec.encoder_stream(), codec.decoder_stream()
    pieces = cut(wave, cuts(len(wave), 0, 900))
    codes = torch.cat([*(stream.push(piece) for piece in pieces), stream.flush()], 1)
    assert calls, "no product of the streams read a copy"
    whole = codec.encode(wave, 16000)
    assert torch.equal(codes, whole)
    audio = torch.cat([player.push(piece) for piece in codes.split(1, 1)])
    torch.testing.assert_close(audio, codec.decode(codes), rtol=0, atol=1e-5)


def test_codecs_with_copies_are_copied_and_pickled():
    codec = large()
    wave = speech(20 * 320, seed=2)
    codes = codec.encoder_stream().push(wave)
    for other in (copy.deepcopy(codec), pickle.loads(pickle.dumps(codec))):
        assert torch.equal(other.encoder_stream().push(wave), codes)


def test_every_large_weight_is_rounded():
    codec = large()
    for name, value in codec.generator.state_dict().items():
        if name.rsplit(".", 1)[1].startswith("weight") and value.dim() > 1:
            assert torch.equal(value, value.half().float()), name
    assert build_codec(precision="float32").precision == "float32"


@pytest.mark.parametrize("ways", [1, 2])
@pytest.mark.parametrize("batch_first", [True, False])
def test_an_lstm_is_that_of_torch(ways, batch_first):
    torch.manual_seed(0)
    lstm = LSTM(INPUTS, OUTPUTS, 2, bidirectional=ways == 2, batch_first=batch_first)
    lstm.requires_grad_(False)
    plain = nn.LSTM(INPUTS, OUTPUTS, 2, bidirectional=ways == 2, batch_first=batch_first)
    round_to_half(lstm)
    plain.load_state_dict(lstm.state_dict())
    x = torch.randn(3, 3, INPUTS)
    states = torch.randn(2, 2 * ways, 3, OUTPUTS).unbind()
    packed = pack_padded_sequence(
        x, torch.tensor([2, 1, 3]), enforce_sorted=False, batch_first=batch_first
    )
    close = functools.partial(torch.testing.assert_close, rtol=0, atol=1e-5)
    for given in ((x,), (x, states), (packed,), (packed, states)):
        (y, after), (expected, expected_after) = lstm(*given), plain(*given)
        if len(given) == 1:
            assert not torch.equal(after[0], expected_after[0]), "no copies were read"
        if isinstance(y, PackedSequence):
            y, expected = (pad_packed_sequence(z, batch_first)[0] for z in (y, expected))
        close(y, expected)
        close(after, expected_after)


def test_an_lstm_of_other_numbers_than_float16s_is_that_of_torch():
    torch.manual_seed(0)
    lstm = LSTM(INPUTS, OUTPUTS).requires_grad_(False)
    x = torch.randn(2, 1, INPUTS)
    expected = nn.LSTM.forward(lstm, x)[0]
    assert torch.equal(lstm(x)[0], expected)
    round_to_half(lstm)
    assert lstm.requires_grad_(True)(x)[0].requires_grad
