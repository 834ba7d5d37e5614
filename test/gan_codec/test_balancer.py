"""The loss balancer: whose share of the gradient is how large."""

import pytest
import torch

from espnet_stacodec.gan_codec.balancer import Balancer


def gradient_of(audio: torch.Tensor) -> torch.Tensor:
    assert audio.grad is not None
    return audio.grad


def losses_of(audio: torch.Tensor) -> dict[str, torch.Tensor]:
    """Two losses whose gradients at any audio (2, 1, 2) are 3 4 | 0 0 and 0 0 | 0 10."""
    return {
        "a": (audio * torch.tensor([[[3.0, 4.0]], [[0.0, 0.0]]])).sum(),
        "b": (audio * torch.tensor([[[0.0, 0.0]], [[0.0, 10.0]]])).sum(),
    }


def test_shares_worked_by_hand():
    audio = torch.randn(2, 1, 2, requires_grad=True)
    balancer = Balancer({"a": 1.0, "b": 3.0}, total_norm=8.0)
    balancer(losses_of(audio), audio).backward()
    # Mean norms over the two items: 2.5 and 5. Shares: a quarter and three quarters of 8.
    expected = torch.tensor([[[3.0, 4.0]], [[0.0, 0.0]]]) * (8 * 0.25 / 2.5)
    expected += torch.tensor([[[0.0, 0.0]], [[0.0, 10.0]]]) * (8 * 0.75 / 5)
    torch.testing.assert_close(gradient_of(audio), expected)


def test_the_scale_of_a_loss_does_not_matter():
    gradients = []
    for scale in (1.0, 1000.0):
        audio = torch.ones(2, 1, 2, requires_grad=True)
        losses = losses_of(audio)
        losses["a"] = losses["a"] * scale
        Balancer({"a": 1.0, "b": 1.0})(losses, audio).backward()
        gradients.append(gradient_of(audio))
    torch.testing.assert_close(*gradients)


def test_the_gradient_reaches_what_made_the_audio():
    """Through the network, the surrogate's gradient is the balanced one's."""
    network = torch.nn.Linear(2, 2, bias=False)
    audio = network(torch.ones(2, 1, 2))
    Balancer({"a": 1.0, "b": 3.0}, total_norm=8.0)(losses_of(audio), audio).backward()
    # d loss / d weight[i, j] = sum over items of the balanced gradient of output i, times input 1.
    assert network.weight.grad is not None
    torch.testing.assert_close(
        network.weight.grad, torch.tensor([[2.4, 2.4], [3.2 + 12.0, 3.2 + 12.0]])
    )


def test_norms_are_running_means():
    balancer = Balancer({"a": 1.0}, decay=0.5)
    # The first step is scaled by its own norm, the others by those before them: 5, then 15.
    for scale, expected in ((1.0, 5.0), (3.0, 5.0), (1.0, (0.5 * 5 + 15) / 1.5)):
        audio = torch.zeros(1, 1, 2, requires_grad=True)
        loss = (audio * torch.tensor([3.0, 4.0])).sum() * scale
        balancer({"a": loss}, audio).backward()
        # A mean without bias: the first norm counts half as much as the second.
        torch.testing.assert_close(
            gradient_of(audio)[0, 0], torch.tensor([3.0, 4.0]) * scale / expected
        )


def test_only_losses_that_are_there_share():
    audio = torch.zeros(2, 1, 2, requires_grad=True)
    balancer = Balancer({"a": 1.0, "b": 3.0}, total_norm=8.0)
    balancer({"b": losses_of(audio)["b"]}, audio).backward()
    torch.testing.assert_close(gradient_of(audio), torch.tensor([[[0.0, 0.0]], [[0.0, 16.0]]]))
    assert balancer.norm_counts[0] == 0


def test_a_loss_without_gradient_does_no_harm():
    audio = torch.zeros(1, 1, 2, requires_grad=True)
    Balancer({"a": 1.0})({"a": (audio * 0).sum()}, audio).backward()
    assert gradient_of(audio).tolist() == [[[0.0, 0.0]]]


def test_running_norms_survive_a_resume():
    def step(balancer: Balancer, scale: float) -> torch.Tensor:
        audio = torch.zeros(2, 1, 2, requires_grad=True)
        losses = losses_of(audio)
        losses["a"] = losses["a"] * scale
        balancer(losses, audio).backward()
        return gradient_of(audio)

    one, other = Balancer({"a": 1.0, "b": 1.0}), Balancer({"a": 1.0, "b": 1.0})
    step(one, 5.0)
    other.load_state_dict(one.state_dict())
    resumed = step(other, 1.0)
    assert torch.equal(resumed, step(one, 1.0))
    assert not torch.allclose(resumed, step(Balancer({"a": 1.0, "b": 1.0}), 1.0))


def test_an_unknown_loss_is_not_dropped_in_silence():
    audio = torch.zeros(2, 1, 2, requires_grad=True)
    with pytest.raises(KeyError):
        Balancer({"a": 1.0})(losses_of(audio), audio)


def test_the_passes_of_a_step_are_scaled_alike_and_change_the_means_once():
    """Two passes of one item each give the gradients of one pass of two items."""

    def halves(balancer: Balancer, first: bool) -> torch.Tensor:
        audio = [torch.zeros(1, 1, 2, requires_grad=True) for _ in range(2)]

        def losses(row: int) -> dict[str, torch.Tensor]:
            # A zero in place of the other item.
            whole = [torch.zeros(1, 1, 2), torch.zeros(1, 1, 2)]
            whole[row] = audio[row]
            return losses_of(torch.cat(whole))

        if first:
            for row in (0, 1):
                balancer.measure(losses(row), audio[row], is_first=row == 0)
        for row in (0, 1):
            balancer(losses(row), audio[row], is_last=row == 1).backward()
        return torch.cat([gradient_of(item) for item in audio])

    one, other = Balancer({"a": 1.0, "b": 3.0}), Balancer({"a": 1.0, "b": 3.0})
    for step in range(3):
        audio = torch.zeros(2, 1, 2, requires_grad=True)
        assert one.knows(losses_of(audio)) == (step > 0)
        one(losses_of(audio), audio).backward()
        torch.testing.assert_close(halves(other, first=step == 0), gradient_of(audio))
        for name, value in one.state_dict().items():
            torch.testing.assert_close(value, other.state_dict()[name])
