"""ESPnet's GAN codec model, with semantic tokens let through to the codec."""

from typing import Any

import torch
from espnet2.gan_codec.espnet_model import ESPnetGANCodecModel


class ESPnetSTACodecModel(ESPnetGANCodecModel):
    """`ESPnetGANCodecModel` passes nothing but audio on; this one passes every stream."""

    def forward(
        self, audio: torch.Tensor, forward_generator: bool = True, **kwargs
    ) -> dict[str, Any]:
        """Return the codec's loss; arguments as for `STACodec.forward`."""
        return self.codec(audio=audio, forward_generator=forward_generator, **kwargs)
