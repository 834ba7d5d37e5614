"""Encoder and decoder on spectra that see nothing later than their frame: `spectral`, streaming.

A frame's spectrum is of a window that ends with the frame. What the decoder makes of a frame begins
with it, and lasts a little longer, to be faded over into what the next one begins with: so no
sample waits for a later frame.
"""

import torch
from torch import nn

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.causal_convnext import CausalConvNeXt
from espnet_stacodec.gan_codec.lengths import length_mask
from espnet_stacodec.gan_codec.lookahead import Memory
from espnet_stacodec.gan_codec.spectral import spectral_features, to_spectrum

WHERE = "codec_conf.generator_params.spectral"
FALL_SHARE = 0.25  # of a frame: the end of the encoder's window, where the newest samples are


class CausalSpectralEncoder(nn.Module):
    """Audio to latents: the bins of each frame's spectrum, then a ConvNeXt stack.

    Args:
        dimension: Latent dimension, D.
        hop_samples: Samples of a frame.
        n_fft: Samples of a window, which rises slowly and falls within a part of the last frame.
        channels: Width of the stack.
        blocks: Blocks of the stack.
        kernel: Frames that the convolution of a block sees.
        expansion: Width of a block's feed-forward layer, in channels.

    Raises:
        ConfigError: If the window is not longer than a frame, or odd, whose weights would fit the
            even one below it.
    """

    window: torch.Tensor

    def __init__(
        self,
        dimension: int,
        hop_samples: int,
        n_fft: int = 960,
        channels: int = 384,
        blocks: int = 2,
        kernel: int = 7,
        expansion: float = 3.0,
    ) -> None:
        super().__init__()
        if n_fft <= hop_samples or n_fft % 2:
            raise ConfigError(
                f"{WHERE}.encoder: n_fft {n_fft} is not longer than the frame of {hop_samples}"
                f" samples, or odd; give e.g. {3 * hop_samples}."
            )
        self.n_fft, self.hop_samples = n_fft, hop_samples
        fall = round(FALL_SHARE * hop_samples)
        rise = n_fft - fall
        window = torch.cat([torch.hann_window(2 * rise)[:rise], torch.hann_window(2 * fall)[fall:]])
        self.register_buffer("window", window, persistent=False)
        features = 3 * (n_fft // 2 + 1)
        self.stack = CausalConvNeXt(features, dimension, channels, blocks, kernel, expansion)

    def forward(self, x: torch.Tensor, num_samples: torch.Tensor | None = None) -> torch.Tensor:
        """Encode.

        Args:
            x: (B, 1, N) audio of whole frames, N = T * hop_samples.
            num_samples: (B,) valid samples, whole frames too; None if all N are.

        Returns:
            (B, D, T) latents, zero past the end of each item.
        """
        before = nn.functional.pad(x.squeeze(1), (self.n_fft - self.hop_samples, 0))
        latents = self.stack(self._features(before)).transpose(1, 2)
        if num_samples is not None:
            num_frames = num_samples // self.hop_samples
            latents = latents * length_mask(num_frames, latents.shape[-1]).unsqueeze(1)
        return latents

    def memory(self, streams: int, name: str) -> Memory:
        """Return what new streams remember, names beginning with `name`."""
        samples = self.window.new_zeros(streams, self.n_fft - self.hop_samples)
        return {f"{name}.samples": samples, **self.stack.memory(streams, name)}

    def step(self, x: torch.Tensor, memory: Memory, name: str) -> torch.Tensor:
        """Encode the next audio (B, 1, F * hop_samples); returns latents (B, D, F)."""
        kept = memory[f"{name}.samples"]
        audio = torch.cat([kept.to(x.dtype), x.squeeze(1)], 1)
        kept.copy_(audio[:, audio.shape[1] - kept.shape[1] :])
        return self.stack.step(self._features(audio), memory, name).transpose(1, 2)

    def _features(self, audio: torch.Tensor) -> torch.Tensor:
        return spectral_features(audio, self.window, self.hop_samples)


class CausalSpectralDecoder(nn.Module):
    """Latents to audio: a ConvNeXt stack gives each frame's spectrum, which is faded to the next.

    Args:
        dimension: Latent dimension, D.
        hop_samples: Samples of a frame.
        overlap_samples: Samples that the end of a frame is continued by and faded over.
        channels: Width of the stack.
        blocks: Blocks of the stack.
        kernel: Frames that the convolution of a block sees.
        expansion: Width of a block's feed-forward layer, in channels.

    Raises:
        ConfigError: If the overlap is longer than a frame, or makes an odd number of samples.
    """

    window: torch.Tensor

    def __init__(
        self,
        dimension: int,
        hop_samples: int,
        overlap_samples: int = 80,
        channels: int = 384,
        blocks: int = 3,
        kernel: int = 7,
        expansion: float = 3.0,
    ) -> None:
        super().__init__()
        length = hop_samples + overlap_samples
        if not 0 <= overlap_samples <= hop_samples or length % 2:
            raise ConfigError(
                f"{WHERE}.decoder: overlap_samples {overlap_samples} is not in 0..{hop_samples}, or"
                f" odd together with the frame; give e.g. {hop_samples // 4}."
            )
        self.hop_samples, self.length = hop_samples, length
        rise = torch.hann_window(2 * overlap_samples)[:overlap_samples]
        window = torch.cat([rise, torch.ones(hop_samples - overlap_samples), 1 - rise])
        self.register_buffer("window", window, persistent=False)
        bins = length // 2 + 1
        self.stack = CausalConvNeXt(dimension, 3 * bins, channels, blocks, kernel, expansion)

    def forward(self, x: torch.Tensor, num_frames: torch.Tensor | None = None) -> torch.Tensor:
        """Decode.

        Args:
            x: (B, D, T) quantized latents.
            num_frames: (B,) valid frames; None if all T are.

        Returns:
            (B, 1, T * hop_samples) audio, zero past the end of each item.
        """
        frames = self._frames(self.stack(x.transpose(1, 2)))
        first = frames.new_zeros(len(frames), self.length - self.hop_samples)
        audio, _ = self._faded(frames, first)
        if num_frames is not None:
            audio = audio * length_mask(num_frames * self.hop_samples, audio.shape[-1])
        return audio.unsqueeze(1)

    def memory(self, streams: int, name: str) -> Memory:
        """Return what new streams remember, names beginning with `name`."""
        fading = self.window.new_zeros(streams, self.length - self.hop_samples)
        return {f"{name}.fading": fading, **self.stack.memory(streams, name)}

    def step(self, x: torch.Tensor, memory: Memory, name: str) -> torch.Tensor:
        """Decode the next latents (B, D, F); returns audio (B, 1, F * hop_samples)."""
        frames = self._frames(self.stack.step(x.transpose(1, 2), memory, name))
        kept = memory[f"{name}.fading"]
        audio, fading = self._faded(frames, kept)
        kept.copy_(fading)
        return audio.unsqueeze(1)

    def _frames(self, parts: torch.Tensor) -> torch.Tensor:
        """parts: (B, T, 3 * bins). Returns (B, T, hop + overlap) windowed samples."""
        with torch.autocast(parts.device.type, enabled=False):
            return torch.fft.irfft(to_spectrum(parts), self.length) * self.window

    def _faded(
        self, frames: torch.Tensor, fading: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add what fades out of each frame to the next one.

        Args:
            frames: (B, T, hop + overlap), at least one.
            fading: (B, overlap) of the frame before.

        Returns:
            (B, T * hop) audio, and what fades out of the last frame.
        """
        own, after = frames[..., : self.hop_samples], frames[..., self.hop_samples :]
        before = torch.cat([fading.to(after.dtype).unsqueeze(1), after[:, :-1]], 1)
        silent = self.hop_samples - before.shape[2]
        return (own + nn.functional.pad(before, (0, silent))).flatten(1), after[:, -1]
