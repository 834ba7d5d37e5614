"""One codebook: worked examples, and what must hold whatever the frames."""

import math

import pytest
import torch

from espnet_stacodec.gan_codec.quantizer.codebook import Codebook


def placed(entries: list[list[float]], weights: list[float], **kwargs) -> Codebook:
    """Return a codebook with these entries and running counts."""
    book = Codebook(len(entries), len(entries[0]), **kwargs)
    book._place(torch.tensor(entries), torch.tensor(weights))
    return book


def test_nearest_is_the_brute_force_nearest():
    torch.manual_seed(0)
    book = Codebook(40, 6)
    book._place(torch.randn(40, 6) * 3, torch.ones(40))
    frames = torch.randn(500, 6) * 3
    expected = (frames[:, None] - book.embed[None]).square().sum(-1).argmin(1)
    assert torch.equal(book.nearest(frames), expected)
    assert torch.equal(book.choose(frames, None), expected)
    assert torch.equal(book.lookup(expected), book.embed[expected])


def test_moving_average_worked_by_hand():
    book = placed([[0.0], [10.0], [50.0]], [2.0, 2.0, 4.0], decay=0.5)
    frames = torch.tensor([[1.0], [2.0], [9.0]])
    codes = book.nearest(frames)
    assert codes.tolist() == [0, 0, 1]
    book.update(frames, codes)
    # Counts 2 1 0 and sums 3 9 0, averaged half and half with counts 2 2 4 and sums 0 20 200.
    assert book.cluster_size.tolist() == [2.0, 1.5, 2.0]
    assert book.embed_sum.flatten().tolist() == [1.5, 14.5, 100.0]
    torch.testing.assert_close(book.embed.flatten(), torch.tensor([0.75, 14.5 / 1.5, 50.0]))


def test_an_entry_that_faded_away_keeps_its_place():
    book = placed([[3.0], [5.0]], [1.0, 1.0], decay=0.5)
    for _ in range(300):  # 0.5 ** 300 is zero in float32
        book.update(torch.tensor([[4.0]]), torch.tensor([1]))
    assert book.cluster_size[0] < 1e-10
    assert book.embed[0].item() == pytest.approx(3.0, abs=1e-3)
    assert torch.isfinite(book.embed).all()


def blobs(counts: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return frames (N, 2) around well separated centres, and the mean of each blob."""
    torch.manual_seed(1)
    centres = torch.tensor([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0], [100.0, 100.0]])
    parts = [c + torch.randn(n, 2) for c, n in zip(centres, counts, strict=True)]
    return torch.cat(parts), torch.stack([part.mean(0) for part in parts])


def test_kmeans_start_and_first_update_agree():
    counts = [7, 20, 3, 30]
    frames, means = blobs(counts)
    book = Codebook(4, 2)
    book.initialize(frames, None, seed=0)
    order = torch.cdist(means, book.embed).argmin(1)
    torch.testing.assert_close(book.embed[order], means)
    assert book.cluster_size[order].tolist() == counts
    # Counts or sums that do not belong to the entries would move them towards zero now.
    before = book.embed.clone()
    book.update(frames, book.nearest(frames))
    torch.testing.assert_close(book.embed, before)


def test_start_is_the_same_for_the_same_seed():
    frames = torch.randn(200, 3, generator=torch.Generator().manual_seed(2))
    books = [Codebook(16, 3) for _ in range(3)]
    for book, seed in zip(books, (5, 5, 6), strict=True):
        book.initialize(frames, None, seed=seed)
    assert torch.equal(books[0].embed, books[1].embed)
    assert not torch.equal(books[0].embed, books[2].embed)


@pytest.mark.parametrize("count", [3, 8])
def test_as_many_frames_as_entries_or_fewer(count):
    frames = torch.arange(count, dtype=torch.float32).unsqueeze(1) * 10 + 1
    book = Codebook(8, 1, dead_code_threshold=0.1)
    book.initialize(frames, None, seed=0)
    assert torch.equal(book.embed[:count], frames)
    assert book.cluster_size.tolist() == [1.0] * count + [0.0] * (8 - count)
    book.update(frames, book.nearest(frames))
    torch.testing.assert_close(book.lookup(book.nearest(frames)), frames)
    # The rest have weight zero, so that dead-code replacement finds them.
    book.replace_dead(torch.tensor([[77.0]]), seed=0)
    assert (book.embed == 77.0).sum().item() == 8 - count


def test_dead_code_replacement_has_an_effect_that_survives_the_next_update():
    book = placed([[0.0], [10.0], [20.0], [1000.0]], [10.0, 10.0, 19.5, 0.5], decay=0.9)
    assert book.nearest(torch.tensor([[55.0]])).item() == 2
    book.replace_dead(torch.tensor([[55.0], [55.0]]), seed=3)
    assert book.embed.flatten().tolist() == [0.0, 10.0, 20.0, 55.0]
    assert book.cluster_size.tolist() == [10.0, 10.0, 19.5, 10.0]
    assert book.nearest(torch.tensor([[54.0]])).item() == 3
    frames = torch.tensor([[0.0], [10.0], [20.0]])
    book.update(frames, book.nearest(frames))
    torch.testing.assert_close(book.embed.flatten(), torch.tensor([0.0, 10.0, 20.0, 55.0]))


def test_replaced_entries_are_frames_of_the_batch_and_not_all_the_same():
    book = placed([[0.0]] * 8 + [[1.0]] * 2, [0.0] * 8 + [5.0] * 2)
    frames = torch.arange(100.0, 150.0).unsqueeze(1)
    book.replace_dead(frames, seed=0)
    assert torch.isin(book.embed[:8], frames).all()
    assert len(book.embed[:8].unique()) > 4
    assert book.embed[8:].tolist() == [[1.0], [1.0]]


def test_dead_code_replacement_can_be_turned_off():
    book = placed([[0.0], [10.0]], [0.0, 4.0], dead_code_threshold=0.0)
    book.replace_dead(torch.tensor([[55.0]]), seed=0)
    assert book.embed.flatten().tolist() == [0.0, 10.0]


def test_statistics_worked_by_hand():
    statistics = placed([[0.0]] * 4, [1.0, 1.0, 2.0, 0.0]).statistics()
    # Shares 1/4 1/4 1/2 0 have an entropy of 1.5 bits.
    assert statistics["perplexity"].item() == pytest.approx(2**1.5)
    assert statistics["usage"].item() == 0.75
    even = placed([[0.0]] * 4, [3.0] * 4).statistics()
    assert even["perplexity"].item() == pytest.approx(4.0)
    assert even["usage"].item() == 1.0


def test_hardly_used_entries_do_not_count_as_in_use():
    # The average is 5.02; an entry below a tenth of it is what counts as dead.
    book = placed([[0.0]] * 4, [10.0, 9.0, 1.0, 0.08], dead_code_threshold=0.1)
    assert book.statistics()["usage"].item() == 0.75


def test_statistics_of_an_unused_codebook_are_finite():
    statistics = Codebook(4, 1).statistics()
    assert all(math.isfinite(value.item()) for value in statistics.values())
    assert statistics["usage"].item() == 0.0
