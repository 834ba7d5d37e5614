"""The trainer: the adversary's turn, and scores that are heard."""

import dataclasses
import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from espnet2.train.gan_trainer import GANTrainer

from espnet_stacodec.train import stacodec_trainer
from espnet_stacodec.train.stacodec_trainer import (
    STACodecTrainer,
    STACodecTrainerOptions,
    objective_scores,
)


@dataclasses.dataclass
class Options:
    """The options of ESPnet's loop that are looked at."""

    log_interval: int | None = None
    skip_discriminator_prob: float = 0.0


class Parts:
    """Stands in for ESPnet's training loop: notes which batches it is given, and how."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, list]] = []

    def __call__(self, *, iterator, options, **kwargs) -> bool:
        self.calls.append((options.skip_discriminator_prob, list(iterator)))
        return not self.calls[-1][1]


@pytest.mark.parametrize(
    ("done", "batches", "expected"),
    [
        (0, 5, [(1.0, [0, 1, 2]), (0.0, [3, 4])]),
        (2, 5, [(1.0, [0]), (0.0, [1, 2, 3, 4])]),
        (3, 2, [(0.0, [0, 1])]),
        (9, 2, [(0.0, [0, 1])]),
        # With nothing left the loop still runs: it tells the other ranks that this one stops.
        (0, 2, [(1.0, [0, 1]), (0.0, [])]),
        (0, 3, [(1.0, [0, 1, 2]), (0.0, [])]),
    ],
)
def test_an_epoch_is_split_where_the_adversary_starts(monkeypatch, done, batches, expected):
    parts = Parts()
    monkeypatch.setattr(GANTrainer, "train_one_epoch", parts)
    codec = SimpleNamespace(adversary_start_step=3, generator_steps=torch.tensor(done))
    model: Any = SimpleNamespace(codec=codec)
    iterator: Any = range(batches)
    options: Any = Options()
    invalid = STACodecTrainer._train_one_epoch(model=model, iterator=iterator, options=options)
    assert parts.calls == expected
    assert invalid is False


def test_codecs_without_a_late_adversary_train_as_ever(monkeypatch):
    parts = Parts()
    monkeypatch.setattr(GANTrainer, "train_one_epoch", parts)
    model: Any = SimpleNamespace(module=SimpleNamespace(codec=SimpleNamespace()))
    options: Any = Options()
    assert STACodecTrainer._train_one_epoch(model=model, iterator=[], options=options) is True
    assert parts.calls == [(0.0, [])]


def test_the_options_know_the_number_of_scored_utterances():
    assert "num_scored_utts" in STACodecTrainerOptions.__dataclass_fields__


class Echo(torch.nn.Module):
    """A codec that gives back what it is given, rounded up to whole frames; notes its tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.tokens: list = []

    def encode(self, audio, semantic=None):
        self.tokens.append(semantic)
        return audio

    def decode(self, codes):
        return torch.nn.functional.pad(codes, (0, 320))


def test_scores_are_means_over_what_can_be_scored(toy_utterance, caplog):
    audio, tokens = (torch.from_numpy(a)[None] for a in toy_utterance(0, 100))
    silence = torch.zeros(1, 32000)
    echo = Echo()
    items = [{"audio": audio, "semantic": tokens}, {"audio": silence}]
    scores = objective_scores(echo, items)
    assert scores["stoi"] == pytest.approx(1.0, abs=1e-4)
    assert torch.equal(echo.tokens[0], tokens) and echo.tokens[1] is None
    with caplog.at_level(logging.WARNING):
        assert objective_scores(echo, [{"audio": silence}]) == {}
        assert objective_scores(echo, []) == {}
    assert caplog.text.count("could be scored") == 1


def test_items_are_kept_without_their_padding():
    audio, tokens = torch.arange(24.0).reshape(3, 8), torch.arange(12).reshape(3, 4)
    batches = [
        (["a", "b"], {"audio": audio[:2], "audio_lengths": torch.tensor([8, 5]),
                      "semantic": tokens[:2], "semantic_lengths": torch.tensor([4, 3])}),
        (["c"], {"audio": audio[2:], "semantic": tokens[2:]}),
        (["d"], {"audio": audio[:1], "semantic": tokens[:1]}),
    ]  # fmt: skip
    kept: list = []
    passed = list(stacodec_trainer._keep_items(batches, 3, kept))
    assert [ids for ids, _ in passed] == [["a", "b"], ["c"], ["d"]]
    lengths = [(item["audio"].shape, item["semantic"].shape) for item in kept]
    assert lengths == [((1, 8), (1, 4)), ((1, 5), (1, 3)), ((1, 8), (1, 4))]
    assert np.array_equal(kept[1]["audio"][0], audio[1, :5])
    none: list = []
    list(stacodec_trainer._keep_items(batches, 0, none))
    assert none == []
