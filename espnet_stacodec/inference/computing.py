"""Where and in which precision a codec computes: what encoding and decoding share."""

import torch

from espnet_stacodec.config import whole_number
from espnet_stacodec.inference.arrays import Count
from espnet_stacodec.inference.description import CodecDescription

# On a CPU only what gains from it is computed together: recurrent layers and transformers.
DEVICE_BATCH_SIZE = {"cpu": 8}
DEFAULT_BATCH_SIZE = 16


class Computing(CodecDescription):
    """A codec on a device.

    Attributes:
        device: Where to compute.
        fingerprint: 16 hexadecimal digits that identify the weights, and the settings that decide
            codes and audio.
    """

    device: torch.device
    fingerprint: str

    def _batch_size(self, given: Count) -> int:
        default = DEVICE_BATCH_SIZE.get(self.device.type, DEFAULT_BATCH_SIZE)
        return whole_number("batch_size", given, default)

    def _float32(self) -> torch.autocast:
        """Compute in float32, so that codes are the same wherever they are made."""
        return torch.autocast(self.device.type, enabled=False)
