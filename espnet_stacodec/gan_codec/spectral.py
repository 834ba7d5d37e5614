"""Encoder and decoder on the frames of a short-time spectrum: small, and fast on a CPU.

SEANet spends most of its time on few channels at the full sampling rate, where a CPU is slowest.
Here audio is a spectrum with one frame for each frame of codes, from the start and to the end, as
in Vocos (arXiv 2306.00814), and everything learned is a ConvNeXt stack over these frames.
"""

import torch
from torch import nn

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.convnext import ConvNeXt
from espnet_stacodec.gan_codec.lengths import length_mask

# The encoder sees magnitudes to this power, which brings loud and quiet bins closer together.
COMPRESSION = 0.3
SMALLEST_MAGNITUDE = 1e-5  # in a spectrum of samples in -1..1; below it there is digital silence
LARGEST_LOG_MAGNITUDE = 6.0  # an untrained decoder must not overflow


class _Spectral(nn.Module):
    """The frames that encoder and decoder share: each lies around the middle of its hop.

    Raises:
        ConfigError: If the window is not three or more whole hops.
    """

    window: torch.Tensor

    def __init__(self, n_fft: int, hop_samples: int) -> None:
        super().__init__()
        if n_fft % hop_samples or n_fft < 3 * hop_samples:
            raise ConfigError(
                f"codec_conf.generator_params.spectral: n_fft {n_fft} is not three or more times"
                f" the frame of {hop_samples} samples; give e.g. {4 * hop_samples}."
            )
        self.n_fft, self.hop_samples = n_fft, hop_samples
        #: Samples that a frame reaches to the left of its hop; one more to the right if odd.
        self.side = (n_fft - hop_samples) // 2
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    @property
    def bins(self) -> int:
        """Frequencies of a frame."""
        return self.n_fft // 2 + 1


class SpectralEncoder(_Spectral):
    """Audio to latents: the bins of each frame's spectrum, then a ConvNeXt stack.

    Args:
        dimension: Latent dimension, D.
        hop_samples: Samples of a frame.
        n_fft: Samples of a window; three or more whole frames.
        channels: Width of the stack.
        blocks: Blocks of the stack.
        kernel: Frames that the convolution of a block sees.
        expansion: Width of a block's feed-forward layer, in channels.
    """

    def __init__(
        self,
        dimension: int,
        hop_samples: int,
        n_fft: int = 1280,
        channels: int = 384,
        blocks: int = 2,
        kernel: int = 7,
        expansion: float = 3.0,
    ) -> None:
        super().__init__(n_fft, hop_samples)
        self.stack = ConvNeXt(3 * self.bins, dimension, channels, blocks, kernel, expansion)

    def forward(self, x: torch.Tensor, num_samples: torch.Tensor | None = None) -> torch.Tensor:
        """Encode.

        Args:
            x: (B, 1, N) audio of whole frames, N = T * hop_samples.
            num_samples: (B,) valid samples, whole frames too; None if all N are.

        Returns:
            (B, D, T) latents, zero past the end of each item.
        """
        audio, num_frames = x.squeeze(1), None
        if num_samples is not None:
            num_frames = num_samples // self.hop_samples
            audio = audio * length_mask(num_samples, audio.shape[-1])
        margins = self.side, self.n_fft - self.hop_samples - self.side
        audio = nn.functional.pad(audio, margins)
        features = spectral_features(audio, self.window, self.hop_samples)
        latents = self.stack(features, num_frames).transpose(1, 2)
        if num_frames is not None:
            latents = latents * length_mask(num_frames, latents.shape[-1]).unsqueeze(1)
        return latents


