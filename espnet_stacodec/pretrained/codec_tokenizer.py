"""The semantic tokenizer that a codec was trained with, run on audio of the codec's rate."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from espnet_stacodec.errors import ModelError
from espnet_stacodec.fileio.audio import resample
from espnet_stacodec.semantic.tokenizer_info import (
    INFO_NAME,
    TOKEN_FRAMES,
    TokenizerInfo,
    check_same_tokenizer,
)

if TYPE_CHECKING:
    from espnet_stacodec.semantic.tokenizer import SemanticTokenizer


class CodecTokenizer:
    """Makes the semantic tokens of audio; the SSL model is loaded when it is first needed.

    Copies and pickles leave the SSL model behind; they load it again when they need it.

    Args:
        folder: Where the experiment keeps its tokenizer; None where there is none.
        fingerprint: Of the tokenizer that the codec was trained with; None where it is unknown.
    """

    def __init__(self, folder: Path | None, fingerprint: str | None) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self._start()

    def _start(self) -> None:
        self._loaded: dict[torch.device, SemanticTokenizer] = {}
        self._lock = threading.Lock()

    def __call__(self, wave: torch.Tensor, sample_rate: int, where: str) -> torch.Tensor:
        """Return the tokens (T,) int64 of a whole waveform, as stage 3 makes them.

        Args:
            wave: (N,) float32 samples; the SSL model runs on their device.
            sample_rate: Of the waveform (Hz); others than the SSL model's are resampled.
            where: Named in errors.

        Raises:
            ModelError: If the tokenizer is not there, or is not the codec's.
            DataError: If the SSL model cannot make features of the waveform.
        """
        target = TOKEN_FRAMES.sample_rate
        if sample_rate != target:
            resampled = resample(wave.cpu().numpy(), sample_rate, target, where)
            wave = torch.from_numpy(resampled).to(wave.device)
        return self._load(wave.device)(wave, where)

    def describe(self) -> TokenizerInfo | None:
        """Return what is known of the tokenizer; None where the experiment has none."""
        if self.folder is None or not (self.folder / INFO_NAME).exists():
            return None
        return TokenizerInfo.read(self.folder)

    def check_tokens_of(self, semantic_scp: Path) -> None:
        """Raise TokenError if the codec was trained with other tokens than those of a list.

        Args:
            semantic_scp: <folder>/<set>/semantic.scp, with the tokenizer.yaml of its folder.
        """
        found = TokenizerInfo.read(semantic_scp.parent.parent / INFO_NAME)
        check_same_tokenizer(found.fingerprint, self.fingerprint, semantic_scp)

    def _load(self, device: torch.device) -> "SemanticTokenizer":
        with self._lock:
            if device not in self._loaded:
                info = self.describe()
                if self.folder is None or info is None:
                    raise ModelError(
                        f"{self.folder}: the experiment has no semantic tokenizer; copy the folder"
                        " of stage 3 there, or encode with semantic=TOKENS."
                    )
                check_same_tokenizer(info.fingerprint, self.fingerprint, self.folder)
                from espnet_stacodec.semantic.tokenizer import SemanticTokenizer

                # One at a time: SSL models are large.
                self._loaded = {device: SemanticTokenizer.load(self.folder, device=str(device))}
            return self._loaded[device]

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "fingerprint": self.fingerprint}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()
