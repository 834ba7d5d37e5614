"""The training loop: two processes, and two passes a step, equal one with the whole batch."""

import contextlib
import copy
import json
import logging
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from espnet2.train.reporter import SubReporter
from torch.nn.parallel import DistributedDataParallel
from training_ranks import Options, in_float64, rows_of, run_ranks, train, train_rank

from espnet_stacodec.errors import ConfigError, TrainingError
from espnet_stacodec.gan_codec.balancer import Balancer
from espnet_stacodec.gan_codec.espnet_model import ESPnetSTACodecModel
from espnet_stacodec.gan_codec.stacodec import STACodec
from espnet_stacodec.train import gan_steps

STEPS, ITEMS, FRAMES = 20, 3, 30
TRANSFORMER = {
    "hidden": 8, "layers": 1, "heads": 2, "feed_forward": 12, "window": 10, "overlap": 3,
}  # fmt: skip
SPD = {
    "bottleneck": TRANSFORMER,
    "predistillation": {"transformer": TRANSFORMER, "scheduled_sampling_steps": None},
}
CONVNEXT = {"channels": 8, "blocks": 1, "kernel": 3}
SPECTRAL = {
    "spectral": {"encoder": {"n_fft": 32} | CONVNEXT, "decoder": {"n_fft": 32} | CONVNEXT},
    "predistillation": {"convolution": CONVNEXT, "scheduled_sampling_steps": None},
    "quantizer_dropout": 0.5,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "sta": {"quantizer_dropout": 0.5},
    "spd": SPD,
    "plain": {"assignment": "none"},
    "distillation": {"assignment": "none", "distillation": {"feature_dim": 6}},
    "spectral": SPECTRAL,
}
# Valid frames of the items, step by step: padded differently on the two ranks.
LENGTHS = [(30, 22, 13), (30, 30, 30), (9, 30, 17), (25, 7, 30)]


@pytest.fixture(scope="session")
def configuration(tiny_codec_conf):
    """Return a function that gives the codec_conf of a variant, small and fast."""

    def build(variant: str, adversary: bool = True) -> dict[str, Any]:
        conf = copy.deepcopy(tiny_codec_conf)
        conf["generator_params"] |= {"semantic_clusters": 8, "ratios": [4, 2], "n_filters": 2}
        conf["generator_params"] |= copy.deepcopy(VARIANTS[variant])
        conf["mel_loss_params"] = {"window_exponents": [5, 6], "n_mels": 8}
        if variant == "spectral":
            conf["mel_loss_params"]["scales_per_step"] = 1
            conf["stft_loss_params"] = {"windows": [16, 32], "scales_per_step": 1}
        conf["discriminator_params"] |= {"n_ffts": [64], "hop_lengths": [16], "win_lengths": [64]}
        return conf | {"adversary_start_step": 3 if adversary else 10**6}

    return build


@pytest.fixture(scope="session")
def batches(toy_utterance):
    """Return a function that gives the batches of an epoch, of equal lengths or not."""

    def build(padded: bool, steps: int = STEPS, items: int = ITEMS) -> list[dict]:
        made = []
        for step in range(steps):
            pairs = [toy_utterance(100 * step + i, FRAMES, hop=8) for i in range(items)]
            batch = {
                "audio": torch.stack([torch.from_numpy(audio) for audio, _ in pairs]),
                "semantic": torch.stack([torch.from_numpy(tokens).long() for _, tokens in pairs]),
            }
            if padded:
                frames = torch.tensor(LENGTHS[step % len(LENGTHS)])
                for row, length in enumerate(frames.tolist()):
                    batch["audio"][row, length * 8 :] = 0.0
                    batch["semantic"][row, length:] = -1
                batch |= {"audio_lengths": frames * 8, "semantic_lengths": frames}
            made.append(batch)
        return made

    return build


