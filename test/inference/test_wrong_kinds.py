"""What is no array, and tensors that are none: one sentence, and nothing has changed."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from causal_codecs import HOP, SPECTRAL, build_codec, speech

from espnet_stacodec import AudioCoding
from espnet_stacodec.errors import DataError, STACodecError, TokenError

WAVE = torch.from_numpy(speech(5 * HOP, 1))
CODES = torch.arange(6).reshape(3, 2)
PIECES: dict[str, Any] = {
    "list": [0.1, 0.2],
    "NoneType": None,
    "str": "samples",
    "bytes": b"samples",
    "memoryview": memoryview(b"samples"),
    "float32": np.float32(0.1),
    "int": 1,
}
TENSORS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "meta device": lambda x: x.to("meta"),
    "layout sparse_coo": lambda x: x.to_sparse(),
    "layout mkldnn": lambda x: x.float().to_mkldnn(),
    "nested": lambda x: torch.nested.nested_tensor([x]),
    "nested tensor": lambda x: torch.nested.nested_tensor([x], layout=torch.jagged),
    "quantized": lambda x: torch.quantize_per_tensor(x.float(), 0.1, 0, torch.qint8),
}
CODE_TYPES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "bfloat16": torch.Tensor.bfloat16,
    "float8_e4m3fn": lambda x: x.float().to(torch.float8_e4m3fn),
    "float32": lambda x: x.float().requires_grad_(),
    "complex64": lambda x: x.to(torch.complex64).conj(),
    "bool": torch.Tensor.bool,
}


@pytest.fixture(scope="module")
def codec() -> AudioCoding:
    return build_codec(**SPECTRAL)


def refused(work: Callable[[], object], kind: type[STACodecError], *parts: str) -> None:
    with pytest.raises(kind, match=".*".join(map(re.escape, parts))) as raised:
        work()
    assert "\n" not in str(raised.value)


def check_pushes(streams: Any, good: Any, bad: Any, kind: type[STACodecError], *parts: str) -> None:
    """One stream of two refuses; both are as they were."""
    streams.push([good, good])
    before = streams.state
    refused(lambda: streams.push([good, bad]), kind, "stream 1: ", *parts)
    assert all(torch.equal(value, before[name]) for name, value in streams.state.items())


@pytest.mark.parametrize("name", [name for name in PIECES if name != "NoneType"])
def test_what_is_no_array_is_refused_wherever_it_stands(codec, name):
    piece = PIECES[name]
    # In a list of several: the first and a later one.
    check_pushes(
        codec.encoder_streams(2), WAVE, piece, DataError, "expected samples", f"got {name}"
    )
    check_pushes(codec.decoder_streams(2), CODES, piece, TokenError, "integers (n, T)", name)
    refused(lambda: codec.encode([WAVE, piece], 16000), DataError, "wave 1: ", f"got {name}")
    refused(lambda: codec.decode([CODES, piece]), TokenError, "Codes must be", f"not {name}")


@pytest.mark.parametrize("name", PIECES)
def test_what_is_no_array_alone(codec, name):
    piece = PIECES[name]
    refused(lambda: codec.encoder_stream().push(piece), DataError, "stream 0: ", f"got {name}")
    refused(lambda: codec.decoder_stream().push(piece), TokenError, "stream 0: ", f"not {name}")
    refused(lambda: codec.latents(piece), TokenError, "Codes must be integers", f"not {name}")
    # Lists are of several, and so are texts to Python.
    refused(lambda: codec.encode(piece, 16000), DataError, "wave 0: expected samples")
    refused(lambda: codec.decode(piece), TokenError, "Codes must be integers")


@pytest.mark.parametrize("make", ["encoder_streams", "decoder_streams"])
@pytest.mark.parametrize("pieces", [None, WAVE, np.zeros((2, 50)), 2, {0: WAVE, 1: WAVE}])
def test_pieces_of_several_streams_are_a_list(codec, make, pieces):
    streams = getattr(codec, make)(2)
    refused(lambda: streams.push(pieces), DataError, "as a list, one for each of the 2 streams")


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_are_no_arrays(codec, name):
    wave, codes = TENSORS[name](WAVE), TENSORS[name](CODES)
    check_pushes(codec.encoder_streams(2), WAVE, wave, DataError, "ordinary tensor, got", name)
    check_pushes(codec.decoder_streams(2), CODES, codes, TokenError, "ordinary tensor, not", name)
    refused(lambda: codec.encode(wave, 8000), DataError, "wave 0: ", name)
    refused(lambda: codec.decode(codes), TokenError, name)
    refused(lambda: codec.latents(codes, [0, 1, 2]), TokenError, name)


@pytest.mark.parametrize("name", CODE_TYPES)
def test_codes_of_no_integers(codec, name):
    codes = CODE_TYPES[name](CODES)
    parts = ("Codes must be integers (n, T) of 1 to 3 codebooks, not ", f"{name} (3, 2).")
    check_pushes(codec.decoder_streams(2), CODES, codes, TokenError, *parts)
    refused(lambda: codec.decode(codes), TokenError, *parts)
    refused(lambda: codec.latents(codes), TokenError, *parts)


@pytest.mark.parametrize("dtype", [float, object, bool, "U1"])
def test_codes_without_frames_have_their_type_too(codec, dtype):
    nothing = np.zeros((3, 0), dtype)
    check_pushes(codec.decoder_streams(2), CODES, nothing, TokenError, "Codes must be integers")


def test_samples_of_several_numbers_in_a_byte(codec):
    wave = torch.zeros(4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    check_pushes(codec.encoder_streams(2), WAVE, wave, DataError, "got float4")


def test_tensors_that_only_look_at_others_are_taken(codec):
    """A gradient that is asked for, and numbers that are negated where they are read."""
    negated = torch.complex(torch.zeros(len(WAVE)), -WAVE).conj().imag
    assert negated.is_neg()
    for wave in (WAVE.clone().requires_grad_(), torch.nn.Parameter(WAVE), negated):
        stream = codec.encoder_stream()
        codes = torch.cat([stream.push(wave), stream.flush()], 1)
        assert torch.equal(codes, codec.encode(WAVE, 16000))
        assert torch.equal(codec.encode(wave, 8000), codec.encode(WAVE, 8000))
    audio = codec.decode(CODES)
    assert torch.equal(codec.decode(torch._neg_view(-CODES)), audio)
    assert torch.equal(codec.decoder_stream().push(torch._neg_view(-CODES)), audio)


@pytest.mark.parametrize("name", [*TENSORS, "bfloat16", "float32"])
def test_semantic_tokens_of_wrong_kinds(name):
    codec = build_codec(predistillation=None)
    tokens = (TENSORS | CODE_TYPES)[name](torch.zeros(5))
    refused(lambda: codec.encode(WAVE, 16000, tokens), TokenError, "wave 0: ", name)
