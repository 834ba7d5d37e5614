"""Frames that wait for later ones: what networks of causal codecs share that look ahead.

The later frames are seen in a network's first projection only, so that any number of layers looks
ahead as far as one. Past the end of the audio they are zeros.
"""

from collections.abc import MutableMapping

import torch
from torch import nn

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.lengths import length_mask

HIGHEST_LOOKAHEAD = 8  # frames
#: What streams remember, by name: tensors (B, ...), one row a stream, zeros where it begins.
Memory = MutableMapping[str, torch.Tensor]


class Lookahead(nn.Module):
    """How many later frames the output of a network for a frame depends on. It has no weights.

    Args:
        frames: How many, k; 0 to 8.

    Raises:
        ConfigError: If that is out of its range.
    """

    def __init__(self, frames: int) -> None:
        super().__init__()
        if not 0 <= frames <= HIGHEST_LOOKAHEAD:
            raise ConfigError(
                f"A causal network cannot look {frames} frames ahead; give"
                f" lookahead_frames in 0..{HIGHEST_LOOKAHEAD}."
            )
        self.frames = frames

    def whole(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Return whole sequences (B, D, T) and the k zeros that follow them: (B, D, T + k).

        Args:
            x: (B, D, T).
            lengths: (B,) valid frames; None if all T are. Frames past them become zeros.
        """
        if lengths is not None:
            # As if the item were alone.
            x = x * length_mask(lengths, x.shape[2]).unsqueeze(1)
        return nn.functional.pad(x, (0, self.frames))

    def seen_together(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, F, D * (k + 1)): each of F frames and the k after it, of x (B, D, F + k)."""
        return x.unfold(2, self.frames + 1, 1).transpose(1, 2).flatten(2)

    def memory(self, streams: int, like: torch.Tensor, dimension: int, name: str) -> Memory:
        """Return what new streams remember of frames that wait; `like` has its type and device."""
        return {
            f"{name}.ahead": like.new_zeros(streams, dimension, self.frames),
            f"{name}.received": torch.zeros(streams, dtype=torch.long),
        }

    def arrived(self, x: torch.Tensor, memory: Memory, name: str) -> torch.Tensor:
        """Return the frames that are complete with the next ones, and the k after them.

        Args:
            x: (B, D, F) next frames. After the last frames of a stream, zeros.
            memory: What the streams remember, which is changed. They have received equally many
                frames, or all of them more than k.
            name: As for `memory`.

        Returns:
            (B, D, F' + k), or (B, D, 0) where F' is none.
        """
        received = memory[f"{name}.received"]
        joined, missing = delayed(x, memory[f"{name}.ahead"], int(received.min()))
        received += x.shape[2]
        x = joined[..., missing:]
        return x if x.shape[2] > self.frames else x[..., :0]


def delayed(x: torch.Tensor, kept: torch.Tensor, received: int) -> tuple[torch.Tensor, int]:
    """Put the frames that wait for later ones before the new ones, and keep the last ones.

    Args:
        x: (B, C, F) new frames.
        kept: (B, C, k) the last k frames before them, which is changed.
        received: Frames that came before; where it differs among streams, it is k or more.

    Returns:
        (B, C, k + F), and how many frames at its beginning were never received.
    """
    wait = kept.shape[2]
    joined = torch.cat([kept, x], 2)
    kept.copy_(joined[..., joined.shape[2] - wait :])
    return joined, max(0, wait - received)
