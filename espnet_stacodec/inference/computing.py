"""Where and in which precision a codec computes: what encoding and decoding share."""

import torch

from espnet_stacodec.config import choose, whole_number
from espnet_stacodec.inference.arrays import Count
from espnet_stacodec.inference.description import CodecDescription

# On a CPU only what gains from it is computed together: recurrent layers and transformers.
DEVICE_BATCH_SIZE = {"cpu": 8}
DEFAULT_BATCH_SIZE = 16
# What the networks compute in. Codebooks, and what is added up over many frames, stay float32.
# "float16" is of weights only.
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float32,
    "float64": torch.float64,
}


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Compute in a precision in the block, whatever the caller's autocast says.

    Raises:
        ConfigError: If there is no such precision.
    """
    dtype = choose(PRECISIONS, precision, "precision")
    low = dtype == torch.bfloat16
    return torch.autocast(device.type, dtype if low else None, enabled=low)


class Computing(CodecDescription):
    """A codec on a device.

    Attributes:
        device: Where to compute.
        precision: "float32", in which codes are the same wherever they are made; "bfloat16";
            "float16", weights rounded to it; or, of a causal codec, "float64", in which streams
            have the codes of the whole to the last one.
        fingerprint: 16 hexadecimal digits that identify the weights, and the settings that decide
            codes and audio.
    """

    device: torch.device
    precision: str
    fingerprint: str

    @property
    def output_key(self) -> str:
        """What decides codes and audio: the fingerprint, and a precision that is not float32."""
        other = "" if self.precision == "float32" else f" {self.precision}"
        return f"{self.fingerprint}{other}"

    def _batch_size(self, given: Count) -> int:
        default = DEVICE_BATCH_SIZE.get(self.device.type, DEFAULT_BATCH_SIZE)
        return whole_number("batch_size", given, default)

    def _computing(self) -> torch.autocast:
        return autocast(self.device, self.precision)
