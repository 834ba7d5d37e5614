"""Residual convolutions as an encoder: words from few examples of codes.

A word is a short sequence of semantic tokens, wherever in the utterance it stands, and this encoder
sees no more than that. Why it learned from 253 utterances what others did not was not examined.
"""

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from torch import nn
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError


class ConvolutionEncoder(AbsEncoder):
    """A linear layer, then blocks x + dropout(relu(conv(norm(x)))), then a norm; no subsampling.

    Args:
        input_size: Dimension of the frames, D.
        output_size: Channels of every layer, E.
        num_blocks: Residual blocks.
        kernel_size: Frames that a convolution sees; odd, so that the output is aligned.
        dropout_rate: Probability of dropout at the end of each block.

    Raises:
        ConfigError: If a size is not positive, or kernel_size is even.
    """

    interctc_use_conditioning = False  # ESPnet's models ask

    @typechecked
    def __init__(
        self,
        input_size: int,
        output_size: int = 128,
        num_blocks: int = 3,
        kernel_size: int = 5,
        dropout_rate: float = 0.3,
    ) -> None:
        super().__init__()
        if min(input_size, output_size, num_blocks, kernel_size) < 1 or kernel_size % 2 == 0:
            raise ConfigError(
                f"encoder_conf: input_size {input_size}, output_size {output_size}, num_blocks"
                f" {num_blocks} and kernel_size {kernel_size} must be positive, kernel_size odd."
            )
        self._output_size = output_size
        self.input = nn.Linear(input_size, output_size)
        self.norms = nn.ModuleList(nn.LayerNorm(output_size) for _ in range(num_blocks))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(output_size, output_size, kernel_size, padding="same")
            for _ in range(num_blocks)
        )
        self.dropout = nn.Dropout(dropout_rate)
        self.last_norm = nn.LayerNorm(output_size)

    def forward(
        self,
        xs_pad: torch.Tensor,
        ilens: torch.Tensor,
        prev_states: torch.Tensor | None = None,
        ctc: nn.Module | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Encode the frames.

        Args:
            xs_pad: (B, T, D) frames; anything past the end of an item.
            ilens: (B,) valid frames of each item.
            prev_states: Not used; ESPnet's interface.
            ctc: Not used; ESPnet's interface.

        Returns:
            (B, T, E), zero past the end of each item, (B,) the lengths as they came, and None.
        """
        valid = (torch.arange(xs_pad.shape[1], device=xs_pad.device) < ilens[:, None])[..., None]
        # Zeroed before every convolution, so that padding never reaches a valid frame.
        hidden = self.input(xs_pad).masked_fill(~valid, 0)
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            normed = norm(hidden).masked_fill(~valid, 0)
            hidden = hidden + self.dropout(convolution(normed.mT).relu().mT)
        return self.last_norm(hidden).masked_fill(~valid, 0), ilens, None

    def output_size(self) -> int:
        """Return E."""
        return self._output_size
