"""Loss balancer: a loss weight says which share of the decoder's gradient a loss gets.

EnCodec, arXiv 2210.13438, section 3.4, equation 5. ESPnet's `Balancer` prints its losses at every
step, ignores loss weights, and back-propagates through every loss a second time.
"""

from collections.abc import Mapping

import torch
from torch import nn

from espnet_stacodec.gan_codec.distributed import all_reduce_sum


class Balancer(nn.Module):
    """Rescales the gradients of several losses with respect to the generated audio.

    Each is divided by the running mean of its norm over the steps before; in the step that meets a
    loss for the first time, by the mean over that step's batch. So all parts of a batch, on several
    ranks or in several passes, are scaled alike.

    Args:
        weights: Weight of each loss by name; only their ratios matter.
        total_norm: Norm per item of the combined gradient.
        decay: Decay of the running mean of each loss's gradient norm.
    """

    norm_sums: torch.Tensor
    norm_counts: torch.Tensor

    def __init__(
        self, weights: Mapping[str, float], total_norm: float = 1.0, decay: float = 0.999
    ) -> None:
        super().__init__()
        self.weights = dict(weights)
        self.total_norm = total_norm
        self.decay = decay
        # Buffers, so that a resumed training goes on with the same scales.
        self.register_buffer("norm_sums", torch.zeros(len(self.weights)))
        self.register_buffer("norm_counts", torch.zeros(len(self.weights)))
        # Sums and counts of the step's passes so far, and of all its passes where measured before.
        self._passes: torch.Tensor | None = None
        self._measured: torch.Tensor | None = None

    def forward(
        self, losses: Mapping[str, torch.Tensor], audio: torch.Tensor, is_last: bool = True
    ) -> torch.Tensor:
        """Return a scalar whose gradient at `audio` is the balanced one.

        Args:
            losses: The losses by name, each a function of `audio`; not all need to be there.
            audio: (B, 1, N) generated audio, with its graph.
            is_last: Whether the passes of this step are complete: the running means change then.
        """
        gradients = self._gradients(losses, audio)
        met = self._norms(gradients, audio)
        all_reduce_sum(met)
        first = met if self._measured is None else self._measured
        sums, counts = torch.where(self.norm_counts > 0, self._running(), first)
        norms = sums / counts.clamp(min=1e-12)
        total_weight = sum(self.weights[name] for name in losses)
        balanced = torch.zeros_like(audio)
        for index, name in enumerate(self.weights):
            if name in gradients:
                scale = self.total_norm * self.weights[name] / total_weight
                balanced += scale / norms[index].clamp(min=1e-12) * gradients[name]
        self._passes = met if self._passes is None else self._passes + met
        if is_last:
            self._learn()
        # Linear in the audio: its gradient is `balanced`, and no loss is back-propagated again.
        return (audio * balanced.detach()).sum()

    def measure(
        self, losses: Mapping[str, torch.Tensor], audio: torch.Tensor, is_first: bool
    ) -> None:
        """Add a pass to what a step with several passes is scaled by, if a loss is new in it.

        To be called for each pass of the step before the first `forward`; arguments as there.
        """
        met = self._norms(self._gradients(losses, audio), audio)
        all_reduce_sum(met)
        self._measured = met if is_first or self._measured is None else self._measured + met

    def knows(self, names: Mapping[str, torch.Tensor]) -> bool:
        """Return whether each of these losses was met in an earlier step; waits for the device."""
        counts = dict(zip(self.weights, self.norm_counts.tolist(), strict=True))
        return all(counts[name] > 0 for name in names)

    def _gradients(
        self, losses: Mapping[str, torch.Tensor], audio: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return the gradient (B, 1, N) of each loss at the audio."""
        unknown = sorted(set(losses) - set(self.weights))
        if unknown:
            raise KeyError(f"no weight for {', '.join(unknown)}")
        return {
            name: torch.autograd.grad(loss, [audio], retain_graph=True)[0]
            for name, loss in losses.items()
        }

    def _norms(self, gradients: Mapping[str, torch.Tensor], audio: torch.Tensor) -> torch.Tensor:
        """Return the sum of the items' norms, and their number, by loss: (2, losses).

        Items whose audio or gradient is not finite do not count.
        """
        whole = audio.isfinite().flatten(1).all(1)
        met = torch.zeros_like(self._running())
        for index, name in enumerate(self.weights):
            if name in gradients:
                norms = gradients[name].flatten(1).norm(dim=1)
                finite = norms.isfinite() & whole
                met[0, index] = norms.masked_fill(~finite, 0.0).sum()
                met[1, index] = finite.sum()
        return met

    def _running(self) -> torch.Tensor:
        return torch.stack([self.norm_sums, self.norm_counts])

    @torch.no_grad()
    def _learn(self) -> None:
        """Add the step's norms to the running means of the losses that were in it."""
        assert self._passes is not None
        there = self._passes[1] > 0
        followed = self.decay * self._running() + (1 - self.decay) * self._passes
        sums, counts = torch.where(there, followed, self._running())
        self.norm_sums.copy_(sums)
        self.norm_counts.copy_(counts)
        self._passes = self._measured = None