def assert_close(one: dict, other: dict, what: str, whole: float = 0.0) -> None:
    """Compare tensors by their norms; their differences with `whole`, if that is more."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        size = max(value.double().norm().item(), whole)
        difference = (value.double() - other[name].double()).norm().item()
        assert difference <= 1e-6 * size, f"{what}, {name}: {difference} of {size}"


def assert_equal_turns(one: list[dict], other: list[dict]) -> None:
    """Compare the gradients of each turn; differences are compared with all of them."""
    for turn, (a, b) in enumerate(zip(one, other, strict=True)):
        whole = torch.stack([value.norm() for value in a.values()]).norm().item()
        assert_close(a, b, f"turn {turn}", whole)


@pytest.mark.parametrize(
    ("variant", "adversary", "padded"),
    [
        ("sta", True, False),
        ("sta", True, True),
        ("sta", False, True),
        ("spd", True, True),
        ("plain", True, True),
        ("distillation", False, True),
        ("spectral", True, True),
    ],
)
def test_two_ranks_equal_one(configuration, batches, variant, adversary, padded, tmp_path):
    """Gradients of every turn, all buffers, and what is logged; one rank has two of the items."""
    conf, epoch = configuration(variant, adversary), batches(padded)
    options = Options(grad_clip=100.0)
    run_ranks(train_rank, tmp_path, conf, epoch, [0, 2, 3], options)
    train_rank(0, 1, tmp_path, conf, epoch, [0, 3], options)
    first, second, alone = (
        torch.load(tmp_path / name, weights_only=True) for name in ("2.0.pth", "2.1.pth", "1.0.pth")
    )
    for name, value in first["state"].items():
        assert torch.equal(value, second["state"][name]), name
    turns = STEPS + (STEPS - 3 if adversary else 0)
    assert len(first["gradients"]) == len(alone["gradients"]) == turns
    assert_equal_turns(first["gradients"], alone["gradients"])
    assert_close(first["state"], alone["state"], "state")
    assert first["figures"].keys() == alone["figures"].keys()
    for name, value in first["figures"].items():
        assert second["figures"][name] == value or "time" in name
        if "time" not in name:
            assert value == pytest.approx(alone["figures"][name], rel=1e-6), name


@pytest.mark.parametrize("padded", [False, True], ids=["equal", "padded"])
@pytest.mark.parametrize("variant", ["sta", "spd", "plain", "spectral"])
def test_two_passes_equal_one(configuration, batches, variant, padded):
    """From the first step on: codebooks begin, and losses are scaled, by both passes together."""
    conf, epoch = configuration(variant), batches(padded)
    halves = [rows_of(batch, rows) for batch in epoch for rows in (slice(0, 2), slice(2, 3))]
    with in_float64():
        one, gradients, figures = train(conf, epoch, Options())
        two, accumulated, others = train(conf, halves, Options(accum_grad=2))
    assert figures.made == others.made
    assert_equal_turns(gradients, accumulated)
    assert_close(one.state_dict(), two.state_dict(), "state")
    assert figures.values["mel_loss"] == pytest.approx(others.values["mel_loss"], rel=1e-6)


def test_the_passes_of_two_ranks_equal_one(configuration, batches, tmp_path):
    conf, epoch = configuration("spd"), batches(False, steps=8, items=4)
    # The items of a pass stand together, and among them those of a rank.
    order = [0, 1, 2, 3]
    halves = [rows_of(b, slice(i, i + 2)) for b in epoch for i in (0, 2)]
    run_ranks(train_rank, tmp_path, conf, halves, [0, 1, 2], Options(accum_grad=2))
    ordered = [{k: v[order] for k, v in b.items()} for b in epoch]
    train_rank(0, 1, tmp_path, conf, ordered, [0, 4], Options())
    ranks, alone = (torch.load(tmp_path / f"{n}.0.pth", weights_only=True) for n in (2, 1))
    assert_equal_turns(ranks["gradients"], alone["gradients"])
    assert_close(ranks["state"], alone["state"], "state")


def end_early(rank: int, ranks: int, folder: Path, conf: dict, epoch: list) -> None:
    own = epoch[: 3 if rank else 5]
    _, _, figures = train(conf, own, Options(), distributed=True)
    (folder / f"{rank}.txt").write_text(str(figures.made))


def test_ranks_with_different_numbers_of_batches_end_together(configuration, batches, tmp_path):
    run_ranks(end_early, tmp_path, configuration("sta"), batches(False, steps=5))
    assert {(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)} == {"[1, 2, 3]"}


def begin_differently(rank: int, ranks: int, folder: Path, conf: dict) -> None:
    codec = STACodec(**conf)
    for buffer in codec.buffers():
        buffer.copy_(buffer + rank)
    model = DistributedDataParallel(ESPnetSTACodecModel(codec), find_unused_parameters=True)
    for buffer in codec.buffers():
        buffer.copy_(buffer + rank)  # as devices that round differently would
    gan_steps.GANSteps(model, [], [], SubReporter("train", 1, 0), Options())
    torch.save(list(codec.buffers()), folder / f"{rank}.pth")


def test_an_epoch_begins_with_the_buffers_of_the_first_rank(configuration, tmp_path):
    run_ranks(begin_differently, tmp_path, configuration("spd"))
    ranks = [torch.load(tmp_path / f"{rank}.pth", weights_only=True) for rank in (0, 1)]
    assert len(ranks[0]) > 5
    for one, other in zip(*ranks, strict=True):
        assert torch.equal(one, other)


def masks_of_rank(rank: int, ranks: int, folder: Path, conf: dict, epoch: list) -> None:
    """Save which inputs of the predictor are hidden, and how tokens were counted."""
    hidden: list[torch.Tensor] = []
    from espnet_stacodec.gan_codec.tokens.span_mask import SpanMask

    original = SpanMask.__call__

    def noted(self, x, lengths=None, part=None):
        out = original(self, x, lengths, part)
        hidden.append(out == 0)
        return out

    SpanMask.__call__ = noted  # type: ignore[method-assign]
    codec, _, _ = train(conf, epoch, Options(), distributed=True)
    counts = codec.generator.token_source.token_counts
    torch.save({"hidden": hidden, "counts": counts}, folder / f"{rank}.pth")


def test_ranks_hide_different_spans_and_count_all_tokens(configuration, batches, tmp_path):
    """Also where both ranks have the same audio."""
    conf, epoch = configuration("spd"), batches(False, steps=4)
    conf["generator_params"]["predistillation"]["masking"] = {"time_length": 3}
    run_ranks(masks_of_rank, tmp_path, conf, epoch)
    first, second = (torch.load(tmp_path / f"{r}.pth", weights_only=True) for r in (0, 1))
    pairs = zip(first["hidden"], second["hidden"], strict=True)
    different = [not torch.equal(one, other) for one, other in pairs]
    assert sum(different) >= 3
    tokens = torch.cat([batch["semantic"].flatten() for batch in epoch])
    assert torch.equal(first["counts"], 2 * tokens.bincount(minlength=8))
    assert torch.equal(first["counts"], second["counts"])


def test_bfloat16_learns_like_float32(configuration, batches):
    """The mean mel loss of 50 steps, within 5 %; codebooks stay float32."""
    for variant in ("sta", "spd"):
        conf, epoch = configuration(variant), batches(False, steps=50)
        losses = []
        for dtype in (None, torch.bfloat16):
            codec, _, figures = train(conf, epoch, Options(), autocast=dtype)
            losses.append([figures.values[name] for name in ("mel_loss", "loss")])
            state = codec.state_dict()
            assert {v.dtype for v in state.values()} <= {torch.float32, torch.long, torch.bool}
        assert losses[1] == pytest.approx(losses[0], rel=0.05)
        assert losses[1] != losses[0]  # it was another precision


def test_a_batch_that_is_not_finite_touches_no_statistics(configuration, batches, caplog):
    """Weights, codebooks, running norms and token counts; the training goes on as without it."""
    for variant in ("sta", "spd", "plain"):
        conf, epoch = configuration(variant), batches(False, steps=6)
        broken = {name: values.clone() for name, values in epoch[4].items()}
        broken["audio"][:] = float("nan")
        kept = ("embed", "embed_sum", "seen", "cluster_size", "norm_sums", "token_counts")
        with caplog.at_level(logging.WARNING):
            codec, gradients, _ = train(conf, [*epoch[:4], broken], Options())
        assert "gradients are nan: this step is skipped" in caplog.text
        expected, finite, _ = train(conf, epoch[:4], Options())
        assert len(gradients) == len(finite)
        state = expected.state_dict()
        for name, value in codec.state_dict().items():
            assert torch.isfinite(value.float()).all(), name
            if not name.endswith(kept):
                assert torch.equal(value, state[name]) or name.endswith(("steps", "updates")), name
            elif "cluster_size" in name or "embed_sum" in name:
                # What no frame was added to has only faded.
                faded = state[name] * 0.99
                assert torch.allclose(value, faded) or torch.equal(value, state[name]), name
            else:
                assert torch.allclose(value, state[name], rtol=1e-4), name


def test_one_broken_item_does_not_reach_the_statistics_of_the_others(configuration, batches):
    conf, epoch = configuration("sta", adversary=False), batches(False, steps=3)
    for batch in epoch:
        batch["audio"][1] = float("inf")
    with pytest.raises(TrainingError, match="epoch 1: none of the 3 steps had finite gradients"):
        train(conf, epoch, Options())
    balancer = Balancer({"a": 1.0})
    audio = torch.zeros(2, 1, 2, requires_grad=True)
    loss = (audio * torch.tensor([[[3.0, 4.0]], [[0.0, float("nan")]]])).sum()
    balancer({"a": loss}, audio)
    assert (balancer.norm_sums / balancer.norm_counts).item() == pytest.approx(5.0)


def test_a_diverged_training_ends_with_a_sentence(configuration, batches, monkeypatch):
    monkeypatch.setattr(gan_steps, "MAX_STEPS_NOT_FINITE", 3)
    conf, epoch = configuration("sta"), batches(False, steps=8)
    for batch in epoch[2:]:
        batch["audio"][:] = float("nan")
    with pytest.raises(TrainingError, match="epoch 1: the last 3 steps had finite|lower the learn"):
        train(conf, epoch, Options())


def test_options_that_do_not_go_together(configuration, batches):
    conf, epoch = configuration("sta"), batches(False, steps=1)
    with pytest.raises(ConfigError, match="--accum_grad 2 goes with"):
        train(conf, epoch, Options(accum_grad=2, generator_first=True))
    with pytest.raises(ConfigError, match="--grad_noise"):
        train(conf, epoch, Options(grad_noise=True))


def test_turns_of_the_discriminator_are_skipped_alike_in_every_run(configuration, batches):
    """In about the share that is asked for, and none before the adversary's start."""
    conf, epoch = configuration("sta"), batches(False)
    turns = []
    for _ in range(2):
        _, gradients, _ = train(conf, epoch, Options(skip_discriminator_prob=0.5))
        turns.append([any("discriminator" in name for name in step) for step in gradients])
    assert turns[0] == turns[1]
    assert turns[0][:3] == [False] * 3
    assert 3 <= sum(turns[0]) <= STEPS - 6


