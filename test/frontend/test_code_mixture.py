"""The frontend that mixes codebooks, alone and through ESPnet's tasks."""

import logging

import numpy as np
import pytest
import torch
from espnet2.torch_utils.initialize import initialize
from torch import nn

from espnet_stacodec.errors import ConfigError, TokenError
from espnet_stacodec.frontend.code_mixture import MIXTURE_SPEED, CodeMixtureFrontend


@pytest.fixture
def frontend() -> CodeMixtureFrontend:
    torch.manual_seed(0)
    return CodeMixtureFrontend(input_size=8, n_codebooks=2, embed_dim=3).eval()


def test_a_frame_worked_by_hand():
    frontend = CodeMixtureFrontend(input_size=4, n_codebooks=2, embed_dim=2)
    with torch.no_grad():
        frontend.embedding.weight.copy_(torch.tensor([[0.0, 0], [0, 0], [1, 2], [5, -2]]))
        frontend.mixture.copy_(torch.tensor([3.0, 1.0]).log() / MIXTURE_SPEED)
    out, lengths = frontend(torch.tensor([[2, 3, 3, 2]]), torch.tensor([4]))
    # 3/4 of the first codebook's embedding and 1/4 of the second's.
    torch.testing.assert_close(out, torch.tensor([[[2.0, 1.0], [4.0, -1.0]]]))
    assert lengths.tolist() == [2]


def test_padding_never_changes_an_utterance(frontend):
    long, short = torch.tensor([2, 5, 3, 6, 2, 7]), torch.tensor([4, 5])
    batch = torch.tensor([[2, 5, 3, 6, 2, 7], [4, 5, -1, -1, -1, -1]])
    out, lengths = frontend(batch, torch.tensor([6, 2]))
    assert lengths.tolist() == [3, 1]
    for row, ids in enumerate((long, short)):
        alone, _ = frontend(ids[None], torch.tensor([len(ids)]))
        assert torch.equal(out[row, : alone.shape[1]], alone[0])
    assert (out[1, 1:] == 0).all()


def test_the_weights_of_the_mixture_learn(frontend):
    frontend.train()
    out, _ = frontend(torch.tensor([[2, 5, 3, 6]]), torch.tensor([4]))
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in frontend.parameters())


def test_frames_are_left_out_in_training_only():
    torch.manual_seed(0)
    frontend = CodeMixtureFrontend(input_size=4, embed_dim=2, code_dropout=0.5)
    ids = torch.full((1, 400), 3)
    left = (frontend(ids, torch.tensor([400]))[0] == 0).all(2).float().mean()
    assert 0.4 < left < 0.6
    assert (frontend.eval()(ids, torch.tensor([400]))[0] != 0).all()


def test_the_output_can_be_projected():
    frontend = CodeMixtureFrontend(input_size=4, embed_dim=2, output_dim=5)
    out, _ = frontend(torch.tensor([[2, 3]]), torch.tensor([2]))
    assert out.shape == (1, 2, 5) and frontend.output_size() == 5


@pytest.mark.parametrize(
    ("ids", "length", "message"),
    [
        ([[2, 3, 4]], 3, "not whole frames of n_codebooks 2"),
        ([[2, 8]], 2, "ids 2 to 8, the token list of this model has 0 to 7"),
        ([[2, -1]], 2, "ids -1 to 2"),
    ],
)
def test_ids_that_do_not_fit(frontend, ids, length, message):
    with pytest.raises(TokenError, match=message):
        frontend(torch.tensor(ids), torch.tensor([length]))


def test_sizes_that_make_no_sense():
    with pytest.raises(ConfigError, match="n_codebooks 0"):
        CodeMixtureFrontend(input_size=4, n_codebooks=0)


@pytest.fixture
def vectors(tmp_path):
    """A file of 8 vectors of 3 numbers, of another scale than embeddings; the first is zero."""
    entries = 100 * np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32) + 7
    entries[0] = 0
    np.save(tmp_path / "vectors.npy", entries)
    return tmp_path / "vectors.npy"


def from_vectors(path, fixed=False, embed_dim=3) -> CodeMixtureFrontend:
    return CodeMixtureFrontend(8, 2, embed_dim, output_dim=5, vectors=str(path), fixed=fixed)


@pytest.mark.parametrize("init", [None, "xavier_uniform"])
def test_embeddings_begin_as_the_vectors_at_one_scale(vectors, init):
    model = nn.Module()
    model.frontend = from_vectors(vectors)
    if init is not None:  # what ESPnet's tasks do once the model is built
        initialize(model, init)
    entries = torch.from_numpy(np.load(vectors))
    weight = model.frontend.embedding.weight
    torch.testing.assert_close(weight.detach() * entries.std(), entries)
    assert weight.std().item() == pytest.approx(1)
    assert (weight[0] == 0).all()


def test_vectors_that_are_all_the_same(tmp_path):
    np.save(tmp_path / "zero.npy", np.zeros((8, 3), np.float32))
    assert (from_vectors(tmp_path / "zero.npy").embedding.weight == 0).all()


@pytest.mark.parametrize("fixed", [False, True])
def test_fixed_embeddings_have_no_gradient(vectors, fixed):
    model = nn.Module()
    model.frontend = frontend = from_vectors(vectors, fixed).train()
    initialize(model, "xavier_uniform")
    before = frontend.embedding.weight.detach().clone()
    optimizer = torch.optim.Adam(frontend.parameters(), weight_decay=0.1)
    frontend(torch.tensor([[2, 5, 3, 6]]), torch.tensor([4]))[0].square().sum().backward()
    optimizer.step()
    assert (frontend.embedding.weight.grad is None) == fixed
    assert torch.equal(frontend.embedding.weight, before) == fixed
    assert frontend.mixture.grad is not None and frontend.mixture.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("shape", "cure"),
    [
        ((8, 4), "set embed_dim to 4."),
        ((9, 3), "they are of other codes."),
        ((24,), "they are of other codes."),
    ],
)
def test_vectors_that_do_not_fit(tmp_path, shape, cure):
    np.save(tmp_path / "vectors.npy", np.ones(shape, np.float32))
    with pytest.raises(ConfigError) as error:
        from_vectors(tmp_path / "vectors.npy")
    assert str(error.value) == (
        f"frontend_conf: {tmp_path}/vectors.npy holds {shape} numbers, input_size and embed_dim"
        f" are (8, 3); {cure}"
    )


def test_a_checkpoint_needs_no_vectors(vectors, caplog):
    trained = from_vectors(vectors)
    vectors.unlink()
    with caplog.at_level(logging.WARNING):
        frontend = from_vectors(vectors)
    assert f"{vectors} is gone: the embeddings must come from a checkpoint." in caplog.text
    frontend.load_state_dict(trained.state_dict())
    assert torch.equal(frontend.embedding.weight, trained.embedding.weight)


@pytest.mark.parametrize("task", ["asr", "mt", "slu"])
def test_espnet_knows_it(task):
    import importlib

    choices = importlib.import_module(f"espnet2.tasks.{task}").frontend_choices
    assert choices.get_class("code_mixture") is CodeMixtureFrontend
