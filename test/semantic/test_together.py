"""Utterances are computed together only where each gets what it gets alone."""

import pytest
import torch

from espnet_stacodec.semantic.backends import build_upstream
from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig

LENGTHS = (16000, 15000, 9000, 801)


def waves() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(length, generator=generator) for length in LENGTHS]


@pytest.mark.parametrize(
    ("name", "together"), [("tiny_wavlm", True), ("tiny_whisper", True), ("tiny_hubert", False)]
)
def test_whether_together_is_found_out_and_said(name, together, request, caplog):
    """HuBERT-base's first norm is over time, and sees the padding."""
    folder = request.getfixturevalue(name)
    config = UpstreamConfig("tiny", 1, 4, "transformers", str(folder))
    upstream, ids = build_upstream(config), ["a", "b", "c", "d"]
    alone = [upstream.features(wave) for wave in waves()]
    for _ in range(2):
        with caplog.at_level("INFO"):
            found = upstream.features_together(waves(), ids)
        for one, other in zip(alone, found, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    how = "computed together" if together else "computed one by one"
    assert [how in record.message for record in caplog.records] == [True]
    ran = []
    hook = upstream._network.register_forward_hook(lambda *_: ran.append(1))
    upstream.features_together(waves(), ids)
    hook.remove()
    assert len(ran) == (1 if together else 4)


def test_utterances_of_one_length_do_not_decide_for_others(tiny_hubert):
    """Without padding every model has the same features together."""
    upstream = build_upstream(UpstreamConfig("tiny", 1, 4, "transformers", str(tiny_hubert)))
    first, second, third, _ = waves()
    upstream.features_together([first, first / 2], ["a", "b"])
    found = upstream.features_together([second, third], ["c", "d"])
    torch.testing.assert_close(found[1], upstream.features(third), rtol=0, atol=1e-4)


def test_audio_longer_than_a_window_does_not_decide_for_others(tiny_whisper, caplog):
    upstream = build_upstream(UpstreamConfig("tiny", 1, 4, "transformers", str(tiny_whisper)))
    long = waves()[0].repeat(31)
    with caplog.at_level("INFO"):
        found = upstream.features_together([long, long[:480000]], ["a", "b"])
    torch.testing.assert_close(found[0], upstream.features(long), rtol=0, atol=1e-4)
    assert "utterances are computed together" in caplog.text
    ran = []
    hook = upstream._network.register_forward_hook(lambda *_: ran.append(1))
    upstream.features_together(waves(), ["a", "b", "c", "d"])
    hook.remove()
    assert len(ran) == 1


def test_s3prl_says_how_long_each_is():
    upstream = build_upstream(UpstreamConfig("fbank", 0, 4))
    alone = [upstream.features(wave) for wave in waves()]
    found = upstream.features_together(waves(), ["a", "b", "c", "d"])
    assert [f.shape for f in found] == [f.shape for f in alone]
