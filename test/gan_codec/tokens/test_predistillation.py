"""Semantic pre-distillation: what is predicted, assigned, hidden and counted."""

import math

import pytest
import torch

from espnet_stacodec.errors import ConfigError, TokenError
from espnet_stacodec.gan_codec.batch_part import BatchPart, BatchSize
from espnet_stacodec.gan_codec.tokens.predistillation import Predistillation, neighbours

TRANSFORMER = {
    "hidden": 8, "layers": 1, "heads": 2, "feed_forward": 12, "window": 12, "overlap": 4,
}  # fmt: skip


def build(**changes) -> Predistillation:
    torch.manual_seed(0)
    return Predistillation(4, 5, transformer=TRANSFORMER, **changes)


LATENTS = torch.randn(2, 4, 10, generator=torch.Generator().manual_seed(1))
TRUE = torch.randint(5, (2, 10), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_predictions_are_assigned_and_need_no_tokens():
    spd = build().eval()
    assert not spd.needs_tokens
    tokens = spd(LATENTS, None, None)
    assert tokens.loss is None
    assert torch.equal(tokens.values, spd.logits(LATENTS).argmax(2))
    # In validation too, where the true ones only tell how good they are.
    assert torch.equal(spd(LATENTS, TRUE, None).values, tokens.values)


@torch.no_grad()
def test_padding_counts_neither_in_the_loss_nor_in_the_accuracy():
    spd = build().eval()
    lengths = torch.tensor([10, 6])
    padded = TRUE.clone()
    padded[1, 6:] = -1
    tokens = spd(LATENTS, padded, lengths)
    logits = [spd.logits(LATENTS[:1])[0], spd.logits(LATENTS[1:, :, :6])[0]]
    true = torch.cat([TRUE[0], TRUE[1, :6]])
    expected = 5 * torch.nn.functional.cross_entropy(torch.cat(logits), true)
    torch.testing.assert_close(tokens.loss, expected)
    accuracy = (torch.cat(logits).argmax(1) == true).float().mean()
    torch.testing.assert_close(tokens.statistics["token_accuracy"], accuracy)


def test_masks_hide_the_input_in_training_only():
    spd = build(masking={"probability": 1.0, "time_length": 10, "feature_length": 4})
    blind = spd.train()(LATENTS, TRUE, None).values
    constant = spd.logits(torch.zeros_like(LATENTS)).argmax(2)
    assert torch.equal(blind, constant)
    assert torch.equal(spd.eval()(LATENTS, None, None).values, spd.logits(LATENTS).argmax(2))


def test_the_share_of_true_tokens_falls_to_nothing():
    spd = build(scheduled_sampling_steps=4, masking={"probability": 0.0})
    latents, true = LATENTS.repeat(50, 1, 1), TRUE.repeat(50, 1)
    predicted = spd.logits(latents).argmax(2)
    differs = predicted != true
    shares = []
    for _ in range(6):
        values = spd(latents, true, None).values
        assert ((values == true) | (values == predicted)).all()
        shares.append(float((values == true)[differs].float().mean()))
    assert shares == pytest.approx([1, 0.75, 0.5, 0.25, 0, 0], abs=0.06)
    # The place in the schedule is part of the state, so that a resumed training keeps it.
    assert int(spd.state_dict()["steps"]) == 6


def test_parts_of_a_batch_are_given_the_true_tokens_that_the_whole_batch_is():
    """On ranks and passes: what is drawn is drawn for the whole batch."""
    whole = BatchSize(items=2, samples=0, frames=20, longest=10)
    single = BatchSize(items=1, samples=0, frames=10, longest=10)
    parts = [BatchPart(whole, whole)] + [BatchPart(single, whole, row) for row in (0, 1)]
    drawn = []
    for part in parts:
        spd = build(scheduled_sampling_steps=2)
        spd.steps.fill_(1)  # half of the frames
        rows = slice(part.first_item, part.first_item + part.size.items)
        torch.manual_seed(3)
        drawn.append(spd(LATENTS[rows], TRUE[rows], None, part).values)
    assert torch.equal(drawn[0], torch.cat(drawn[1:]))
    assert not torch.equal(drawn[0], TRUE)


def test_the_accuracy_stands_beside_that_of_the_majority_class():
    spd = build()
    spd(LATENTS, torch.full((2, 10), 3), None)
    spd.eval()
    statistics = spd(LATENTS, torch.tensor([[3] * 9 + [1]] * 2), None).statistics
    assert float(statistics["majority_token_accuracy"]) == pytest.approx(0.9)


def test_training_without_tokens_is_an_error():
    with pytest.raises(TokenError, match="learns from semantic tokens and got none"):
        build()(LATENTS, None, None)


def test_it_learns_tokens_that_can_be_told_from_the_latents():
    spd = build(masking={"probability": 0.0}).train()
    true = (LATENTS[:, 0] > 0).long()
    optimizer = torch.optim.Adam(spd.parameters(), 1e-2)
    first = math.inf
    for step in range(60):
        tokens = spd(LATENTS, true, None)
        first = float(tokens.loss) if step == 0 else first
        optimizer.zero_grad()
        tokens.loss.backward()
        optimizer.step()
    assert float(tokens.loss) < 0.3 * first
    assert float(tokens.statistics["token_accuracy"]) > 0.9


CONVOLUTION = {"channels": 8, "blocks": 1, "kernel": 3}


@torch.no_grad()
def test_a_convolution_takes_the_place_of_the_transformer():
    spd = Predistillation(4, 5, convolution=CONVOLUTION).eval()
    logits = spd.logits(LATENTS, torch.tensor([10, 6]))
    assert logits.shape == (2, 10, 5)
    torch.testing.assert_close(logits[1:, :6], spd.logits(LATENTS[1:, :, :6]))


def test_two_networks_are_one_too_many():
    with pytest.raises(ConfigError, match="either transformer or convolution"):
        build(convolution=CONVOLUTION)


def test_true_tokens_can_be_assigned_throughout_the_training():
    spd = build(scheduled_sampling_steps=None)
    for _ in range(3):
        assert torch.equal(spd(LATENTS, TRUE, None).values, TRUE)
    spd.eval()
    assert torch.equal(spd(LATENTS, TRUE, None).values, spd.logits(LATENTS).argmax(2))


def test_neighbours_worked_by_hand():
    # On a line at 0, 1 and 3: the squares to the closest ones are 1, 1, 4, their mean is 2.
    shares = neighbours(torch.tensor([[0.0], [1.0], [3.0]]))
    assert not shares.diagonal().any()
    torch.testing.assert_close(shares.sum(1), torch.ones(3))
    assert float(shares[0, 1] / shares[0, 2]) == pytest.approx(math.exp((9 - 1) / 2))


def test_smoothed_targets_are_those_of_the_definition_and_padding_does_not_count():
    spd = build(smoothing=0.25, masking={"probability": 0.0}, loss_weight=1.0)
    centroids = torch.randn(5, 3)
    spd.know_centroids(centroids)
    lengths = torch.tensor([10, 6])
    padded = TRUE.clone()
    padded[1, 6:] = -1
    loss = spd(LATENTS, padded, lengths).loss
    shares = 0.75 * torch.eye(5) + 0.25 * neighbours(centroids)
    logits = spd.logits(LATENTS, lengths).log_softmax(2)
    each = -(shares[TRUE] * logits).sum(2)
    expected = torch.cat([each[0], each[1, :6]]).mean()
    torch.testing.assert_close(loss, expected)
    # In validation the loss is the cross-entropy, comparable between trainings.
    spd.eval()
    truth = torch.nn.functional.nll_loss(logits.transpose(1, 2), padded, ignore_index=-1)
    torch.testing.assert_close(spd(LATENTS, padded, lengths).loss, truth)


def test_smoothing_needs_centroids():
    with pytest.raises(ConfigError, match="smoothing needs the centroids"):
        build(smoothing=0.1)(LATENTS, TRUE, None)
    with pytest.raises(ConfigError, match="smoothing 1.5 is outside"):
        build(smoothing=1.5)


@pytest.mark.parametrize(("lookahead", "learns"), [(2, True), (1, False)])
def test_a_token_is_learned_from_the_frames_that_it_may_see(lookahead, learns):
    """The token of a frame is what is heard two frames later: known with that lookahead only."""
    torch.manual_seed(0)
    transformer = {"hidden": 16, "heads": 2, "feed_forward": 24, "layers": 1}
    spd = Predistillation(
        4,
        4,
        transformer | {"lookahead_frames": lookahead},
        masking={"probability": 0},
        causal=True,
    )
    optimizer = torch.optim.Adam(spd.parameters(), 1e-2)
    for _ in range(60):
        heard = torch.randint(4, (8, 42))
        latents = torch.nn.functional.one_hot(heard[:, :40], 4).float().transpose(1, 2)
        later = torch.randint(4, (8, 40))  # past the end nothing is known
        later[:, :38] = heard[:, 2:40]
        tokens = spd(latents, later, None)
        optimizer.zero_grad()
        tokens.loss.backward()
        optimizer.step()
    accuracy = float(tokens.statistics["token_accuracy"])
    assert accuracy > 0.9 if learns else accuracy < 0.5
