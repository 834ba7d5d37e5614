"""Features of one layer of a speech model, one vector for each 20 ms of 16 kHz audio."""

import abc
import contextlib
import logging
import textwrap
import threading
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.frames import align_tokens
from espnet_stacodec.parallel import default_float32
from espnet_stacodec.semantic.needed_blocks import Blocks
from espnet_stacodec.semantic.tokenizer_info import TOKEN_FRAMES, UpstreamConfig

# Convolutions need a whole window, and S3PRL fails between its own minimum of 50 ms and 60 ms.
MIN_SAMPLES = 1600
# Features of utterances together are those of each alone up to this share of their size.
TOLERANCE = 0.01
PROBE_SAMPLES = 2 * TOKEN_FRAMES.sample_rate


def average_frames(features: torch.Tensor, group: int) -> torch.Tensor:
    """Average successive groups of frames; an incomplete group at the end is averaged alone.

    Args:
        features: (T', D).
        group: Frames that become one.

    Returns:
        (ceil(T' / group), D).
    """
    if group == 1:
        return features
    return torch.stack([part.mean(dim=0) for part in features.split(group)])


_quiet_lock = threading.RLock()


@contextlib.contextmanager
def quiet_models() -> Iterator[None]:
    """Keep the chatter of model libraries (warnings, INFO lines) out of our log.

    For building models only: loggers and warnings belong to the whole process, so that one thread
    at a time changes and restores them.
    """
    with _quiet_lock:
        yield from _quiet()


