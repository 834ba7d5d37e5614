"""The stack of codebooks: what decoding, padding, modes, ranks and precision must not change."""

import copy
import datetime
from pathlib import Path

import pytest
import torch

from espnet_stacodec.errors import ModelError, TokenError
from espnet_stacodec.gan_codec.quantizer.assignment import AssignedCodebook
from espnet_stacodec.gan_codec.quantizer.codebook import Codebook
from espnet_stacodec.gan_codec.quantizer.residual import (
    PADDED_CODE,
    ResidualQuantizer,
    mixed_seed,
)

DIM, SIZE, TOKENS = 5, 8, 6


def build(assigned: bool = True, dead_code_interval: int = 3) -> ResidualQuantizer:
    layers = [Codebook(SIZE, DIM, decay=0.8, dead_code_threshold=0.5) for _ in range(3)]
    if assigned:
        layers[0] = AssignedCodebook(TOKENS, size=SIZE, dim=DIM, decay=0.8)
    return ResidualQuantizer(layers, dead_code_interval)


def batch(seed: int, rows: int = 2, frames: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Return latents (B, D, T) that wander with `seed`, and tokens (B, T)."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(rows, DIM, frames, generator=generator) * 3 + seed
    return latents, torch.randint(TOKENS, (rows, frames), generator=generator)


def trained(assigned: bool = True, steps: int = 7) -> ResidualQuantizer:
    quantizer = build(assigned)
    for seed in range(steps):
        quantizer(*batch(seed))
    return quantizer.eval()


@pytest.mark.parametrize("assigned", [True, False])
def test_entries_begin_in_full_precision(assigned):
    """Also where a step of several passes begins them, with the networks in bfloat16."""
    latents, tokens = batch(0, frames=200)
    frames = latents.transpose(1, 2).flatten(0, 1)
    begun = []
    for low in (False, True):
        quantizer = build(assigned)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            quantizer.begin([frames], [tokens.flatten()] if assigned else [])
        begun.append([layer.embed for layer in quantizer.codebooks])
    for one, other in zip(*begun, strict=True):
        assert torch.equal(one, other)


def test_dropout_decodes_from_the_first_layers_only():
    """In training only; all layers get codes and learn."""
    quantizer = trained()
    quantizer.dropout = 1.0
    latents, tokens = batch(20, rows=30)
    whole = quantizer(latents, tokens)
    assert torch.equal(quantizer.decode(whole.codes), whole.latents)
    sums = [quantizer.decode(whole.codes[:n]) for n in (1, 2, 3)]
    quantized = quantizer.train()(latents, tokens)
    kept = [
        [n for n, total in enumerate(sums, 1) if torch.allclose(row, total[i], atol=1e-5)]
        for i, row in enumerate(quantized.latents)
    ]
    assert {n for (n,) in kept} == {1, 2, 3}
    assert (quantized.codes >= 0).all()
    torch.testing.assert_close(quantized.first, sums[0])


@pytest.mark.parametrize("assigned", [False, True])
def test_decoding_the_codes_gives_the_quantized_latents_bit_for_bit(assigned):
    quantizer = trained(assigned)
    quantized = quantizer(*batch(20))
    assert torch.equal(quantizer.decode(quantized.codes), quantized.latents)
    first = quantizer.codebooks[0].lookup(quantized.codes[0]).transpose(1, 2)
    assert torch.equal(quantizer.decode(quantized.codes[:1]), first)


def test_each_layer_takes_the_nearest_entry_of_what_is_left():
    quantizer = trained()
    latents, tokens = batch(20)
    quantized = quantizer(latents, tokens)
    left, losses = latents.transpose(1, 2), []
    for layer, codes in zip(quantizer.codebooks, quantized.codes, strict=True):
        if layer is not quantizer.codebooks[0]:
            distances = (left.unsqueeze(-2) - layer.embed).square().sum(-1)
            assert torch.equal(codes, distances.argmin(-1))
        left = left - layer.embed[codes]
        losses.append(left.square().mean())
    torch.testing.assert_close(quantized.commitment_loss, torch.stack(losses).mean())


def test_one_straight_through_step():
    quantizer = trained().train()
    latents = batch(20)[0].requires_grad_()
    quantized = quantizer(latents, batch(20)[1])
    weights = torch.randn_like(latents)
    (gradient,) = torch.autograd.grad((quantized.latents * weights).sum(), latents)
    torch.testing.assert_close(gradient, weights)


def test_commitment_pulls_the_latents_to_their_entries():
    quantizer = trained().train()
    latents, tokens = batch(20)
    latents.requires_grad_()
    quantized = quantizer(latents, tokens)
    (gradient,) = torch.autograd.grad(quantized.commitment_loss, latents)
    moved = latents.detach() - 0.1 * gradient * latents.numel()
    assert quantizer.eval()(moved, tokens).commitment_loss < quantized.commitment_loss


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("assigned", [False, True])
def test_padding_changes_nothing(assigned, training):
    """A padded batch, and its valid frames alone, give the same codes, losses and buffers."""
    padded, alone = trained(assigned).train(training), trained(assigned).train(training)
    latents, tokens = batch(30, rows=2, frames=20)
    lengths = torch.tensor([20, 7])
    mask = torch.arange(20) < lengths.unsqueeze(1)
    garbage = latents.masked_fill(~mask.unsqueeze(1), 1e3)
    filled = tokens.masked_fill(~mask, PADDED_CODE)
    joined = torch.cat([latents[0], latents[1, :, :7]], 1).unsqueeze(0)
    joined_tokens = torch.cat([tokens[0], tokens[1, :7]]).unsqueeze(0)
    # Three steps: the last one looks for dead entries.
    for _ in range(3 if training else 1):
        one = padded(garbage, filled, mask)
        two = alone(joined, joined_tokens)
    assert torch.equal(one.codes[:, mask], two.codes[:, 0])
    assert (one.codes[:, ~mask] == PADDED_CODE).all()
    assert (one.latents.transpose(1, 2)[~mask] == 0).all()
    torch.testing.assert_close(one.latents.transpose(1, 2)[mask], two.latents[0].t())
    torch.testing.assert_close(one.commitment_loss, two.commitment_loss)
    for name, value in padded.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name
    if not training:
        assert torch.equal(padded.decode(one.codes), one.latents)


def test_an_evaluation_changes_no_buffer_and_a_training_step_changes_all():
    quantizer = trained()
    before = copy.deepcopy(quantizer.state_dict())
    quantizer(*batch(20))
    quantizer.decode(torch.zeros(3, 1, 4, dtype=torch.long))
    assert all(torch.equal(v, before[k]) for k, v in quantizer.state_dict().items())
    quantizer.train()(*batch(20))
    changed = {k for k, v in quantizer.state_dict().items() if not torch.equal(v, before[k])}
    assert {"updates", "layers.0.embed", "layers.1.embed_sum", "layers.2.cluster_size"} <= changed


def test_untrained_codebooks_are_an_error_in_evaluation():
    with pytest.raises(ModelError, match="codebooks are untrained"):
        build().eval()(*batch(0))


def test_dead_code_replacement_happens_at_its_interval_only():
    never, often = build(False, dead_code_interval=1000), build(False, dead_code_interval=3)
    for step in range(3):
        states = [never.state_dict(), often.state_dict()]
        assert all(torch.equal(v, states[1][k]) for k, v in states[0].items()), step
        for quantizer in (never, often):
            quantizer(*batch(step))
    assert not torch.equal(never.codebooks[1].embed, often.codebooks[1].embed)


def trained_from(seed: int, steps: int = 6, resumed_at: int | None = None) -> dict:
    """Return the state after some steps on the same frames, of which there are many."""

    def new() -> ResidualQuantizer:
        layers = [Codebook(SIZE, DIM, decay=0.8, dead_code_threshold=0.9) for _ in range(2)]
        return ResidualQuantizer(layers, dead_code_interval=3, seed=seed)

    quantizer = new()
    for step in range(steps):
        if step == resumed_at:
            state = quantizer.state_dict()
            quantizer = new()
            quantizer.load_state_dict(state)
        quantizer(batch(step)[0])
    return quantizer.state_dict()


def test_the_seed_of_the_training_reaches_the_start_and_the_replacement_of_entries():
    for steps in (1, 6):  # after the k-means start, and after dead entries were replaced twice
        states = [trained_from(seed, steps) for seed in (1, 2, 3, 1)]
        entries = [state["layers.0.embed"] for state in states]
        assert torch.equal(entries[0], entries[3])
        assert not any(torch.equal(entries[i], entries[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_a_resumed_training_replaces_entries_as_an_uninterrupted_one():
    straight, resumed = trained_from(5), trained_from(5, resumed_at=2)
    assert all(torch.equal(value, resumed[name]) for name, value in straight.items())


def test_seeds_depend_on_every_number():
    numbers = [(7, 0, 0), (7, 0, 1), (7, 1, 0), (8, 0, 0), (0, 7, 0)]
    assert len({mixed_seed(*values) for values in numbers}) == len(numbers)
    assert mixed_seed(7, 0, 1) == mixed_seed(7, 0, 1)


def test_too_many_codebooks_to_decode():
    with pytest.raises(TokenError, match="Codes of 4 codebooks do not fit a codec of 3"):
        trained().decode(torch.zeros(4, 1, 2, dtype=torch.long))
    with pytest.raises(TokenError, match="Codes of 0 codebooks"):
        trained().decode(torch.zeros(0, 1, 2, dtype=torch.long))


def test_mixed_precision_leaves_codebooks_in_full_precision():
    mixed, full = build(), build()
    for step in range(4):
        latents, tokens = batch(step)
        half = latents.bfloat16()
        with torch.autocast("cpu", torch.bfloat16):
            mixed(half, tokens)
        full(half.float(), tokens)
    for name, value in mixed.state_dict().items():
        assert value.dtype in (torch.float32, torch.long, torch.bool), name
        # A product in bfloat16 anywhere would show here.
        assert torch.equal(value, full.state_dict()[name]), name


def test_statistics_name_every_layer():
    names = trained().statistics().keys()
    assert names == {f"{name}_{i}" for name in ("perplexity", "usage") for i in (1, 2, 3)}


# Valid frames of the rows that rank 0 and rank 1 get, by step.
LENGTHS = [(40, 25), (40, 40), (3, 40), (17, 8), (40, 1), (40, 40), (30, 30), (12, 39)]


def train_rank(rank: int, world_size: int, folder: str) -> None:
    """Train on this rank's row of each batch; with one rank, on both rows."""
    torch.set_num_threads(1)
    if world_size > 1:
        torch.distributed.init_process_group(
            "gloo",
            f"file://{folder}/store",
            rank=rank,
            world_size=world_size,
            timeout=datetime.timedelta(seconds=100),
        )
    quantizer = build(dead_code_interval=3)
    for step, lengths in enumerate(LENGTHS):
        latents, tokens = batch(step)
        tokens[0].clamp_(max=TOKENS - 2)  # the last token is met by rank 1 alone
        mask = torch.arange(latents.shape[2]) < torch.tensor(lengths).unsqueeze(1)
        rows = slice(rank, rank + 1) if world_size > 1 else slice(0, 2)
        quantizer(latents[rows], tokens[rows], mask[rows])
    torch.save(quantizer.state_dict(), f"{folder}/{world_size}.{rank}.pth")
    if world_size > 1:
        torch.distributed.destroy_process_group()


def test_two_ranks_equal_one_with_both_batches(tmp_path: Path):
    other = torch.multiprocessing.get_context("spawn").Process(
        target=train_rank, args=(1, 2, str(tmp_path))
    )
    other.start()
    train_rank(0, 2, str(tmp_path))
    other.join()
    assert other.exitcode == 0
    train_rank(0, 1, str(tmp_path))
    names = ("2.0.pth", "2.1.pth", "1.0.pth")
    first, second, alone = (torch.load(tmp_path / name, weights_only=True) for name in names)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        assert torch.allclose(value, alone[name], rtol=1e-5, atol=1e-5), name


def test_codes_of_the_reference_implementation(reference):
    weights, outputs = reference
    layers: list[Codebook] = []
    for index in range(8):
        conf = {"size": 64, "dim": 32}
        layers.append(AssignedCodebook(64, **conf) if index == 0 else Codebook(**conf))
        layers[-1].embed.copy_(weights[f"quantizer.vq.layers.{index}._codebook.embed"])
    quantizer = ResidualQuantizer(layers).eval()
    quantizer.updates.fill_(1)
    latents = torch.from_numpy(outputs["emb"])
    quantized = quantizer(latents, torch.from_numpy(outputs["labels"]))
    expected = torch.from_numpy(outputs["codes"])
    assert torch.equal(quantized.codes.transpose(0, 1), expected)
    torch.testing.assert_close(quantized.latents, torch.from_numpy(outputs["latent"]))
    plain = Codebook(64, 32)
    plain.embed.copy_(layers[0].embed)
    quantizer.layers[0] = plain
    expected = torch.from_numpy(outputs["codes_nolabels"])
    assert torch.equal(quantizer(latents).codes.transpose(0, 1), expected)
