"""The frontend that mixes codebooks, alone and through ESPnet's tasks."""

import pytest
import torch

from espnet_stacodec.errors import ConfigError, TokenError
from espnet_stacodec.frontend.code_mixture import CodeMixtureFrontend


@pytest.fixture
def frontend() -> CodeMixtureFrontend:
    torch.manual_seed(0)
    return CodeMixtureFrontend(input_size=8, n_codebooks=2, embed_dim=3).eval()


def test_a_frame_worked_by_hand():
    frontend = CodeMixtureFrontend(input_size=4, n_codebooks=2, embed_dim=2)
    with torch.no_grad():
        frontend.embedding.weight.copy_(torch.tensor([[0.0, 0], [0, 0], [1, 2], [5, -2]]))
        frontend.mixture.copy_(torch.tensor([3.0, 1.0]).log())
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


@pytest.mark.parametrize("task", ["asr", "mt", "slu"])
def test_espnet_knows_it(task):
    import importlib

    choices = importlib.import_module(f"espnet2.tasks.{task}").frontend_choices
    assert choices.get_class("code_mixture") is CodeMixtureFrontend