class SpectralDecoder(_Spectral):
    """Latents to audio: a ConvNeXt stack gives each frame's spectrum, an inverse STFT the audio.

    Args:
        dimension: Latent dimension, D.
        hop_samples: Samples of a frame.
        n_fft: Samples of a window; three or more whole frames.
        channels: Width of the stack.
        blocks: Blocks of the stack.
        kernel: Frames that the convolution of a block sees.
        expansion: Width of a block's feed-forward layer, in channels.
    """

    def __init__(
        self,
        dimension: int,
        hop_samples: int,
        n_fft: int = 1280,
        channels: int = 384,
        blocks: int = 3,
        kernel: int = 7,
        expansion: float = 3.0,
    ) -> None:
        super().__init__(n_fft, hop_samples)
        self.stack = ConvNeXt(dimension, 3 * self.bins, channels, blocks, kernel, expansion)

    def forward(self, x: torch.Tensor, num_frames: torch.Tensor | None = None) -> torch.Tensor:
        """Decode.

        Args:
            x: (B, D, T) quantized latents.
            num_frames: (B,) valid frames; None if all T are.

        Returns:
            (B, 1, T * hop_samples) audio, zero past the end of each item.
        """
        parts = self.stack(x.transpose(1, 2), num_frames)
        with torch.autocast(x.device.type, enabled=False):
            spectrum = to_spectrum(parts)
            if num_frames is not None:
                spectrum = spectrum * length_mask(num_frames, x.shape[-1]).unsqueeze(2)
            audio = self._overlap_add(torch.fft.irfft(spectrum, self.n_fft) * self.window)
        if num_frames is not None:
            audio = audio * length_mask(num_frames * self.hop_samples, audio.shape[-1])
        return audio.unsqueeze(1)

    def _overlap_add(self, frames: torch.Tensor) -> torch.Tensor:
        """frames: (B, T, n_fft), windowed. Returns (B, T * hop_samples)."""
        count, hops = frames.shape[1], self.n_fft // self.hop_samples
        pieces = frames.unflatten(2, (hops, self.hop_samples))
        shifted = [nn.functional.pad(pieces[:, :, i], (0, 0, i, hops - 1 - i)) for i in range(hops)]
        summed = torch.stack(shifted).sum(0)
        audio = summed.flatten(1)[:, self.side : self.side + count * self.hop_samples]
        # Squared windows of three or more hops add up to a constant.
        return audio / (self.window.square().sum() / self.hop_samples)


def spectral_features(audio: torch.Tensor, window: torch.Tensor, hop_samples: int) -> torch.Tensor:
    """Return what encoders see of audio: compressed spectrum and logarithmic power.

    Args:
        audio: (B, N) samples; the first window begins with the first.
        window: (n_fft,).
        hop_samples: Samples from one window's beginning to the next one's.

    Returns:
        (B, T, 3 * (n_fft // 2 + 1)), whatever the caller's autocast says in the window's type.
    """
    with torch.autocast(audio.device.type, enabled=False):
        spectrum = torch.stft(
            audio.to(window.dtype),
            len(window),
            hop_samples,
            window=window,
            center=False,
            return_complex=True,
        ).transpose(1, 2)
        power = spectrum.real.square() + spectrum.imag.square() + SMALLEST_MAGNITUDE**2
        compressed = torch.view_as_real(spectrum) * power.unsqueeze(3) ** ((COMPRESSION - 1) / 2)
        # Centred, and of the size of the others.
        logarithm = 0.1 * power.log() + 0.5
        return torch.cat([*compressed.unbind(3), logarithm], 2)


def to_spectrum(parts: torch.Tensor) -> torch.Tensor:
    """Return the complex spectrum (B, T, bins) of what a decoder's stack makes (B, T, 3 * bins).

    A bin is a complex number times an exponential: its magnitude spans orders without its phase
    having to be an angle, which jumps.
    """
    parts = parts.to(torch.promote_types(parts.dtype, torch.float32))
    real, imaginary, logarithm = parts.chunk(3, 2)
    magnitude = logarithm.clamp(max=LARGEST_LOG_MAGNITUDE).exp()
    return torch.complex(magnitude * real, magnitude * imaginary)
