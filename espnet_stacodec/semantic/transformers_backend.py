"""Any speech encoder of transformers, from a folder or from the hub."""

import logging
import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoFeatureExtractor, AutoModel, PretrainedConfig
from transformers.utils import logging as transformers_logging

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.semantic.checkpoints import model_files
from espnet_stacodec.semantic.tokenizer_info import TOKEN_FRAMES
from espnet_stacodec.semantic.upstream import Upstream, quiet_models, short_reason

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def _weights(source: str, config: PretrainedConfig, pinned: str | None) -> str | dict[str, str]:
    """Return what identifies a model: the commit of a hub id, or the files of a folder."""
    if Path(source).is_dir():
        return model_files(source)
    commit = getattr(config, "_commit_hash", None) or "unknown revision"
    advice = "" if pinned else f"; `revision: {commit}` makes sure that it stays this one"
    logging.info("%s: revision %s of the hub%s", source, commit, advice)
    return f"{source} {commit}"


class TransformersUpstream(Upstream):
    """A model that turns audio into hidden states; of an encoder-decoder, the encoder.

    Whisper's encoder always sees 30 s: shorter audio is padded and its frames cut back, longer
    audio goes through it in successive windows.
    """

    def _load(self) -> None:
        source = self.config.path_or_url
        if source is None:
            raise ConfigError(
                f"path_or_url: backend transformers needs a model folder or hub id for"
                f" {self.config.upstream}."
            )
        is_folder = Path(source).is_dir()
        if not is_folder and not HUB_ID.fullmatch(source):
            raise ConfigError(f"path_or_url: there is no model folder '{source}'.")
        revision = self.config.revision
        if is_folder and revision is not None:
            raise ConfigError(
                f"revision: '{revision}' was asked for, but path_or_url '{source}' is a folder here"
                " and no hub id; remove one of them."
            )
        transformers_logging.disable_progress_bar()
        try:
            with quiet_models():
                self._extractor = AutoFeatureExtractor.from_pretrained(source, revision=revision)
                # Checkpoints in half precision would run, slowly and coarsely, in it on a CPU.
                model = AutoModel.from_pretrained(source, revision=revision, dtype=torch.float32)
        except (OSError, ValueError, KeyError) as error:
            at = "" if revision is None else f" at revision '{revision}'"
            raise ConfigError(
                f"path_or_url: '{source}' is not a usable model folder here, nor can it be read"
                f" from the hub{at} ({short_reason(error)}); give the path of a downloaded model"
                " with path_or_url."
            ) from error
        self.weights = _weights(source, model.config, revision)
        encoder = model.get_encoder() if model.config.is_encoder_decoder else model
        self._encoder = encoder.to(self.device).eval()
        rate = self._extractor.sampling_rate
        if rate != TOKEN_FRAMES.sample_rate:
            raise ConfigError(f"path_or_url: '{source}' wants audio at {rate} Hz, not 16000 Hz.")

    @property
    def _network(self) -> torch.nn.Module:
        return self._encoder

    def _states_together(self, waves: Sequence[torch.Tensor]) -> list[torch.Tensor] | None:
        window_samples = getattr(self._extractor, "n_samples", None)
        if window_samples is not None and max(map(len, waves)) > window_samples:
            return None
        if window_samples is None and not hasattr(
            self._encoder, "_get_feat_extract_output_lengths"
        ):
            return None
        inputs = self._extractor(
            [wave.cpu().numpy() for wave in waves],
            sampling_rate=TOKEN_FRAMES.sample_rate,
            return_tensors="pt",
            return_attention_mask=True,
            padding="longest" if window_samples is None else "max_length",
        )
        inputs = {name: value.to(self.device) for name, value in inputs.items()}
        states = self._encoder(**inputs, output_hidden_states=True).hidden_states
        return [
            self._own_frames(state, len(wave), window_samples)
            for state, wave in zip(states[self.config.layer], waves, strict=True)
        ]

    def _own_frames(
        self, state: torch.Tensor, num_samples: int, window_samples: int | None
    ) -> torch.Tensor:
        """Return the frames of `num_samples` samples, of a hidden state (T', D) of more."""
        if window_samples is not None:
            return state[: math.ceil(num_samples * len(state) / window_samples)]
        frames = int(self._encoder._get_feat_extract_output_lengths(torch.tensor(num_samples)))
        return self._with_lost_frames(state[:frames], num_samples)

    def _hidden_states(self, wave: torch.Tensor) -> Sequence[torch.Tensor]:
        # Only extractors with a fixed window (Whisper's) have n_samples.
        window_samples = getattr(self._extractor, "n_samples", None)
        windows = [wave] if window_samples is None else wave.split(window_samples)
        states = [self._window_states(window, window_samples) for window in windows]
        return [torch.cat(parts) for parts in zip(*states, strict=True)]

    def _with_lost_frames(self, state: torch.Tensor, num_samples: int) -> torch.Tensor:
        """Repeat the last frame until there are ceil(N / stride), as S3PRL does.

        The convolutions of wav2vec 2.0 and its kin do not pad: one or two frames at the end are
        lost, because their window is longer than their stride.
        """
        strides = getattr(self._encoder.config, "conv_stride", None)
        if strides is None:
            return state
        lost = math.ceil(num_samples / math.prod(strides)) - len(state)
        return torch.cat([state, state[-1:].expand(lost, -1)])

    def _window_states(
        self, wave: torch.Tensor, window_samples: int | None
    ) -> Sequence[torch.Tensor]:
        """Return all hidden states (T', D) of at most one window."""
        inputs = self._extractor(
            wave.cpu().numpy(), sampling_rate=TOKEN_FRAMES.sample_rate, return_tensors="pt"
        )
        inputs = {name: value.to(self.device) for name, value in inputs.items()}
        states = self._encoder(**inputs, output_hidden_states=True).hidden_states
        if window_samples is None:
            return [self._with_lost_frames(state[0], len(wave)) for state in states]
        return [
            state[0, : math.ceil(len(wave) * state.shape[1] / window_samples)] for state in states
        ]
