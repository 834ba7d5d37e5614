"""Encode and decode audio with a trained codec."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from tqdm import tqdm
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError, ModelError, TokenError
from espnet_stacodec.fileio.audio import check_wave, resample
from espnet_stacodec.fileio.code_files import check_codes
from espnet_stacodec.fileio.files import fingerprint
from espnet_stacodec.frames import FrameRule, align_tokens
from espnet_stacodec.gan_codec.builtin import BuiltinGenerator
from espnet_stacodec.gan_codec.folding import fold
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.gan_codec.quantizer.codebook import Codebook
from espnet_stacodec.gan_codec.tokens.predistillation import Predistillation
from espnet_stacodec.inference import chunks
from espnet_stacodec.pretrained.checkpoint import load_builtin_generator, load_generator
from espnet_stacodec.pretrained.experiment import Experiment
from espnet_stacodec.pretrained.releases import open_variant
from espnet_stacodec.semantic.token_files import check_tokens
from espnet_stacodec.semantic.tokenizer import SemanticTokenizer
from espnet_stacodec.semantic.tokenizer_info import INFO_NAME, TokenizerInfo

Wave = np.ndarray | torch.Tensor
# Batching convolutions does not pay on a CPU: one by one is as fast and needs less memory.
DEVICE_BATCH_SIZE = {"cpu": 1}
DEFAULT_BATCH_SIZE = 16


@functools.lru_cache(maxsize=1)
def load_once(source: Path | str, device: str, model_file: str | None) -> "AudioCoding":
    """`AudioCoding.from_pretrained`, kept for the next call with the same arguments."""
    return AudioCoding.from_pretrained(source, device, model_file)


class AudioCoding:
    """A trained codec: audio to codes and back.

    Args:
        generator: The trained generator: of this package, or one of ESPnet's own codecs.
        tokenizer_folder: Where the experiment keeps its semantic tokenizer; None where the codec
            needs no tokens.
        semantic_fingerprint: Fingerprint of the tokenizer that the codec was trained with.
        device: Where to compute.

    Example:
        >>> codec = AudioCoding.from_pretrained("exp/codec_train_sta_mfcc_l0_km100")
        >>> codes = codec.encode(wave, 16000)      # (n_codebooks, T) int64
        >>> audio = codec.decode(codes, len(wave)) # (N,) float32
    """

    def __init__(
        self,
        generator: STACodecGenerator | BuiltinGenerator,
        tokenizer_folder: Path | None = None,
        semantic_fingerprint: str | None = None,
        device: str = "cpu",
    ) -> None:
        state = generator.state_dict()
        #: 16 hexadecimal digits that identify the codec's weights.
        self.fingerprint = fingerprint((name, value.cpu().numpy()) for name, value in state.items())
        if isinstance(generator, STACodecGenerator):
            fold(generator)
        self.generator = generator.eval()
        self.tokenizer_folder = tokenizer_folder
        self.semantic_fingerprint = semantic_fingerprint
        self.device = torch.device("cpu")
        self.to(device)

    @classmethod
    @typechecked
    def from_pretrained(
        cls,
        source: Path | str,
        device: str = "cpu",
        model_file: str | None = None,
        variant: str | None = None,
    ) -> "AudioCoding":
        """Load an experiment's folder, an archive of one, or a Hugging Face repository.

        Args:
            source: Path or repository id.
            device: "cpu", "cuda", "cuda:1", ...
            model_file: Name of a checkpoint in the folder; None for the best one.
            variant: Which of the authors' releases in the folder or repository `source`, e.g.
                "stacodec_wavlm" of "kaiyuanzhang0808/stacodec"; None for an experiment.

        Raises:
            ModelError: If a part is missing or the checkpoint does not fit its configuration.
        """
        if variant is not None:
            source = open_variant(source, variant)
        experiment = Experiment.open(source, model_file)
        conf, where = experiment.codec_conf, f"{experiment.folder}/config.yaml"
        load: Callable[[Mapping[str, Any], Path, str], STACodecGenerator | BuiltinGenerator]
        if experiment.codec == "stacodec":
            load = load_generator
        else:
            load = functools.partial(load_builtin_generator, experiment.codec)
        return cls(
            load(conf, experiment.model_file, where),
            experiment.tokenizer_folder,
            conf.get("semantic_fingerprint"),
            device,
        )

    @typechecked
    def to(self, device: torch.device | str) -> None:
        """Compute on another device from now on.

        Raises:
            ConfigError: If there is no such device.
        """
        try:
            target = torch.device(device)
            self.generator.to(target)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).split("\n")[0]
            raise ConfigError(f"device '{device}' cannot be used here ({reason}).") from error
        if target != self.device:
            # SSL models keep devices of their own: it is loaded anew, when it is needed.
            self.__dict__.pop("tokenizer", None)
        self.device = target

    @property
    def frame_rule(self) -> FrameRule:
        """How the codec cuts audio into frames."""
        return self.generator.frame_rule

    @property
    def sample_rate(self) -> int:
        """Sampling rate of the codec (Hz)."""
        return self.frame_rule.sample_rate

    @property
    def n_codebooks(self) -> int:
        """Layers of the quantizer."""
        return len(self.generator.codebooks)

    @property
    def codebook_sizes(self) -> list[int]:
        """Entries of each codebook."""
        return [codebook.size for codebook in self.generator.codebooks]

    def codebook_vectors(self) -> list[np.ndarray]:
        """Return the entries (K, D) of each codebook; none of ESPnet's own codecs."""
        codebooks = (c for c in self.generator.codebooks if isinstance(c, Codebook))
        return [codebook.embed.cpu().numpy() for codebook in codebooks]

    @property
    def needs_tokens(self) -> bool:
        """Whether encoding needs semantic tokens."""
        return self.generator.token_source.needs_tokens

    @property
    def token_kind(self) -> str:
        """In words: where the semantic tokens of the first codebook come from."""
        if self.needs_tokens:
            return "assigned"
        return "predicted" if self.predicts_tokens else "not assigned (plain RVQ)"

    @property
    def predicts_tokens(self) -> bool:
        """Whether the codec itself predicts the semantic tokens of its first codebook (SPD)."""
        return isinstance(self.generator.token_source, Predistillation)

    def bits_per_second(self, n_codebooks: int | None = None) -> float:
        """Return the bitrate of the first n codebooks: log2 of the entries each can choose."""
        codebooks = self.generator.codebooks[:n_codebooks]
        bits = sum(math.log2(codebook.num_choices) for codebook in codebooks)
        return self.frame_rule.frame_rate_hz * bits

    @functools.cached_property
    def tokenizer(self) -> SemanticTokenizer:
        """The tokenizer that the codec was trained with; loaded when first needed.

        Raises:
            ModelError: If the experiment lacks it, or has another one.
        """
        folder = self.tokenizer_folder
        if folder is None or not (folder / INFO_NAME).exists():
            raise ModelError(
                f"{folder}: the experiment has no semantic tokenizer; copy the folder of stage 3"
                " there, or encode with semantic=TOKENS."
            )
        info = TokenizerInfo.read(folder)
        if self.semantic_fingerprint not in (None, info.fingerprint):
            raise ModelError(
                f"{folder}: tokenizer {info.fingerprint} is not {self.semantic_fingerprint},"
                " with which the codec was trained; put that one there."
            )
        return SemanticTokenizer.load(folder, device=str(self.device))

    def check_tokenizer(self, semantic_scp: Path) -> None:
        """Raise TokenError if the codec was trained with other tokens than those of a list.

        Args:
            semantic_scp: <folder>/<set>/semantic.scp, with the tokenizer.yaml of its folder.
        """
        found = TokenizerInfo.read(semantic_scp.parent.parent / INFO_NAME)
        if self.semantic_fingerprint not in (None, found.fingerprint):
            raise TokenError(
                f"{semantic_scp}: these tokens were made by tokenizer {found.fingerprint}, the"
                f" codec was trained with {self.semantic_fingerprint}; give the tokens of that one."
            )

    @overload
    def encode(
        self,
        wave: Wave,
        sample_rate: int,
        semantic: Any = ...,
        batch_size: int | None = ...,
        n_codebooks: int | None = ...,
    ) -> torch.Tensor: ...

    @overload
    def encode(
        self,
        wave: Sequence[Wave],
        sample_rate: int,
        semantic: Any = ...,
        batch_size: int | None = ...,
        n_codebooks: int | None = ...,
    ) -> list[torch.Tensor]: ...

    @typechecked
    def encode(
        self,
        wave: Wave | Sequence[Wave],
        sample_rate: int,
        semantic: Any = None,
        batch_size: int | None = None,
        n_codebooks: int | None = None,
    ) -> torch.Tensor | list[torch.Tensor]:
        """Return the codes of one or several waveforms.

        Audio of more than a minute is encoded in pieces, each with some seconds of
        its neighbours, so that memory is bounded; near their borders some codes can differ from
        those of the whole. Everything is computed in float32, under autocast too.

        Args:
            wave: (N,) floating point samples, or a list of such.
            sample_rate: Of the waveforms (Hz); others than the codec's are resampled.
            semantic: (T,) semantic tokens, or a list of such; None lets the experiment's own
                tokenizer make them, where the codec needs any.
            batch_size: Waveforms at a time; None for what suits the device.
            n_codebooks: How many codebooks to return, n; None for all.

        Returns:
            (n, T) int64 with T = ceil(N / hop) at the codec's rate, or a list of such.

        Raises:
            DataError: If a waveform is empty, not mono, or has NaN or infinite samples.
            TokenError: If tokens are out of range, do not fit, or are not needed.
            ConfigError: If there are fewer codebooks than asked for, or `batch_size` is below 1.
        """
        if isinstance(wave, np.ndarray | torch.Tensor):
            tokens = None if semantic is None else [semantic]
            return self.encode([wave], sample_rate, tokens, batch_size, n_codebooks)[0]
        if semantic is not None and len(semantic) != len(wave):
            raise TokenError(f"{len(semantic)} token sequences are given for {len(wave)} waves.")
        if n_codebooks is not None and not 1 <= n_codebooks <= self.n_codebooks:
            raise ConfigError(
                f"n_codebooks {n_codebooks} is outside 1..{self.n_codebooks}, what the codec has."
            )
        size = batch_size
        if size is None:
            size = DEVICE_BATCH_SIZE.get(self.device.type, DEFAULT_BATCH_SIZE)
        if size < 1:
            raise ConfigError(f"batch_size {size} is below 1.")
        items = [
            item
            for i, w in enumerate(wave)
            for item in self._prepare(i, w, sample_rate, None if semantic is None else semantic[i])
        ]
        # Neighbours in length share a batch, so that little of it is padding.
        order = sorted(range(len(items)), key=lambda i: -len(items[i].wave))
        codes: dict[int, torch.Tensor] = {}
        for start in tqdm(
            range(0, len(order), size), "encode", unit="batch", disable=len(items) == len(wave)
        ):
            rows = order[start : start + size]
            made = self._encode_batch([self._with_tokens(items[i]) for i in rows])[:, :n_codebooks]
            codes |= zip(rows, made, strict=True)
        return chunks.join(items, codes, len(wave))

    @torch.inference_mode()
    @typechecked
    def decode(
        self, codes: torch.Tensor | np.ndarray, num_samples: int | None = None
    ) -> torch.Tensor:
        """Return the waveform (N,) float32 of codes; long audio in pieces, as `encode`.

        Args:
            codes: (n, T) integers, of the first n codebooks.
            num_samples: N, at most T * hop; None for all T * hop samples.

        Raises:
            TokenError: If the codes do not fit the codec, or `num_samples` the codes.
        """
        given = torch.as_tensor(codes).cpu().numpy()
        choices = [codebook.num_choices for codebook in self.generator.codebooks]
        codes = torch.from_numpy(check_codes(given, choices))
        longest = self.frame_rule.num_samples(codes.shape[1])
        if num_samples is not None and self.frame_rule.num_frames(num_samples) != codes.shape[1]:
            raise TokenError(
                f"num_samples {num_samples} does not fit codes of {codes.shape[1]} frames, which"
                f" make {longest - self.frame_rule.hop_samples + 1} to {longest} samples."
            )
        pieces = chunks.pieces_of(codes.shape[1], self.frame_rule)
        parts = []
        for piece in tqdm(pieces, "decode", unit="piece", disable=len(pieces) == 1):
            part = codes[:, None, piece.start : piece.stop].to(self.device)
            kept = slice(
                self.frame_rule.num_samples(piece.first - piece.start),
                self.frame_rule.num_samples(piece.last - piece.start),
            )
            with self._float32():
                parts.append(self.generator.decode(part)[0, 0, kept].cpu())
        return torch.cat(parts)[:num_samples]

    def _prepare(
        self, waveform_index: int, wave: Wave, sample_rate: int, semantic: Any
    ) -> Iterator[chunks.WavePiece]:
        """Check and resample a waveform, bring its tokens to its frames, and cut both."""
        where = _name(waveform_index)
        if isinstance(wave, torch.Tensor):
            # NumPy has no bfloat16.
            wave = wave.detach().cpu()
            samples = (wave.float() if wave.is_floating_point() else wave).numpy()
        else:
            samples = wave
        samples = resample(check_wave(samples, where), sample_rate, self.sample_rate, where)
        # Resampling may leave nothing of a sample or two.
        samples = check_wave(samples, where)
        num_frames = self.frame_rule.num_frames(len(samples))
        tokens = None
        if self.needs_tokens and semantic is not None:
            tokens = align_tokens(where, self._check_tokens(semantic, where), num_frames)
        elif semantic is not None:
            raise TokenError(
                f"{where}: this codec is not assigned tokens from outside; leave semantic out."
            )
        yield from chunks.cut_wave(
            waveform_index, samples, tokens, self.frame_rule, self.generator.windows
        )

    def _with_tokens(self, item: chunks.WavePiece) -> chunks.WavePiece:
        """Return a piece with the tokens of the experiment's own tokenizer, where it needs any."""
        if item.tokens is not None or not self.needs_tokens:
            return item
        where = _name(item.waveform_index)
        made = self._check_tokens(self.tokenizer(torch.from_numpy(item.wave), where), where)
        made = align_tokens(where, made, self.frame_rule.num_frames(len(item.wave)))
        return dataclasses.replace(item, tokens=made)

    def _check_tokens(self, tokens: Any, where: str) -> np.ndarray:
        """Return tokens (T,) if this codec has them all."""
        try:
            given = torch.as_tensor(tokens).cpu().numpy()
        except (TypeError, ValueError) as error:
            raise TokenError(f"{where}: not a list of token ids ({error}).") from error
        return check_tokens(where, given, self.generator.codebooks[0].num_choices)

    def _float32(self) -> torch.autocast:
        """Compute in float32, so that codes are the same wherever they are made."""
        return torch.autocast(self.device.type, enabled=False)

    @torch.inference_mode()
    def _encode_batch(self, items: Sequence[chunks.WavePiece]) -> torch.Tensor:
        """Encode pieces together; returns (B, n_codebooks, T), anything in the padding."""
        batch = chunks.pad(items, self.frame_rule)
        with self._float32():
            codes = self.generator.codes(
                batch.audio.to(self.device),
                None if batch.tokens is None else batch.tokens.to(self.device),
                None if batch.num_frames is None else batch.num_frames.to(self.device),
            )
        return codes.cpu().transpose(0, 1)


def _name(waveform_index: int) -> str:
    """Return what errors call one of several waveforms."""
    return f"wave {waveform_index}"