def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("s3prl", "transformers", "httpx", "root")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(max(logger.level, logging.WARNING))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def short_reason(error: Exception) -> str:
    """Return the kind and the beginning of a library's message, which may be paragraphs long."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", 120, placeholder=" ...")


class Upstream(abc.ABC):
    """A speech model in eval mode and float32, of which one hidden state is used.

    Attributes:
        frame_rate_hz: Frames per second of `features`: always the codec's.
        feature_dim: D.
        weights: What identifies the model's weights: a text, or the places of files; "" where it
            has none.
    """

    frame_rate_hz = TOKEN_FRAMES.frame_rate_hz
    weights: str | dict[str, str] = ""

    def __init__(self, config: UpstreamConfig, device: str) -> None:
        self.config = config
        self.device = torch.device(device)
        with default_float32():
            self._load()
        probe = _probe().to(self.device)
        blocks = Blocks(self._network, config.layer)
        with torch.inference_mode(), quiet_models(), blocks.observed():
            states = self._hidden_states(probe)
        if config.layer >= len(states):
            raise ConfigError(
                f"layer: {config.upstream} has {len(states)} hidden states, layer must be"
                f" 0 to {len(states) - 1} (0 is before the first block), not {config.layer}."
            )
        state = states[config.layer]
        self.feature_dim = state.shape[-1]
        self._group = self._frames_per_token(len(state))
        self._skip_blocks(blocks, probe, states)
        self._is_same_together: bool | None = None  # not known yet

    @property
    def _network(self) -> nn.Module:
        """What `_load` has built; its blocks behind the layer are looked for in it."""
        return nn.Module()

    def _skip_blocks(
        self, blocks: Blocks, probe: torch.Tensor, states: Sequence[torch.Tensor]
    ) -> None:
        """Compute no block behind the layer, where that gives the very same features.

        Args:
            blocks: Observed in a run.
            probe: (N,) the audio of that run.
            states: The hidden states that it gave.
        """
        number = len(states) - 1
        skipped = blocks.skip(number)
        if not skipped:
            return
        with torch.inference_mode(), quiet_models():
            found = self._hidden_states(probe)
        layer = self.config.layer
        if len(found) == len(states) and torch.equal(found[layer], states[layer]):
            logging.debug("%s: %d of %d blocks are computed", self.config.upstream, layer, number)
        else:
            logging.info(
                "%s: all %d blocks are computed: without those behind layer %d, its features are"
                " others.",
                self.config.upstream,
                number,
                layer,
            )
            blocks.restore(skipped)

    @abc.abstractmethod
    def _load(self) -> None:
        """Build the model from `self.config` on `self.device`, and set `weights`."""

    @abc.abstractmethod
    def _hidden_states(self, wave: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return all hidden states (T', D) of wave (N,), at the model's own frame rate."""

    def _states_together(self, waves: Sequence[torch.Tensor]) -> list[torch.Tensor] | None:
        """Return the chosen hidden state (T'_i, D) of each of several waves, computed together.

        As each has it alone, if the model can do that; None where this backend cannot.
        """
        return None

    def _frames_per_token(self, probe_frames: int) -> int:
        """Return how many frames of the model make one token: 1 at 50 Hz, 2 at 100 Hz."""
        tokens = TOKEN_FRAMES.num_frames(PROBE_SAMPLES)
        group = round(probe_frames / tokens)
        # Models round the number of frames differently, by one or two.
        if group < 1 or abs(probe_frames - group * tokens) > 2:
            seconds = PROBE_SAMPLES / TOKEN_FRAMES.sample_rate
            raise ConfigError(
                f"{self.config.upstream}: layer {self.config.layer} gives"
                f" {probe_frames / seconds:g} frames per second; only {self.frame_rate_hz:g} Hz and"
                " its multiples can be used, choose another upstream or layer."
            )
        return group

    def _computing(self) -> torch.autocast:
        low = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=low)

    @typechecked
    def features(self, wave: torch.Tensor, utt_id: str = "audio") -> torch.Tensor:
        """Return the chosen layer's features of one utterance.

        Args:
            wave: (N,) at 16 kHz, in [-1, 1].
            utt_id: Named in errors.

        Returns:
            (T, D) float32 on the model's device, T = ceil(N / 320).

        Raises:
            DataError: If there is no audio, or a feature is not finite.
            LengthError: If the model returns another number of frames.
        """
        padded = self._padded(wave, utt_id)
        with torch.inference_mode(), self._computing():
            state = self._hidden_states(padded)[self.config.layer]
        return self._frames(state, wave, padded, utt_id)

    @typechecked
    def features_together(
        self, waves: Sequence[torch.Tensor], utt_ids: Sequence[str]
    ) -> list[torch.Tensor]:
        """Return the features of each of several utterances of similar length.

        They are computed together only where that gives what each gives alone: padding changes
        the features of many models. Noise of two lengths decides that once, and the log says it.
        Arguments, results and errors as for `features`.
        """
        if len(waves) > 1 and self._computes_together():
            padded = [self._padded(*pair) for pair in zip(waves, utt_ids, strict=True)]
            states = self._together(padded)
            if states is not None:
                rows = zip(states, waves, padded, utt_ids, strict=True)
                return [self._frames(*row) for row in rows]
        return [self.features(*pair) for pair in zip(waves, utt_ids, strict=True)]

    def _together(self, padded: Sequence[torch.Tensor]) -> list[torch.Tensor] | None:
        with torch.inference_mode(), self._computing():
            return self._states_together(padded)

    def _computes_together(self) -> bool:
        """Return whether utterances have the same features together as alone.

        Not found out with the utterances: those of the first call may have one length, and no
        padding between them; and each of several workers, which see others, must decide alike.
        """
        if self._is_same_together is None:
            probe = _probe().to(self.device)
            waves = [probe, probe[: len(probe) // 2]]
            states = self._together(waves)
            found = None
            if states is not None:
                rows = zip(states, waves, waves, strict=True)
                found = [self._frames(*row, "noise") for row in rows]
            alone = [self.features(wave, "noise") for wave in waves]
            self._is_same_together = found is not None and _equal(alone, found)
            how = "one by one: together they have other features"
            how = "together" if self._is_same_together else how
            logging.info("%s: utterances are computed %s", self.config.upstream, how)
        return self._is_same_together

    def _padded(self, wave: torch.Tensor, utt_id: str) -> torch.Tensor:
        """Return wave (N,) on the device, with zeros up to what the model needs at least."""
        if wave.dim() != 1 or len(wave) == 0:
            raise DataError(f"{utt_id}: audio of shape {tuple(wave.shape)}, expected (N,), N >= 1.")
        padding = max(0, MIN_SAMPLES - len(wave))
        return torch.nn.functional.pad(wave, (0, padding)).to(self.device, torch.float32)

    @torch.inference_mode()
    def _frames(
        self, state: torch.Tensor, wave: torch.Tensor, padded: torch.Tensor, utt_id: str
    ) -> torch.Tensor:
        """Return the features (T, D) of wave (N,), of its hidden state (T', D)."""
        frames = average_frames(state.float(), self._group)
        kept = align_tokens(utt_id, np.arange(len(frames)), TOKEN_FRAMES.num_frames(len(padded)))
        kept = kept[: TOKEN_FRAMES.num_frames(len(wave))]
        frames = frames[torch.from_numpy(kept).to(self.device)]
        if not frames.isfinite().all():
            raise DataError(
                f"{utt_id}: {self.config.upstream} gives features that are not finite;"
                " listen to this recording, and leave it out if it is broken."
            )
        return frames


def _probe() -> torch.Tensor:
    """Return noise (N,): silence makes models that normalize their input divide by zero."""
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(PROBE_SAMPLES, generator=generator, dtype=torch.float32)


def _equal(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> bool:
    """Return whether features (T_i, D) are equal, but for rounding."""
    return all(
        a.shape == b.shape and bool((a - b).abs().max() <= TOLERANCE * a.std())
        for a, b in zip(one, other, strict=True)
    )
