"""Losses of the generated audio: beside the real one, and in the discriminator's eyes.

EnCodec, arXiv 2210.13438, section 3.4.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import torch
from espnet2.gan_codec.shared.discriminator.msstft_discriminator import MultiScaleSTFTDiscriminator
from espnet2.gan_tts.hifigan.loss import (
    DiscriminatorAdversarialLoss,
    FeatureMatchLoss,
    GeneratorAdversarialLoss,
)
from torch import nn

from espnet_stacodec.gan_codec.batch_part import BatchPart
from espnet_stacodec.gan_codec.lengths import groups_of_equal_length
from espnet_stacodec.gan_codec.spectral_losses import CompressedSTFTLoss, MultiScaleMelLoss

_generator_loss = GeneratorAdversarialLoss(average_by_discriminators=True, loss_type="hinge")
_discriminator_loss = DiscriminatorAdversarialLoss(
    average_by_discriminators=True, loss_type="hinge"
)
_feature_match_loss = FeatureMatchLoss()


@dataclasses.dataclass(frozen=True)
class AudioLosses:
    """What the two turns of a step make of generated audio.

    Audio is (B, 1, N), with `lengths` (B,) valid samples, None if all N are. A step's batch may be
    divided into parts; the losses of a part are its shares of those of the whole batch.

    Attributes:
        mel: The mel loss.
        stft: The loss of compressed spectra; None for none.
        discriminator: ESPnet's.
        adversary: Whether the discriminator plays a part in the generator's loss.
    """

    mel: MultiScaleMelLoss
    stft: CompressedSTFTLoss | None
    discriminator: MultiScaleSTFTDiscriminator
    adversary: bool

    def of_generator(
        self,
        audio: torch.Tensor,
        generated: torch.Tensor,
        lengths: torch.Tensor | None,
        part: BatchPart,
    ) -> dict[str, torch.Tensor]:
        """Return the generator's losses () by name; which windows they look at is drawn."""
        losses: dict[str, torch.Tensor] = {}
        spectral = {"mel_loss": self.mel, "stft_loss": self.stft}
        scales = {name: loss.draw() for name, loss in spectral.items() if loss is not None}
        for share, real, fake in _rows(audio, generated, lengths, part):
            for name, value in self._of_rows(real, fake, scales).items():
                losses[name] = losses.get(name, 0.0) + share * value
        return losses

    def of_discriminator(
        self,
        audio: torch.Tensor,
        generated: torch.Tensor,
        lengths: torch.Tensor | None,
        part: BatchPart,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the discriminator's losses () of the real and of the generated audio."""
        real_loss = fake_loss = audio.new_zeros(())
        for share, real, fake in _rows(audio, generated, lengths, part):
            losses = _discriminator_loss(self._discriminate(fake), self._discriminate(real))
            real_loss = real_loss + share * losses[0]
            fake_loss = fake_loss + share * losses[1]
        return real_loss, fake_loss

    def _of_rows(
        self, real: torch.Tensor, fake: torch.Tensor, scales: Mapping[str, Sequence[int]]
    ) -> dict[str, torch.Tensor]:
        """Return the generator's losses by name.

        Args:
            real: (b, 1, n) audio without padding.
            fake: (b, 1, n) what was generated.
            scales: Which windows each spectral loss looks at.
        """
        with torch.autocast(fake.device.type, enabled=False):
            losses = {
                "reconstruct_loss": nn.functional.l1_loss(fake, real),
                "mel_loss": self.mel(fake, real, scales["mel_loss"]),
            }
            if self.stft is not None:
                losses["stft_loss"] = self.stft(fake, real, scales["stft_loss"])
        if self.adversary:
            outputs_fake = self._discriminate(fake)
            with torch.no_grad():
                outputs_real = self._discriminate(real)
            losses["adv_loss"] = _generator_loss(outputs_fake)
            losses["feat_match_loss"] = _feature_match_loss(outputs_fake, outputs_real)
        return losses

    def _discriminate(self, audio: torch.Tensor) -> list[list[torch.Tensor]]:
        """audio: (b, 1, n), zero-padded to the longest window where it is shorter."""
        longest = max(d.n_fft for d in self.discriminator.discriminators)
        padded = nn.functional.pad(audio, (0, max(0, longest - audio.shape[-1])))
        return [[output.float() for output in outputs] for outputs in self.discriminator(padded)]


def _rows(
    audio: torch.Tensor, generated: torch.Tensor, lengths: torch.Tensor | None, part: BatchPart
) -> Iterator[tuple[float, torch.Tensor, torch.Tensor]]:
    """Yield (share of all samples, audio, generated audio) of rows of one length, unpadded."""
    if lengths is None:
        yield part.size.samples / part.whole.samples, audio, generated
        return
    for length, rows in groups_of_equal_length(lengths):
        share = length * len(rows) / part.whole.samples
        yield share, audio[rows, :, :length], generated[rows, :, :length]
