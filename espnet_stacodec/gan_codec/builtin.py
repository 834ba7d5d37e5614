"""ESPnet's built-in codecs with the interface of `STACodecGenerator`: baselines."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from espnet2.gan_codec.abs_gan_codec import AbsGANCodec
from espnet2.tasks.gan_codec import codec_choices
from torch import nn

from espnet_stacodec.config import check_keys, choose
from espnet_stacodec.frames import FrameRule
from espnet_stacodec.gan_codec.quantizer.residual import PADDED_CODE
from espnet_stacodec.gan_codec.tokens.source import NoTokens
from espnet_stacodec.gan_codec.windows import Windows


@dataclasses.dataclass(frozen=True)
class BuiltinCodebook:
    """Size of a codebook of ESPnet, all of whose entries count."""

    size: int

    @property
    def num_choices(self) -> int:
        """How many entries can be chosen."""
        return self.size


class BuiltinGenerator(nn.Module):
    """Encodes and decodes with a codec of ESPnet, e.g. `encodec`, `soundstream` or `dac`.

    Args:
        codec: The codec; its discriminator is not kept.
    """

    def __init__(self, codec: AbsGANCodec) -> None:
        super().__init__()
        self.codec = codec
        if hasattr(codec, "discriminator"):
            del codec.discriminator
        meta = codec.meta_info()
        self.frame_rule = FrameRule(int(meta["frame_shift"]), int(meta["fs"]))
        self.codebooks = [BuiltinCodebook(size) for size in meta["code_size_per_stream"]]
        self.token_source = NoTokens()
        #: What decides codes and audio besides the weights.
        self.settings = {"codec": type(codec).__name__, **meta}
        self.windows: list[Windows] = []  # there is no transformer
        self.causal = False

    def codes(
        self,
        audio: torch.Tensor,
        semantic: torch.Tensor | None = None,
        num_samples: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the codes; arguments and result as for `STACodecGenerator.codes`.

        Padded items are encoded one by one: ESPnet's codecs see the padding of a batch.
        """
        hop = self.frame_rule.hop_samples
        audio = nn.functional.pad(audio, (0, -audio.shape[-1] % hop))
        if num_samples is None:
            return self.codec.encode(audio)
        lengths = [self.frame_rule.num_frames(n) for n in num_samples.tolist()]
        shape = (len(self.codebooks), len(audio), max(lengths))
        codes = torch.full(shape, PADDED_CODE, device=audio.device)
        for row, length in enumerate(lengths):
            alone = audio[row : row + 1, :, : self.frame_rule.num_samples(length)]
            codes[:, row, :length] = self.codec.encode(alone)[:, 0]
        return codes

    def decode(self, codes: torch.Tensor, num_frames: torch.Tensor | None = None) -> torch.Tensor:
        """Return the audio (B, 1, T * hop) of codes (n, B, T).

        Padded items are decoded one by one, as they are encoded.
        """
        if num_frames is None:
            return self.codec.decode(codes)
        audio = torch.zeros(codes.shape[1], 1, self.frame_rule.num_samples(codes.shape[2]))
        audio = audio.to(next(self.parameters()))
        for row, length in enumerate(num_frames.tolist()):
            alone = self.codec.decode(codes[:, row : row + 1, :length])
            audio[row, :, : self.frame_rule.num_samples(length)] = alone[0]
        return audio


def build_builtin_codec(name: str, conf: Mapping[str, Any], where: str) -> AbsGANCodec:
    """Build a codec of ESPnet.

    Raises:
        ConfigError: If ESPnet has no such codec, or the codec no such option.
    """
    codec_class = choose(codec_choices.classes, name, f"{where}: codec")
    check_keys(conf, list(inspect.signature(codec_class).parameters), f"{where}: codec_conf")
    return codec_class(**conf)
