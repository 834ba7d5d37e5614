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

    def forward(self, losses: Mapping[str, torch.Tensor], audio: torch.Tensor) -> torch.Tensor:
        """Return a scalar whose gradient at `audio` is the balanced one.

        Args:
            losses: The losses by name, each a function of `audio`; not all need to be there.
            audio: (B, 1, N) generated audio, with its graph.
        """
        total_weight = sum(self.weights[name] for name in losses)
        balanced = torch.zeros_like(audio)
        for index, name in enumerate(self.weights):
            if name not in losses:
                continue
            (gradient,) = torch.autograd.grad(losses[name], [audio], retain_graph=True)
            norm = self._running_norm(index, gradient.flatten(1).norm(dim=1))
            share = self.weights[name] / total_weight
            balanced += self.total_norm * share / norm.clamp(min=1e-12) * gradient
        # Linear in the audio: its gradient is `balanced`, and no loss is back-propagated again.
        return (audio * balanced.detach()).sum()

    def _running_norm(self, index: int, norms: torch.Tensor) -> torch.Tensor:
        """Add gradient norms (B,) to the running mean of one loss, on all ranks; return it."""
        total, count = norms.sum(), norms.new_tensor(float(len(norms)))
        all_reduce_sum(total, count)
        self.norm_sums[index] = self.decay * self.norm_sums[index] + (1 - self.decay) * total
        self.norm_counts[index] = self.decay * self.norm_counts[index] + (1 - self.decay) * count
        return self.norm_sums[index] / self.norm_counts[index]
