"""Semantic token assignment: the code is the token, and its entry follows the token's frames."""

import pytest
import torch

from espnet_stacodec.errors import TokenError
from espnet_stacodec.gan_codec.quantizer.assignment import (
    AssignedCodebook,
    FrozenAssignedCodebook,
)
from espnet_stacodec.gan_codec.quantizer.codebook import Codebook
from espnet_stacodec.gan_codec.quantizer.residual import ResidualQuantizer

# Tokens 0 and 2 are met, 1 and 3 are not; entries 4 to 7 are beyond the tokens.
FRAMES = torch.tensor([[1.0], [3.0], [10.0], [20.0], [66.0]])
TOKENS = torch.tensor([0, 0, 2, 2, 2])
MEAN = 20.0


def started(kind: type[AssignedCodebook] = AssignedCodebook) -> AssignedCodebook:
    """Return a codebook of 8 entries for 4 tokens that has met its first frames."""
    book = kind(4, size=8, dim=1, decay=0.9)
    book.initialize(FRAMES, TOKENS, seed=0)
    return book


@pytest.mark.parametrize("kind", [AssignedCodebook, FrozenAssignedCodebook])
def test_entries_start_at_the_mean_of_their_tokens_frames(kind):
    book = started(kind)
    expected = torch.tensor([2.0, MEAN, 32.0, MEAN, MEAN, MEAN, MEAN, MEAN])
    torch.testing.assert_close(book.embed.flatten(), expected)
    assert book.seen.tolist() == [True, False, True] + [False] * 5
    book.update(FRAMES, book.choose(FRAMES, TOKENS))  # as the rest of the first step does
    torch.testing.assert_close(book.embed.flatten(), expected)


def test_an_entry_follows_its_token_worked_by_hand():
    book = started()
    book.update(torch.tensor([[7.0], [40.0]]), torch.tensor([0, 1]))
    # Token 0: count 0.1 * 2 * 0.9 + 0.1 * 1 = 0.28, sum 0.1 * 4 * 0.9 + 0.1 * 7 = 1.06.
    assert book.embed[0].item() == pytest.approx(1.06 / 0.28)
    assert book.embed[1].item() == pytest.approx(40.0)  # met for the first time
    assert book.embed[2].item() == pytest.approx(32.0)  # not met now
    assert book.embed[3].item() == pytest.approx(MEAN)
    assert book.seen.tolist() == [True, True, True] + [False] * 5


def test_unseen_tokens_and_entries_beyond_them_are_left_out():
    book = started()
    # 20 is where all unseen entries lie; the nearest seen one is 32.
    assert book.nearest(torch.tensor([[MEAN], [0.0]])).tolist() == [2, 0]
    assert torch.equal(book.usable(), book.seen)
    statistics = book.statistics()
    assert statistics["usage"].item() == 1.0
    # Shares 2/5 and 3/5 of two tokens, not of eight entries.
    share = torch.tensor([0.4, 0.6])
    expected = (-(share * share.log()).sum()).exp().item()
    assert statistics["perplexity"].item() == pytest.approx(expected)


def test_dead_code_replacement_leaves_assigned_entries_alone():
    book = started()
    before = {name: value.clone() for name, value in book.state_dict().items()}
    book.replace_dead(torch.tensor([[99.0]]), seed=0)
    assert all(torch.equal(value, before[name]) for name, value in book.state_dict().items())


def test_frozen_entries_never_move_after_first_sight():
    book = started(FrozenAssignedCodebook)
    for step in range(5):
        book.update(torch.tensor([[50.0 + step], [40.0 + step]]), torch.tensor([0, 1]))
    torch.testing.assert_close(book.embed[:4].flatten(), torch.tensor([2.0, 40.0, 32.0, MEAN]))


def test_as_many_tokens_as_entries_fit_and_not_one_more():
    AssignedCodebook(8, size=8, dim=1)
    for count in (9, 0):
        with pytest.raises(TokenError, match=f"^{count} semantic tokens do not fit"):
            AssignedCodebook(count, size=8, dim=1)


def test_codes_are_the_tokens_and_missing_tokens_are_an_error():
    book = started()
    tokens = torch.tensor([3, 1, 0])
    assert torch.equal(book.choose(torch.zeros(3, 1), tokens), tokens)
    with pytest.raises(TokenError, match="needs a semantic token for each frame"):
        book.choose(torch.zeros(3, 1), None)


@pytest.mark.parametrize("kind", [AssignedCodebook, FrozenAssignedCodebook])
def test_first_codes_are_the_tokens_in_training_and_after(kind):
    torch.manual_seed(0)
    quantizer = ResidualQuantizer([kind(6, size=8, dim=4), Codebook(8, 4), Codebook(8, 4)])
    for _ in range(3):
        tokens = torch.randint(6, (2, 30))
        assert torch.equal(quantizer(torch.randn(2, 4, 30), tokens).codes[0], tokens)
    quantizer.eval()
    tokens = torch.randint(6, (1, 9))
    assert torch.equal(quantizer(torch.randn(1, 4, 9), tokens).codes[0], tokens)


def test_later_layers_get_what_the_first_one_left():
    torch.manual_seed(0)
    tokens = torch.randint(3, (1, 60))
    centres = torch.tensor([[0.0], [50.0], [-50.0]])
    latents = (centres[tokens[0]] + torch.randn(60, 1)).t().unsqueeze(0)
    quantizer = ResidualQuantizer([AssignedCodebook(3, size=4, dim=1), Codebook(4, 1)])
    quantizer(latents, tokens)
    # Without the centres of the tokens there is nothing left but noise of deviation 1.
    assert quantizer.codebooks[1].embed.abs().max() < 5


def test_tokens_reach_the_first_layer_only_through_the_quantizer():
    quantizer = ResidualQuantizer([AssignedCodebook(3, size=4, dim=1), Codebook(4, 1)])
    with pytest.raises(TokenError, match="needs a semantic token"):
        quantizer(torch.randn(1, 1, 10))
    with pytest.raises(TokenError, match="1 utterances and 10 frames"):
        quantizer(torch.randn(1, 1, 10), torch.zeros(1, 9, dtype=torch.long))