def count_exchanges(rank: int, ranks: int, folder: Path, conf: dict, epoch: list) -> None:
    """Save how many exchanges each step asked for; those of gradients are torch's own."""
    counts: list[int] = []

    def counted(function):
        def call(*args, **kwargs):
            counts[-1] += 1
            return function(*args, **kwargs)

        return call

    def step_with_count(self, *args):
        counts.append(0)
        return step(self, *args)

    step = gan_steps.GANSteps._step
    counts.append(0)
    with (
        mock.patch.object(gan_steps.GANSteps, "_step", step_with_count),
        contextlib.ExitStack() as stack,
    ):
        for name in ("all_reduce", "all_gather", "all_gather_object", "broadcast"):
            function = counted(getattr(torch.distributed, name))
            stack.enter_context(mock.patch.object(torch.distributed, name, function))
        train(conf, epoch, Options(), distributed=True)
    (folder / f"{rank}.json").write_text(json.dumps(counts))


def test_a_step_asks_for_few_exchanges(configuration, batches, tmp_path):
    """Five with both turns: sizes, codebooks, norms of the losses, and the figures of each turn."""
    run_ranks(count_exchanges, tmp_path, configuration("sta"), batches(True, steps=8))
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first[-4:-1] == [5] * 3, first


def test_two_ranks_skip_the_same_turns_as_one(configuration, batches, tmp_path):
    conf, epoch = configuration("sta"), batches(False, steps=12)
    options = Options(grad_clip=100.0, skip_discriminator_prob=0.5)
    run_ranks(train_rank, tmp_path, conf, epoch, [0, 2, 3], options)
    train_rank(0, 1, tmp_path, conf, epoch, [0, 3], options)
    first, second, alone = (
        torch.load(tmp_path / name, weights_only=True) for name in ("2.0.pth", "2.1.pth", "1.0.pth")
    )
    assert 12 < len(alone["gradients"]) < 12 + 12 - 3  # some turns are taken, and some skipped
    for ranks in (first, second):
        assert_equal_turns(ranks["gradients"], alone["gradients"])
        assert_close(ranks["state"], alone["state"], "state")
