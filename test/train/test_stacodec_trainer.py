"""The trainer: what it refuses, validation on several ranks, and scores that are heard."""

import contextlib
import dataclasses
import itertools
import json
import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from espnet2.train.distributed_utils import DistributedOption
from espnet2.train.reporter import Reporter
from training_ranks import run_ranks

from espnet_stacodec.errors import ConfigError, TrainingError
from espnet_stacodec.train import stacodec_trainer
from espnet_stacodec.train.stacodec_trainer import (
    STACodecTrainer,
    STACodecTrainerOptions,
    objective_scores,
    resynthesize,
)
from espnet_stacodec.train.validation import Validation, keep_items


@dataclasses.dataclass
class Options:
    """The options that are checked before a training."""

    ema_decay: float = 0.0
    train_dtype: str = "float32"
    use_amp: bool = False
    ngpu: int = 0
    bfloat16: bool = False


def test_mixed_precision_is_bfloat16_without_espnets_scaled_losses(monkeypatch):
    checked = stacodec_trainer._checked(Options(use_amp=True))  # type: ignore[arg-type]
    assert checked.bfloat16 and not checked.use_amp
    assert not stacodec_trainer._checked(Options()).bfloat16  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(ConfigError, match="--use_amp trains in bfloat16, which this GPU"):
        stacodec_trainer._checked(Options(use_amp=True, ngpu=1))  # type: ignore[arg-type]


def test_half_precision_of_all_weights_is_refused():
    with pytest.raises(ConfigError, match="--train_dtype float16 is not supported"):
        stacodec_trainer._checked(Options(train_dtype="float16"))  # type: ignore[arg-type]


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

    def meta_info(self):
        return {"fs": 16000}


def test_scores_are_means_over_what_can_be_scored(toy_utterance, caplog):
    audio, tokens = (torch.from_numpy(a)[None] for a in toy_utterance(0, 100))
    silence = torch.zeros(1, 32000)
    echo: Any = Echo()
    items = [{"audio": audio, "semantic": tokens}, {"audio": silence}]
    scores = objective_scores(resynthesize(echo, items))
    assert scores["stoi"] == pytest.approx(1.0, abs=1e-4)
    assert torch.equal(echo.tokens[0], tokens) and echo.tokens[1] is None
    with caplog.at_level(logging.WARNING):
        assert objective_scores(resynthesize(echo, [{"audio": silence}])) == {}
        assert objective_scores([]) == {}
    assert caplog.text.count("could be scored") == 1


def test_scores_of_other_rates_are_those_at_16_khz(toy_utterance):
    audio = toy_utterance(0, 100)[0].astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.02, len(audio)).astype(np.float32)
    pair = (audio, audio + noise)
    up = [soxr.resample(wave, 16000, 24000, quality="VHQ") for wave in pair]
    expected = objective_scores([pair])
    assert expected["pesq"] < 4
    assert objective_scores([(up[0], up[1])], 24000) == pytest.approx(expected, abs=0.02)


def padded_batches() -> list[tuple[list[str], dict[str, torch.Tensor]]]:
    audio, tokens = torch.arange(24.0).reshape(3, 8), torch.arange(12).reshape(3, 4)
    return [
        (["a", "b"], {"audio": audio[:2], "audio_lengths": torch.tensor([8, 5]),
                      "semantic": tokens[:2], "semantic_lengths": torch.tensor([4, 3])}),
        (["c"], {"audio": audio[2:], "semantic": tokens[2:]}),
        (["d"], {"audio": audio[:1], "semantic": tokens[:1]}),
    ]  # fmt: skip


def test_items_are_kept_without_their_padding():
    (ids, first), (other_ids, second), _ = padded_batches()
    kept = keep_items(ids, first, 3) + keep_items(other_ids, second, 1)
    lengths = [(item["audio"].shape, item["semantic"].shape) for item in kept]
    assert lengths == [((1, 8), (1, 4)), ((1, 5), (1, 3)), ((1, 8), (1, 4))]
    assert np.array_equal(kept[1]["audio"][0], first["audio"][1, :5])
    assert keep_items(ids, first, 0) == keep_items(ids, first, -1) == []


