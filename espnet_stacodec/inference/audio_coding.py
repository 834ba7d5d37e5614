"""Encode and decode audio with a trained codec."""

import copy
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
import torch
from typeguard import typechecked

from espnet_stacodec.config import whole_number
from espnet_stacodec.errors import ConfigError, TokenError, naming
from espnet_stacodec.fileio.audio import read_audio
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.frames import align_tokens
from espnet_stacodec.gan_codec.folding import fold
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.gan_codec.quantizer.residual import sum_of_entries
from espnet_stacodec.inference import chunks
from espnet_stacodec.inference.arrays import CodeArray, Wave, to_codes, to_tokens, to_waveform
from espnet_stacodec.inference.description import CodecDescription
from espnet_stacodec.pretrained.checkpoint import codec_fingerprint, load_codec
from espnet_stacodec.pretrained.codec_tokenizer import CodecTokenizer
from espnet_stacodec.pretrained.experiment import Experiment
from espnet_stacodec.pretrained.releases import open_variant

if TYPE_CHECKING:
    from espnet_stacodec.gan_codec.builtin import BuiltinGenerator

# Batching convolutions does not pay on a CPU: one by one is as fast and needs less memory.
DEVICE_BATCH_SIZE = {"cpu": 1}
DEFAULT_BATCH_SIZE = 16
Count = SupportsIndex | None


@functools.lru_cache(maxsize=1)
def load_once(source: Path | str, device: str, model_file: str | None) -> "AudioCoding":
    """`AudioCoding.from_pretrained`, kept for the next call with the same arguments."""
    return AudioCoding.from_pretrained(source, device, model_file)


