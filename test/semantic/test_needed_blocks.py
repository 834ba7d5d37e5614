"""Blocks behind the chosen layer are not computed, and its features are the very same."""

from pathlib import Path

import pytest
import torch

from espnet_stacodec.semantic.backends import build_upstream
from espnet_stacodec.semantic.needed_blocks import Blocks
from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig


def upstream(folder: Path, layer: int, backend: str = "transformers"):
    name = "hf_hubert_custom" if backend == "s3prl" else "tiny"
    return build_upstream(UpstreamConfig(name, layer, 4, backend, str(folder)))


def computed(model: torch.nn.Module, run) -> int:
    """Return how many feed-forward layers run."""
    ran = []
    first = ("intermediate_dense", "fc1")
    hooks = [
        module.register_forward_hook(lambda *_: ran.append(1))
        for name, module in model.named_modules()
        if name.endswith(first)
    ]
    run()
    for hook in hooks:
        hook.remove()
    return len(ran)


@pytest.mark.parametrize("backend", ["transformers", "s3prl"])
@pytest.mark.parametrize("name", ["tiny_hubert", "tiny_wavlm", "tiny_whisper"])
def test_as_many_blocks_as_the_layer_says(name, backend, request, monkeypatch):
    if backend == "s3prl" and name != "tiny_hubert":
        pytest.skip("S3PRL reads HuBERT's folders only")
    folder = request.getfixturevalue(name)
    wave = 0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
    blocks = 3 if name == "tiny_wavlm" else 2
    for layer in range(blocks + 1):
        fast = upstream(folder, layer, backend)
        with monkeypatch.context() as patch:
            patch.setattr(Blocks, "skip", lambda self, number: [])
            whole = upstream(folder, layer, backend)
        assert computed(whole._network, lambda model=whole: model.features(wave)) == blocks
        assert computed(fast._network, lambda model=fast: model.features(wave)) == layer
        assert torch.equal(fast.features(wave), whole.features(wave))


def test_all_are_computed_where_skipping_changes_the_features(tiny_hubert, monkeypatch, caplog):
    wave = 0.1 * torch.randn(16000)
    expected = upstream(tiny_hubert, 1).features(wave)
    before = Blocks.__init__

    def one_too_many(self: Blocks, network: torch.nn.Module, layer: int) -> None:
        before(self, network, layer - 1)

    monkeypatch.setattr(Blocks, "__init__", one_too_many)
    with caplog.at_level("INFO"):
        found = upstream(tiny_hubert, 1)
    assert "all 2 blocks are computed" in caplog.text
    assert computed(found._network, lambda: found.features(wave)) == 2
    assert torch.equal(found.features(wave), expected)
