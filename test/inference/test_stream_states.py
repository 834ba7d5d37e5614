"""What streams remember: copied, pickled, moved to others, and refused where it is none."""

import copy
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from causal_codecs import HOP, SPECTRAL, build_codec, speech
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_stacodec import AudioCoding
from espnet_stacodec.errors import DataError
from espnet_stacodec.streaming.state import State

EXAMPLES = settings(max_examples=8, deadline=None, derandomize=True, database=None)
DIRECTIONS = ["encoder", "decoder"]
FRAMES = 20


@pytest.fixture(scope="module", params=[{}, SPECTRAL], ids=["seanet", "spectral"])
def codec(request) -> AudioCoding:
    return build_codec(**request.param)


def moved(streams: Any) -> Any:
    """Return new streams that are given the state of others, as in another process."""
    new = copy.deepcopy(streams)
    new.flush()
    new.state = pickle.loads(pickle.dumps(streams.state))
    return new


WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda streams: pickle.loads(pickle.dumps(streams)),  # with its codec
    "state": moved,
}


def signals(codec: AudioCoding, direction: str) -> list[Any]:
    """Return audio, or codes, of two conversations."""
    if direction == "encoder":
        return [torch.from_numpy(speech(FRAMES * HOP, seed)) for seed in range(2)]
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 8, (3, FRAMES), generator=generator) for _ in range(2)]


def whole(codec: AudioCoding, direction: str, signal: torch.Tensor) -> torch.Tensor:
    return codec.encode(signal, 16000) if direction == "encoder" else codec.decode(signal)


def check_equal(parts: list[torch.Tensor], expected: torch.Tensor) -> None:
    """Codes are the same; audio is up to rounding."""
    found = torch.cat(parts, -1)
    tolerance = 1e-5 if found.is_floating_point() else 0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


@EXAMPLES
@given(
    way=st.sampled_from(list(WAYS)),
    direction=st.sampled_from(DIRECTIONS),
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=4).map(sorted),
)
def test_a_stream_goes_on_elsewhere(codec, way, direction, cuts):
    signal, other = signals(codec, direction)
    length = signal.shape[-1]
    borders = [0, *(int(cut * length) for cut in cuts), length]
    stream, parts = getattr(codec, f"{direction}_stream")(), []
    for start, stop in itertools.pairwise(borders):
        parts.append(stream.push(signal[..., start:stop]))
        twin = WAYS[way](stream)
        stream.push(other)  # which the twin does not hear
        stream = twin
    check_equal([*parts, stream.flush()], whole(codec, direction, signal))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_several_streams_go_on_elsewhere(codec, way, direction):
    """Each has had another number of samples, and neither copy hears the other."""
    pair = signals(codec, direction)
    borders = [pair[0].shape[-1] // 3, pair[0].shape[-1] // 2]
    streams = getattr(codec, f"{direction}_streams")(2)
    first = streams.push([x[..., :cut] for x, cut in zip(pair, borders, strict=True)])
    twins = WAYS[way](streams)
    rest = [x[..., cut:] for x, cut in zip(pair, borders, strict=True)]
    for one in (twins, streams):
        made = one.push(rest)
        for row, last in enumerate(one.flush()):
            expected = whole(codec, direction, pair[row])
            check_equal([first[row], made[row], last], expected)


def test_a_copied_state_is_another_one(codec):
    state = codec.encoder_stream().state
    for copied in (copy.copy(state), copy.deepcopy(state), state.clone()):
        copied["num_samples"] += 1
        assert not state["num_samples"].any()


def refused(streams: Any, state: Any, message: str) -> None:
    """Setting a state says so in one sentence, and changes nothing."""
    before = streams.state
    with pytest.raises(DataError, match=message) as raised:
        streams.state = state
    assert "\n" not in str(raised.value)
    after = streams.state
    assert list(after) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in after.items())


@pytest.fixture
def used() -> Callable[[AudioCoding, str], Any]:
    """A stream that has something to remember."""

    def make(codec: AudioCoding, direction: str) -> Any:
        stream = getattr(codec, f"{direction}_stream")()
        stream.push(signals(codec, direction)[0][..., :4321])
        return stream

    return make


def test_a_state_of_something_else(codec, used):
    other, retrained = build_codec((0, 0)), build_codec(seed=1)
    several, player = codec.encoder_streams(2), codec.decoder_stream()
    for stream in (other.encoder_stream(), retrained.encoder_stream(), several, player):
        refused(used(codec, "encoder"), stream.state, "state is of another codec")


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_state_of_another_precision(used, precision, direction):
    own, other = build_codec(**SPECTRAL), build_codec(precision=precision, **SPECTRAL)
    assert own.fingerprint == other.fingerprint
    message = "of another precision"
    refused(used(own, direction), getattr(other, f"{direction}_stream")().state, message)
    refused(used(other, direction), getattr(own, f"{direction}_stream")().state, message)


@pytest.mark.parametrize("state", [{}, None, "state"])
def test_a_state_that_is_none(codec, used, state):
    refused(used(codec, "encoder"), state, "A .* is no state of a stream, which is what")


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.to("meta"),
        lambda x: x.tolist(),
        lambda x: None,
        lambda x: x.numpy(),
        lambda x: x[:0],
        lambda x: x.to(torch.float16 if x.is_floating_point() else torch.int32),
        lambda x: x.to_sparse(),
        lambda x: torch.nested.nested_tensor([x]),
    ],
)
def test_a_state_with_something_else_in_it(codec, used, direction, change):
    """Whichever part it is: what stands before it is not taken."""
    new = getattr(codec, f"{direction}_stream")().state
    for name in (next(iter(new)), list(new)[-1]):
        state = State({**new, name: change(new[name])}, new.made_by)
        refused(used(codec, direction), state, "state is of another codec")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_state_that_lacks_something(codec, used, direction):
    state = getattr(codec, f"{direction}_stream")().state
    del state[list(state)[-1]]
    refused(used(codec, direction), state, "state is of another codec")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_samples", HOP, rf"num_samples {HOP} is not below {HOP}, a frame\); set it as"),
        ("num_samples", 5000, "num_samples 5000 is not below"),
        ("num_samples", -1, "num_samples has values below 0"),
        ("num_frames", -1, "num_frames has values below 0"),
        ("samples", torch.nan, "samples has values that are NaN or infinite"),
        ("samples", -torch.inf, "samples has values that are NaN or infinite"),
    ],
)
def test_a_state_of_what_no_stream_remembers(codec, used, name, value, message):
    state = codec.encoder_stream().state
    state[name].fill_(value)
    refused(used(codec, "encoder"), state, f"changed since a stream returned it.*{message}")


def test_a_state_that_was_taken_is_not_tied_to_the_given_one(codec, used):
    """Nor to a gradient, or to the storage that its tensors are parts of."""
    stream = used(codec, "decoder")
    state = stream.state
    for name, tensor in list(state.items()):
        if tensor.is_floating_point():
            state[name] = torch.stack([tensor, tensor])[1].requires_grad_()
    player = codec.decoder_stream()
    player.state = state
    signal = signals(codec, "decoder")[1]
    audio = player.push(signal)
    assert torch.equal(audio, stream.push(signal)) and not audio.requires_grad
    held = [tensor.untyped_storage().nbytes() for tensor in player._streams._state.values()]
    assert sum(held) == player.state_bytes