class AudioCoding(CodecDescription):
    """A trained codec: audio to codes and back.

    ESPnet's class of the same name (espnet2.bin.gan_codec_inference) knows audio only; this one
    also assigns semantic tokens, keeps the length of audio, and reads archives, hub repositories
    and the authors' releases. A codec can be copied, pickled and shared by threads.

    Args:
        generator: A trained generator, which is copied: of this package, or one of ESPnet's
            built-in codecs.
        tokenizer: The semantic tokenizer that it was trained with; None where it needs none.
        device: Where to compute.

    Attributes:
        fingerprint: 16 hexadecimal digits that identify the weights, and the settings that decide
            codes and audio.

    Example:
        >>> codec = AudioCoding.from_pretrained("exp/codec_train_sta_mfcc_l0_km100")
        >>> codes = codec.encode(wave, 16000)       # (n_codebooks, T) int64
        >>> audio = codec.decode(codes, len(wave))  # (N,) float32
        >>> audio = codec.decode(codec.encode_file("a.flac"))  # any rate and number of channels
    """

    def __init__(
        self,
        generator: "STACodecGenerator | BuiltinGenerator",
        tokenizer: CodecTokenizer | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.fingerprint = codec_fingerprint(generator)
        self.generator = copy.deepcopy(generator).eval().requires_grad_(False)
        fold(self.generator)
        self.tokenizer = tokenizer or CodecTokenizer(None, None)
        self.to(device)

    @classmethod
    @typechecked
    def from_pretrained(
        cls,
        source: Path | str,
        device: torch.device | str = "cpu",
        model_file: str | None = None,
        variant: str | None = None,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: Path | str | None = None,
    ) -> "AudioCoding":
        """Load an experiment's folder, an archive of one, or a Hugging Face repository.

        Args:
            source: Path or repository id.
            device: "cpu", "cuda", "cuda:1", ...
            model_file: Name of a checkpoint in the folder; None for the best one.
            variant: Which of the authors' releases in the folder or repository `source`, e.g.
                "stacodec_wavlm" of "kaiyuanzhang0808/stacodec"; None for an experiment.
            revision: Branch, tag or commit of a repository; None for its default branch.
            token: Access token of a private repository; None for that of `hf auth login`.
            cache_dir: Where downloads, unpacked archives and converted releases are kept; None
                for the hub's and the user's cache.

        Raises:
            ModelError: If a part is missing or the checkpoint does not fit its configuration.
        """
        if variant is not None:
            source = open_variant(source, variant, revision, token, cache_dir)
        experiment = Experiment.open(source, model_file, revision, token, cache_dir)
        return cls.from_experiment(experiment, device)

    @classmethod
    @typechecked
    def from_experiment(
        cls, experiment: Experiment, device: torch.device | str = "cpu"
    ) -> "AudioCoding":
        """Load an opened experiment; raises ModelError as `from_pretrained` does."""
        trained_with = experiment.codec_conf.get("semantic_fingerprint")
        tokenizer = CodecTokenizer(experiment.tokenizer_folder, trained_with)
        return cls(load_codec(experiment), tokenizer, device)

    @typechecked
    def to(self, device: torch.device | str) -> "AudioCoding":
        """Compute on another device from now on; returns the codec.

        Raises:
            ConfigError: If there is no such device.
        """
        try:
            self.device = torch.device(device)
            self.generator.to(self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).split("\n")[0]
            raise ConfigError(f"device '{device}' cannot be used here ({reason}).") from error
        return self

    @overload
    def encode(
        self,
        wave: Wave,
        sample_rate: SupportsIndex,
        semantic: Any = ...,
        batch_size: Count = ...,
        n_codebooks: Count = ...,
    ) -> torch.Tensor: ...

    @overload
    def encode(
        self,
        wave: Sequence[Wave],
        sample_rate: SupportsIndex,
        semantic: Any = ...,
        batch_size: Count = ...,
        n_codebooks: Count = ...,
    ) -> list[torch.Tensor]: ...

    @torch.no_grad()
    @typechecked
    def encode(
        self,
        wave: Wave | Sequence[Wave],
        sample_rate: SupportsIndex,
        semantic: Any = None,
        batch_size: Count = None,
        n_codebooks: Count = None,
    ) -> torch.Tensor | list[torch.Tensor]:
        """Return the codes of one or several waveforms.

        Audio of more than a minute is encoded in pieces, each with some seconds of its neighbours,
        so that memory is bounded; near their borders some codes can differ from those of the
        whole. Tokens are made of the whole. All is computed in float32, under autocast too.

        Args:
            wave: (N,) or (1, N) samples, floating point or PCM (see `to_waveform`), or a list.
            sample_rate: Of the waveforms (Hz); others than the codec's are resampled.
            semantic: (T,) semantic tokens, or a list of such; None lets the experiment's own
                tokenizer make them, where the codec needs any.
            batch_size: Waveforms at a time; None for what suits the device.
            n_codebooks: How many codebooks to return, n; None for all.

        Returns:
            (n, T) int64 with T = ceil(N / hop) at the codec's rate, on the waveform's device, or a
            list of such.

        Raises:
            DataError: If a waveform cannot be used, as `to_waveform` does.
            TokenError: If tokens are out of range, do not fit, or are not needed.
            ConfigError: If `n_codebooks` or `batch_size` is out of its range.
        """
        if isinstance(wave, np.ndarray | torch.Tensor):
            given = None if semantic is None else [semantic]
            return self.encode([wave], sample_rate, given, batch_size, n_codebooks)[0]
        if semantic is not None and len(semantic) != len(wave):
            raise TokenError(f"{len(semantic)} token sequences are given for {len(wave)} waves.")
        kept = whole_number("n_codebooks", n_codebooks, self.n_codebooks, highest=self.n_codebooks)
        size = self._batch_size(batch_size)
        waves = [
            to_waveform(samples, sample_rate, self.sample_rate, f"wave {index}")
            for index, samples in enumerate(wave)
        ]

        @functools.cache
        def tokens(index: int) -> torch.Tensor | None:
            given = None if semantic is None else semantic[index]
            return self._tokens(waves[index], given, f"wave {index}")

        with self._float32():
            return [codes[:kept] for codes in chunks.encode(self.generator, waves, tokens, size)]

    @typechecked
    def encode_file(self, path: Path | str, n_codebooks: Count = None) -> Codes:
        """Encode an audio file of any rate, its channels averaged; raises as `encode` does."""
        samples = to_waveform(*read_audio(path), self.sample_rate, str(path))
        with naming(path):
            codes = self.encode(samples, self.sample_rate, n_codebooks=n_codebooks)
        return Codes(codes.numpy(), len(samples), self.sample_rate, self.fingerprint)

    @overload
    def decode(
        self, codes: CodeArray | Codes, num_samples: Count = ..., batch_size: Count = ...
    ) -> torch.Tensor: ...

    @overload
    def decode(
        self,
        codes: Sequence[CodeArray | Codes],
        num_samples: Sequence[Count] | None = ...,
        batch_size: Count = ...,
    ) -> list[torch.Tensor]: ...

    @torch.no_grad()
    @typechecked
    def decode(
        self,
        codes: CodeArray | Codes | Sequence[CodeArray | Codes],
        num_samples: Count | Sequence[Count] = None,
        batch_size: Count = None,
    ) -> torch.Tensor | list[torch.Tensor]:
        """Return the waveforms of one or several codes; long audio in pieces, as `encode`.

        Args:
            codes: (n, T) integers, of the first n codebooks, or what `encode_file` returned, or a
                list.
            num_samples: N at the codec's rate, or a list of such; None for what `Codes` say, and
                for all T * hop samples of arrays.
            batch_size: Waveforms at a time; None for what suits the device.

        Returns:
            (N,) float32 at the codec's rate, on the device of the codes, or a list of such.

        Raises:
            TokenError: If the codes do not fit the codec, or `num_samples` the codes.
            ConfigError: If `batch_size` is below 1.
        """
        if not isinstance(codes, Sequence):
            return self.decode([codes], [num_samples], batch_size)[0]  # type: ignore[list-item]
        lengths = [None] * len(codes) if num_samples is None else num_samples
        if not isinstance(lengths, Sequence) or len(lengths) != len(codes):
            raise TokenError(f"num_samples must be a list of {len(codes)} numbers, as the codes.")
        given = [
            to_codes(item, length, self.codebook_choices, self.frame_rule, self.fingerprint)
            for item, length in zip(codes, lengths, strict=True)
        ]
        with self._float32():
            audio = chunks.decode(
                self.generator, [array for array, _ in given], self._batch_size(batch_size)
            )
        return [samples[:length] for samples, (_, length) in zip(audio, given, strict=True)]

    @torch.no_grad()
    @typechecked
    def latents(self, codes: CodeArray, codebooks: Sequence[int] | None = None) -> torch.Tensor:
        """Return the quantized latents of codes: the sum of their codebook entries.

        Args:
            codes: (n, T) integers.
            codebooks: Which codebooks they are of, from 0; None for the first n.

        Returns:
            (D, T) float32 on the device of the codes.

        Raises:
            TokenError: If the codes do not fit the codec.
            ConfigError: If the codec is one of ESPnet's, whose latents are not known here.
        """
        if not isinstance(self.generator, STACodecGenerator):
            raise ConfigError("ESPnet's built-in codecs have no latents here; use their codes.")
        books = range(self.n_codebooks) if codebooks is None else codebooks
        choices = [self.codebook_choices[book] for book in books]
        array, _ = to_codes(codes, None, choices, self.frame_rule, self.fingerprint)
        entries = [self.generator.codebooks[book].embed for book in books]
        return sum_of_entries(entries, array.to(self.device)).T.to(array.device)

    def _tokens(self, wave: torch.Tensor, given: Any, where: str) -> torch.Tensor | None:
        """Return the tokens (T,) of a waveform, one for each of its frames, where it needs any."""
        if not self.needs_tokens:
            if given is not None:
                raise TokenError(f"{where}: this codec takes no tokens; leave semantic out.")
            return None
        if given is None:
            given = self.tokenizer(wave.to(self.device), self.sample_rate, where)
        tokens = to_tokens(given, self.codebook_choices[0], where)
        return torch.from_numpy(align_tokens(where, tokens, self.frame_rule.num_frames(len(wave))))

    def _batch_size(self, given: Count) -> int:
        default = DEVICE_BATCH_SIZE.get(self.device.type, DEFAULT_BATCH_SIZE)
        return whole_number("batch_size", given, default)

    def _float32(self) -> torch.autocast:
        """Compute in float32, so that codes are the same wherever they are made."""
        return torch.autocast(self.device.type, enabled=False)