class Loudness(torch.nn.Module):
    """A model whose figures are means over the items of a batch."""

    def forward(self, audio, forward_generator, **kwargs):
        name = "mel_loss" if forward_generator else "real_loss"
        return {"stats": {name: audio.mean(), "none": None}, "weight": len(audio)}


def validated(rank: int = 0, ranks: int = 1) -> tuple:
    """Validate every W-th batch; return figures, their weight, and what is scored, by its audio."""
    options: Any = SimpleNamespace(
        ngpu=0, generator_first=False, no_forward_run=False, num_scored_utts=3
    )
    figures, weight, kept = Validation(Loudness(), options).run(padded_batches()[rank::ranks])
    return figures, weight, [item["audio"].tolist() for item in kept]


def validate_rank(rank: int, ranks: int, folder: Path) -> None:
    (folder / f"{rank}.json").write_text(json.dumps(validated(rank, ranks)))


def test_figures_of_all_items_count_alike():
    figures, weight, scored = validated()
    every = [float(batch["audio"].mean()) * len(ids) for ids, batch in padded_batches()]
    assert figures == pytest.approx(dict.fromkeys(["mel_loss", "real_loss"], sum(every) / 4))
    assert weight == 4 and len(scored) == 3


@pytest.mark.parametrize("ranks", [2, 4])
def test_every_utterance_is_validated_once_on_any_number_of_ranks(tmp_path, ranks):
    """Also where there are fewer batches than ranks; the same ones are scored."""
    run_ranks(validate_rank, tmp_path, ranks=ranks)
    figures, weight, scored = validated()
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(ranks)]
    for one in found:
        assert (one[0], one[1]) == (pytest.approx(figures), weight)
    assert sorted(itertools.chain(*(one[2] for one in found))) == sorted(scored)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_best_model_is_not_chosen_by_what_is_not_finite(monkeypatch, value, tmp_path):
    options: Any = SimpleNamespace(
        best_model_criterion=[["valid", "mel_loss", "min"]],
        output_dir=tmp_path,
        num_scored_utts=0,
    )
    monkeypatch.setattr(Validation, "__init__", lambda *args: None)
    monkeypatch.setattr(Validation, "run", lambda *args: ({"mel_loss": value}, 1.0, []))
    (tmp_path / "checkpoint.pth").touch()
    model: Any = SimpleNamespace(eval=lambda: None, codec=Echo())
    with (
        Reporter(1).observe("valid") as reporter,
        pytest.raises(TrainingError, match=f"epoch 1: mel_loss of the validation set is {value}"),
    ):
        STACodecTrainer.validate_one_epoch(
            model=model,
            iterator=[],
            reporter=reporter,
            options=options,
            distributed_option=DistributedOption(),
        )
    assert (tmp_path / "checkpoint.pth").exists()


@pytest.mark.parametrize(
    ("criteria", "num_scored_utts", "fits"),
    [
        ([("valid", "mel_loss", "min")], 0, True),
        ([("valid", "mel_los", "min"), ("valid", "loss", "min")], 0, True),
        ([("train", "anything", "min")], 0, True),
        ([("valid", "adv_loss", "min")], 0, True),  # from a later epoch on
        ([("valid", "pesq", "max")], 1, True),
        ([("valid", "pesq", "max")], 0, False),
        ([("valid", "mel_los", "min")], 1, False),
        ([], 1, False),
    ],
)
def test_a_best_model_is_chosen_by_figures_that_there_are(criteria, num_scored_utts, fits):
    options: Any = SimpleNamespace(best_model_criterion=criteria, num_scored_utts=num_scored_utts)
    figures = {"mel_loss": 1.0, "loss": 2.0}
    with (
        contextlib.nullcontext()
        if fits
        else pytest.raises(ConfigError, match="best_model_criterion: .*are adv_loss, .*mel_loss")
    ):
        stacodec_trainer._check_criterion(options, figures)
