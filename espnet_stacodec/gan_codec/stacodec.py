"""STACodec as an ESPnet GAN codec: generator, MS-STFT discriminator, losses.

STACodec, arXiv 2602.06180; the training losses are EnCodec's, arXiv 2210.13438, section 3.4.
"""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from espnet2.gan_codec.abs_gan_codec import AbsGANCodec
from espnet2.torch_utils.device_funcs import force_gatherable
from typeguard import typechecked

from espnet_stacodec.config import check_keys, check_range, construct
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.frames import align_tokens
from espnet_stacodec.gan_codec.audio_losses import AudioLosses
from espnet_stacodec.gan_codec.balancer import Balancer
from espnet_stacodec.gan_codec.batch_part import BatchPart, BatchSize, divide
from espnet_stacodec.gan_codec.discriminator import build_discriminator
from espnet_stacodec.gan_codec.generator import Generated, STACodecGenerator
from espnet_stacodec.gan_codec.quantizer.residual import PADDED_CODE
from espnet_stacodec.gan_codec.random_state import RandomState
from espnet_stacodec.gan_codec.spectral_losses import CompressedSTFTLoss, MultiScaleMelLoss
from espnet_stacodec.gan_codec.step_counter import StepCounter
from espnet_stacodec.gan_codec.tokens.source import Tokenizer

# The losses that are functions of the generated audio, with the weights EnCodec's successors use.
LOSS_WEIGHTS = {
    "reconstruct_loss": 0.1,
    "mel_loss": 2.0,
    "adv_loss": 4.0,
    "feat_match_loss": 4.0,
    "stft_loss": 2.0,
}


