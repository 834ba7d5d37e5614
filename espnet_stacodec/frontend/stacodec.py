"""A frozen codec as the frontend of any ESPnet task that reads raw audio."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import humanfriendly
import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from torch import nn
from typeguard import typechecked

from espnet_stacodec.config import check_keys
from espnet_stacodec.errors import ConfigError, ModelError
from espnet_stacodec.frontend.code_mixture import CodeMixtureFrontend
from espnet_stacodec.gan_codec.quantizer.codebook import Codebook
from espnet_stacodec.inference.audio_coding import AudioCoding
from espnet_stacodec.pretrained.shipped.lookup import shipped_list

OUTPUTS = ("latents", "codes")
MIXTURE_KEYS = ("embed_dim", "output_dim", "dropout", "code_dropout")


class STACodecFrontend(AbsFrontend):
    """Encodes raw audio with a trained codec, and gives latents or embeddings of its codes.

    The codec is used as it is: it is never trained, re-initialized, cast to another precision or
    put into training mode, and ESPnet's checkpoints do not hold it, so that averaging them cannot
    change it either. They hold its fingerprint: a model does not load beside another codec.

    Args:
        codec: The name of a shipped codec, an experiment's folder, an archive of one, or a Hugging
            Face repository; needed in decoding, too.
        output: "latents", the sum of the entries of the chosen codebooks, nothing of which is
            trained; or "codes", the codes themselves, which get new embeddings that are trained,
            one table per codebook, mixed with learned weights.
        codebooks: Which codebooks are seen, counted from 0; None for all.
        mixture: Further arguments of `CodeMixtureFrontend`, for output "codes".
        fs: Sampling rate of the audio (Hz), also as "16k"; must be the codec's.
        model_file: Name of a checkpoint in the experiment; None for the best one.
        variant: Which of the authors' releases in `codec`; None for an experiment.

    Raises:
        ConfigError: If the codec is not available, or an option does not fit it.
    """

    codec_fingerprint: torch.Tensor

    @typechecked
    def __init__(
        self,
        codec: Path | str | None = None,
        output: str = "latents",
        codebooks: Sequence[int] | None = None,
        mixture: Mapping[str, Any] | None = None,
        fs: int | str = 16000,
        model_file: str | None = None,
        variant: str | None = None,
    ) -> None:
        super().__init__()
        # No submodule: ESPnet initializes, averages, casts and trains all that is one.
        self.codec = _open_codec(codec, model_file, variant)
        _check_rate(fs, self.codec.sample_rate)
        self.codebooks = _check_codebooks(codebooks, self.codec.n_codebooks)
        self.hop_length = self.codec.frame_rule.hop_samples
        self.mixture = self._build_mixture(output, dict(mixture or {}))
        self.register_buffer("codec_fingerprint", _digits(self.codec.fingerprint))
        self.register_load_state_dict_pre_hook(_check_fingerprint)

    def forward(
        self, input: torch.Tensor, input_lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode, and embed the codes.

        Args:
            input: (B, N) samples in [-1, 1]; anything past the end of an item.
            input_lengths: (B,) valid samples of each item, N_b.

        Returns:
            (B, T, D), zero past the end of each item, and (B,) the frames of each, ceil(N_b / hop).

        Raises:
            DataError: If an item is empty, not mono, or has NaN or infinite samples.
        """
        waves = zip(input.detach(), input_lengths.tolist(), strict=True)
        encoded = self.codec.encode([w[:length] for w, length in waves], self.codec.sample_rate)
        codes = [item[self.codebooks] for item in encoded]
        lengths = -(-input_lengths // self.hop_length)
        if self.mixture is None:
            latents = [self.codec.latents(item, self.codebooks).T for item in codes]
            return nn.utils.rnn.pad_sequence(latents, batch_first=True).to(input), lengths
        # Each codebook has rows of its own, one block after the other.
        sizes = (self.codec.codebook_sizes[index] for index in self.codebooks[:-1])
        offsets = torch.tensor([0, *itertools.accumulate(sizes)], device=input.device)
        ids = nn.utils.rnn.pad_sequence([item.T + offsets for item in codes], batch_first=True)
        return self.mixture(ids.flatten(1), lengths * len(self.codebooks))

    def output_size(self) -> int:
        """Return D."""
        return (
            self._entries[0].embed.shape[1] if self.mixture is None else self.mixture.output_size()
        )

    @property
    def _entries(self) -> list[Codebook]:
        """The codec's chosen codebooks."""
        layers = self.codec.generator.codebooks
        return [cast(Codebook, layers[index]) for index in self.codebooks]

    def _build_mixture(self, output: str, conf: dict[str, Any]) -> CodeMixtureFrontend | None:
        """Return what embeds the codes; None where the codec's latents are the output."""
        if output not in OUTPUTS:
            raise ConfigError(
                f"frontend_conf: output '{output}' is unknown; known are {', '.join(OUTPUTS)}."
            )
        if output == "latents":
            if not self.codec.codebook_vectors():
                raise ConfigError(
                    "frontend_conf: ESPnet's own codecs have no latents here; set output: codes."
                )
            if conf:
                raise ConfigError(
                    "frontend_conf: mixture is about the embeddings of output 'codes'; leave it"
                    " out with 'latents'."
                )
            return None
        check_keys(conf, MIXTURE_KEYS, "frontend_conf: mixture")
        rows = sum(codebook.size for codebook in self._entries)
        return CodeMixtureFrontend(rows, len(self.codebooks), **conf)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """Let the codec and its tokenizer follow to another device, as submodules do."""
        super()._apply(fn, recurse)
        self.codec.to(self.codec_fingerprint.device)
        return self


def _open_codec(
    source: Path | str | None, model_file: str | None, variant: str | None
) -> AudioCoding:
    """Return the codec of frontend_conf, frozen."""
    if source is None:
        raise ConfigError(
            "frontend_conf: codec must be given: the folder of a trained codec,"
            f" or the name of a shipped one ({shipped_list()})."
        )
    try:
        codec = AudioCoding.from_pretrained(source, model_file=model_file, variant=variant)
    except (ModelError, ConfigError) as error:
        raise ConfigError(f"frontend_conf: codec: {error}") from error
    codec.generator.requires_grad_(False)
    return codec


def _check_rate(fs: int | str, sample_rate: int) -> None:
    """Raise ConfigError if the audio's rate, in Hz or as "16k", is not the codec's."""
    try:
        given = humanfriendly.parse_size(fs) if isinstance(fs, str) else fs
    except humanfriendly.InvalidSize as error:
        raise ConfigError(f"frontend_conf: fs '{fs}' is not a sampling rate in Hz.") from error
    if given != sample_rate:
        raise ConfigError(
            f"frontend_conf: fs {given} Hz is not the codec's {sample_rate} Hz; give audio of that"
            f" rate and fs: {sample_rate}, or another codec."
        )


def _check_codebooks(chosen: Sequence[int] | None, number: int) -> list[int]:
    """Return the chosen codebooks, all of `number` for None."""
    if chosen is None:
        return list(range(number))
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(number)):
        raise ConfigError(
            f"frontend_conf: codebooks {list(chosen)} must be different ones of 0 to {number - 1},"
            " those of the codec; leave it out for all."
        )
    return list(chosen)


def _digits(fingerprint: str) -> torch.Tensor:
    """Return hexadecimal digits as floats, which averaging checkpoints leaves exactly as they are.

    ESPnet adds up integers instead of averaging them.
    """
    return torch.tensor([float(int(digit, 16)) for digit in fingerprint])


def _check_fingerprint(
    frontend: STACodecFrontend, state: Mapping[str, torch.Tensor], prefix: str, *_: object
) -> None:
    """Raise ModelError if a checkpoint was trained with another codec than is there."""
    saved = state.get(f"{prefix}codec_fingerprint")
    if saved is None:
        return
    trained = "".join(f"{int(digit):x}" for digit in saved)
    if trained != frontend.codec.fingerprint:
        raise ModelError(
            f"This model was trained on the codec {trained}, frontend_conf: codec is now"
            f" {frontend.codec.fingerprint}; give the one that it was trained on."
        )
