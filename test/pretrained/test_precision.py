"""Weights in files: half precision, and codebooks without their running sums."""

import pytest
import torch

from espnet_stacodec.errors import ModelError
from espnet_stacodec.gan_codec.quantizer.codebook import Codebook
from espnet_stacodec.pretrained.precision import in_half, with_sums, without_sums


def test_what_is_rounded():
    state = {
        "a.weight": torch.full((2, 3), 1 + 2.0**-12),
        "a.bias": torch.full((3,), 1 + 2.0**-12),
        # Half precision would make it zero, and the entry one that cannot be chosen.
        "q.cluster_size": torch.full((3,), 1e-9),
        "steps": torch.tensor([[100_000]]),
    }
    rounded = in_half(state, "x")
    assert rounded["a.weight"].dtype == torch.float16 and (rounded["a.weight"] == 1).all()
    for name in ("a.bias", "q.cluster_size", "steps"):
        assert torch.equal(rounded[name], state[name]) and rounded[name].dtype == state[name].dtype
    again = in_half(rounded, "x")
    assert all(torch.equal(again[name], rounded[name]) for name in state)


def test_a_weight_beyond_float16_is_refused():
    with pytest.raises(ModelError, match=r"^x: a.weight has 70000, beyond float16's largest"):
        in_half({"a.weight": torch.tensor([[1.0, -70000.0]])}, "x")


def test_running_sums_follow_from_the_rest():
    torch.manual_seed(0)
    codebook = Codebook(4, 2)
    codebook.initialize(torch.randn(9, 2), None, 0)
    codebook.update(torch.randn(9, 2), torch.randint(4, (9,)))
    state = {f"layers.0.{name}": value for name, value in codebook.state_dict().items()}
    bare = without_sums(state)
    assert set(state) - set(bare) == {"layers.0.embed_sum"}
    complete = with_sums(bare)
    assert set(complete) == set(state)
    torch.testing.assert_close(complete["layers.0.embed_sum"], state["layers.0.embed_sum"])
    # Those that are there stay as they are, and what is no codebook gets none.
    assert with_sums(state)["layers.0.embed_sum"] is state["layers.0.embed_sum"]
    assert with_sums({"words.embed": torch.ones(2, 2)}).keys() == {"words.embed"}