class STACodec(StepCounter, AbsGANCodec):
    """The codec that ESPnet trains as `codec: stacodec`.

    Args:
        sampling_rate: Hz.
        generator_params: Arguments of `STACodecGenerator`.
        discriminator_params: Arguments of ESPnet's `MultiScaleSTFTDiscriminator`.
        mel_loss_params: Arguments of `MultiScaleMelLoss`.
        stft_loss_params: Arguments of `CompressedSTFTLoss`; None for no such loss.
        loss_weights: Shares of the gradient at the generated audio, by loss name (`Balancer`).
        lambda_commit: Weight of the commitment loss, which does not pass through the balancer.
        adversary_start_step: The discriminator is not trained, and plays no part in the
            generator's loss, before the generator has made this many steps.
        semantic_fingerprint: Fingerprint of the tokenizer whose tokens are assigned.
        semantic_tokenizer: The tokenizer.yaml of a folder with that tokenizer, which `encode` then
            runs where it gets no tokens; packed experiments have it.

    Raises:
        ConfigError: If an option is unknown or out of its range, or options do not go together.
    """

    # Set where the codec is registered with ESPnet: the codec and the extraction of tokens do not
    # import each other.
    tokenizer_class: ClassVar[type[Tokenizer] | None] = None
    # In the state, so that the adversary's start survives a resumed training.
    counter = "generator_steps"
    generator_steps: torch.Tensor

    @typechecked
    def __init__(
        self,
        sampling_rate: int = 16000,
        generator_params: Mapping[str, Any] | None = None,
        discriminator_params: Mapping[str, Any] | None = None,
        mel_loss_params: Mapping[str, Any] | None = None,
        stft_loss_params: Mapping[str, Any] | None = None,
        loss_weights: Mapping[str, float] | None = None,
        lambda_commit: float = 1.0,
        adversary_start_step: int = 0,
        semantic_fingerprint: str | None = None,
        semantic_tokenizer: str | None = None,
    ) -> None:
        super().__init__()
        where = "codec_conf"
        check_range(where, 0, lambda_commit=lambda_commit)
        check_range(where, 0, adversary_start_step=adversary_start_step)
        self.generator = construct(
            STACodecGenerator,
            {"sample_rate": sampling_rate, **(generator_params or {})},
            f"{where}.generator_params",
        )
        self.discriminator = build_discriminator(
            discriminator_params or {}, f"{where}.discriminator_params"
        )
        self.mel_loss = construct(
            MultiScaleMelLoss,
            {"sample_rate": sampling_rate, **(mel_loss_params or {})},
            f"{where}.mel_loss_params",
        )
        self.stft_loss = None
        known = dict(LOSS_WEIGHTS)
        if stft_loss_params is None:
            del known["stft_loss"]
        else:
            self.stft_loss = construct(
                CompressedSTFTLoss, stft_loss_params, f"{where}.stft_loss_params"
            )
        check_keys(loss_weights or {}, known, f"{where}.loss_weights")
        self.loss_weights = known | dict(loss_weights or {})
        check_range(f"{where}.loss_weights", 0, **self.loss_weights)
        _check_some_loss(self.loss_weights, adversary_start_step, f"{where}.loss_weights")
        self.balancer = Balancer(self.loss_weights)
        self.lambda_commit = lambda_commit
        self.adversary_start_step = adversary_start_step
        self.semantic_fingerprint = semantic_fingerprint
        self.tokenizer: Tokenizer | None = None
        if semantic_tokenizer is not None and self.tokenizer_class is not None:
            folder = Path(semantic_tokenizer).parent
            self.tokenizer = self.tokenizer_class(folder, semantic_fingerprint)
        # Whose turn made it, for which batch, and what was made. ESPnet's GANTrainer empties
        # `_cache` of every codec when it skips the discriminator's turn: the name must stay.
        self._cache: tuple[bool, torch.Tensor, Generated] | None = None

    @property
    def frame_rule(self):
        """How the codec cuts audio into frames."""
        return self.generator.frame_rule

    @property
    def needs_tokens(self) -> bool:
        """Whether encoding needs semantic tokens."""
        return self.generator.token_source.needs_tokens

    @property
    def fs(self) -> int:
        """Sampling rate (Hz), where ESPnet's inference looks for it."""
        return self.frame_rule.sample_rate

    @property
    def adversary_active(self) -> bool:
        """Whether the generator has made enough steps for the adversary."""
        return self.count() >= self.adversary_start_step

    @property
    def _audio_losses(self) -> AudioLosses:
        """The losses of the generated audio, at this point of the training."""
        return AudioLosses(self.mel_loss, self.stft_loss, self.discriminator, self.adversary_active)

    def meta_info(self) -> dict[str, Any]:
        """Return sampling rate, streams, hop and codebook sizes, as ESPnet's codecs do."""
        codebooks = self.generator.quantizer.codebooks
        return {
            "fs": self.frame_rule.sample_rate,
            "num_streams": len(codebooks),
            "frame_shift": self.frame_rule.hop_samples,
            "code_size_per_stream": [codebook.size for codebook in codebooks],
        }

    def measure(
        self, audio: torch.Tensor, audio_lengths: torch.Tensor | None = None, **kwargs
    ) -> BatchSize:
        """Return the size of a batch; arguments as for `forward`."""
        hop, (items, samples) = self.frame_rule.hop_samples, audio.shape
        longest = -(-samples // hop)
        if audio_lengths is None:
            return BatchSize(items, items * samples, items * longest, longest)
        lengths = audio_lengths.tolist()
        return BatchSize(items, sum(lengths), sum(-(-n // hop) for n in lengths), longest)

    def forward(
        self,
        audio: torch.Tensor,
        forward_generator: bool = True,
        semantic: torch.Tensor | None = None,
        audio_lengths: torch.Tensor | None = None,
        part: BatchPart | None = None,
        features: torch.Tensor | None = None,
        **kwargs,
    ) -> dict[str, Any]:
        """Return the loss of the generator's or the discriminator's turn.

        Args:
            audio: (B, N) samples.
            forward_generator: Whose turn it is.
            semantic: (B, T) semantic tokens, T = ceil(N / hop); -1 where padded.
            audio_lengths: (B,) valid samples; None if all N are.
            part: Of a step's batch that these items are; None if the ranks' items are the step's
                batch, as with ESPnet's own trainer.
            features: (B, T, F) features of the SSL model, where `distillation` learns from them.
            **kwargs: Other streams and their lengths, unused.

        Returns:
            loss (), stats, weight (the batch size) and optim_idx, as ESPnet's GANTrainer wants. Its
            mean over the parts of a step, weighted by their items, is the whole batch's loss.
        """
        if part is None:
            size = self.measure(audio, audio_lengths)
            together = divide([size], 1) if self.training else None
            part = together[0] if together else BatchPart.alone(size)
        cached, self._cache = self._cache, None
        batch, audio = audio, audio.unsqueeze(1)
        # Both turns of a step are about the same batch: the second one takes over what was made.
        if cached is not None and cached[0] != forward_generator and cached[1] is batch:
            generated = cached[2]
        elif part.passes == 1:
            generated = self._generate(audio, semantic, audio_lengths, part, features)
            self._cache = forward_generator, batch, generated
        else:
            # Several passes a step: what each of them made is not kept until the other turn.
            part = dataclasses.replace(part, learns=forward_generator)
            with contextlib.nullcontext() if forward_generator else torch.no_grad():
                generated = self._generate(audio, semantic, audio_lengths, part, features)
        turn = self._generator_turn if forward_generator else self._discriminator_turn
        loss, stats = turn(audio, generated, audio_lengths, part)
        mean = 1 / part.share_of_items
        loss, stats = loss * mean, {name: value * mean for name, value in stats.items()}
        if forward_generator and not self.training:
            stats |= self.generator.quantizer.statistics()
        loss, stats, weight = force_gatherable((loss, stats, len(audio)), loss.device)
        return {
            "loss": loss,
            "stats": stats,
            "weight": weight,
            "optim_idx": 0 if forward_generator else 1,
        }

    def prepare(
        self, batches: Sequence[Mapping[str, Any]], parts: Sequence[BatchPart], norms: bool
    ) -> None:
        """Look at all passes of a step before the first one, where it is the first of its kind.

        Codebooks that have no entries get them from all passes together, and so does a loss that is
        new its scale: several passes begin as one would.

        Args:
            batches: Arguments of `forward`, by pass.
            parts: Of the step's batch, by pass.
            norms: Whether to measure the losses; otherwise codebooks are begun.
        """
        looks = [dataclasses.replace(part, learns=False) for part in parts]
        if not norms:
            if not self.generator.quantizer.begun:
                self.generator.begin_codebooks(
                    (
                        batch["audio"].unsqueeze(1),
                        batch.get("semantic"),
                        batch.get("audio_lengths"),
                        part,
                    )
                    for batch, part in zip(batches, looks, strict=True)
                )
            return
        # What is drawn is drawn for the whole batch, by each pass again.
        randomness = RandomState(batches[0]["audio"].device)
        for index, (batch, part) in enumerate(zip(batches, looks, strict=True)):
            randomness.restore()
            audio, lengths = batch["audio"].unsqueeze(1), batch.get("audio_lengths")
            with torch.no_grad():
                generated = self._generate(
                    audio, batch.get("semantic"), lengths, part, batch.get("features")
                )
            fake = generated.audio.requires_grad_()
            losses = self._audio_losses.of_generator(audio, fake, lengths, part)
            if index == 0 and self.balancer.knows(losses):
                return
            self.balancer.measure(losses, fake, is_first=index == 0)

    def _generate(
        self,
        audio: torch.Tensor,
        semantic: torch.Tensor | None,
        audio_lengths: torch.Tensor | None,
        part: BatchPart,
        features: torch.Tensor | None = None,
    ) -> Generated:
        """Run the generator; the audio it returns has the input's length."""
        generated = self.generator(audio, semantic, audio_lengths, part, features)
        # Losses are taken in full precision, whatever the networks run in.
        return dataclasses.replace(generated, audio=generated.audio[..., : audio.shape[-1]].float())

    def _generator_turn(
        self,
        audio: torch.Tensor,
        generated: Generated,
        audio_lengths: torch.Tensor | None,
        part: BatchPart,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return this part's share of the loss, and of what is logged."""
        losses = self._audio_losses.of_generator(audio, generated.audio, audio_lengths, part)
        # These are no functions of the audio, and do not pass through the balancer.
        latent_losses = dict(generated.losses)
        latent_losses["codec_commit_loss"] = self.lambda_commit * latent_losses["codec_commit_loss"]
        latent_loss = torch.stack(list(latent_losses.values())).sum()
        weighted = sum(self.loss_weights[name] * loss for name, loss in losses.items())
        total = weighted + latent_loss
        stats = {name: loss.detach() for name, loss in (losses | latent_losses).items()}
        stats["loss"] = total.detach()
        stats |= {n: value * part.share_of_frames for n, value in generated.statistics.items()}
        if not self.training:
            return total, stats
        loss = self.balancer(losses, generated.audio, part.is_last) + latent_loss
        if part.is_last:
            self.advance()
        return loss, stats

    def _discriminator_turn(
        self,
        audio: torch.Tensor,
        generated: Generated,
        audio_lengths: torch.Tensor | None,
        part: BatchPart,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return this part's share of the loss, and of what is logged."""
        if not (self.training or self.adversary_active):
            # Validating a discriminator that is not trained yet would take time and say nothing.
            zero = audio.new_zeros(())
            return zero, {"adversary_active": zero}
        real_loss, fake_loss = self._audio_losses.of_discriminator(
            audio, generated.audio.detach(), audio_lengths, part
        )
        loss = real_loss + fake_loss
        stats = {
            "discriminator_loss": loss.detach(),
            "real_loss": real_loss.detach(),
            "fake_loss": fake_loss.detach(),
        }
        return loss, stats

    def encode(
        self,
        x: torch.Tensor,
        semantic: torch.Tensor | None = None,
        num_samples: torch.Tensor | None = None,
        **kwargs,
    ) -> torch.Tensor:
        """Return codes (n_codebooks, B, T) of audio; changes no state, whatever the mode.

        A padded batch needs `num_samples`. ESPnet's callers (`ESPnetGANCodecModel.encode`, the
        SpeechLM's `DiscreteAudioIO`) do not give it: a shorter item's padding is then encoded as
        silence that belongs to it, and its last codes can differ from those that it gets alone.
        Trailing zeros are not taken for padding, because recordings end in them too. Encode items
        one at a time there, or with `espnet_stacodec.AudioCoding`.

        Args:
            x: (B, 1, N) audio.
            semantic: (B, T) semantic tokens, where the first layer is assigned; None lets the
                tokenizer make them, if the codec has one.
            num_samples: (B,) valid samples; None if all N are.
            **kwargs: ESPnet's other decoding options, unused.

        Raises:
            TokenError: If tokens are needed, and there are none.
        """
        if semantic is None and self.tokenizer is not None and self.needs_tokens:
            semantic = self._tokens(self.tokenizer, x, num_samples)
        training = self.training
        try:
            self.eval()
            with torch.no_grad():
                return self.generator.codes(x, semantic, num_samples)
        finally:
            self.train(training)

    def _tokens(
        self, tokenizer: Tokenizer, x: torch.Tensor, num_samples: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the tokens (B, T) that a tokenizer makes, -1 where padded; see `encode`."""
        lengths = [x.shape[-1]] * len(x) if num_samples is None else num_samples.tolist()
        shape = (len(x), self.frame_rule.num_frames(x.shape[-1]))
        semantic = torch.full(shape, PADDED_CODE, device=x.device)
        for index, length in enumerate(lengths):
            where, frames = f"audio {index}", self.frame_rule.num_frames(length)
            made = tokenizer(x[index, 0, :length].float(), self.fs, where).cpu().numpy()
            semantic[index, :frames] = torch.from_numpy(align_tokens(where, made, frames))
        return semantic

    def decode(
        self, x: torch.Tensor, num_frames: torch.Tensor | None = None, **kwargs
    ) -> torch.Tensor:
        """Return audio (B, 1, T * hop) of codes x (n, B, T), n up to all codebooks."""
        return self.generator.decode(x, num_frames)


def _check_some_loss(weights: Mapping[str, float], adversary_start_step: int, where: str) -> None:
    """Raise ConfigError if the generated audio is trained on nothing, with or without adversary."""
    adversarial = ("adv_loss", "feat_match_loss")
    first = {
        name: weight
        for name, weight in weights.items()
        if adversary_start_step == 0 or name not in adversarial
    }
    if not any(first.values()):
        since = f" before step {adversary_start_step}, where the adversary starts"
        raise ConfigError(
            f"{where}: all of {', '.join(first)} are 0, and nothing trains the audio"
            f"{since if adversary_start_step else ''}; give one of them a weight."
        )
