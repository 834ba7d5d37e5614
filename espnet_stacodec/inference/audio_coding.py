"""Encode and decode audio with a trained codec."""

import copy
import functools
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from typeguard import typechecked

from espnet_stacodec.config import choose
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.gan_codec.few_rows import round_to_half
from espnet_stacodec.gan_codec.folding import fold
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.inference.computing import PRECISIONS
from espnet_stacodec.inference.decoding import Decoding
from espnet_stacodec.inference.encoding import Encoding
from espnet_stacodec.inference.streaming import Streaming
from espnet_stacodec.pretrained.checkpoint import codec_fingerprint, load_codec
from espnet_stacodec.pretrained.codec_tokenizer import CodecTokenizer
from espnet_stacodec.pretrained.experiment import Experiment
from espnet_stacodec.pretrained.releases import open_variant

if TYPE_CHECKING:
    from espnet_stacodec.gan_codec.builtin import BuiltinGenerator


@functools.lru_cache(maxsize=1)
def load_once(
    source: Path | str, device: str, model_file: str | None, precision: str = "float32"
) -> "AudioCoding":
    """`AudioCoding.from_pretrained`, kept for the next call with the same arguments."""
    return AudioCoding.from_pretrained(source, device, model_file, precision=precision)


class AudioCoding(Encoding, Decoding, Streaming):
    """A trained codec: audio to codes and back.

    ESPnet's class of the same name (espnet2.bin.gan_codec_inference) knows audio only; this one
    also assigns semantic tokens, keeps the length of audio, and reads archives, hub repositories
    and the authors' releases. A codec can be copied, pickled and shared by threads.

    Args:
        generator: A trained generator, which is copied: of this package, or one of ESPnet's
            built-in codecs.
        tokenizer: The semantic tokenizer that it was trained with; None where it needs none.
        device: Where to compute.
        precision: What the networks compute in: "float32"; "bfloat16", which is faster where the
            device has it and gives some other codes; "float16", which is float32 with weights that
            are rounded to float16, and faster on a CPU, in streams and where there are LSTMs; or
            "float64", for causal codecs.

    Attributes:
        fingerprint: 16 hexadecimal digits that identify the weights, and the settings that decide
            codes and audio.

    Example:
        >>> codec = AudioCoding.from_pretrained("small")  # or a folder, an archive, OWNER/NAME
        >>> codes = codec.encode(wave, 16000)       # (n_codebooks, T) int64
        >>> audio = codec.decode(codes, len(wave))  # (N,) float32
        >>> audio = codec.decode(codec.encode_file("a.flac"))  # any rate and number of channels
    """

    def __init__(
        self,
        generator: "STACodecGenerator | BuiltinGenerator",
        tokenizer: CodecTokenizer | None = None,
        device: torch.device | str = "cpu",
        precision: str = "float32",
    ) -> None:
        choose(PRECISIONS, precision, "precision")
        self.precision = precision
        self.fingerprint = codec_fingerprint(generator)
        self.generator = copy.deepcopy(generator).eval().requires_grad_(False)
        fold(self.generator)
        if precision == "float16":
            round_to_half(self.generator)
        if precision == "float64":
            if not self.generator.causal:
                raise ConfigError(
                    "precision 'float64' is for causal codecs, whose streams then do not differ"
                    " from whole files by rounding; give 'float32'."
                )
            self.generator.double()
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
        precision: str = "float32",
    ) -> "AudioCoding":
        """Load a shipped codec, an experiment's folder, an archive, or a hub's repository.

        Args:
            source: Name of a shipped codec ("small"), path, or id of a Hugging Face repository.
            device: "cpu", "cuda", "cuda:1", ...
            model_file: Name of a checkpoint in the folder; None for the best one.
            variant: Which of the authors' releases in the folder or repository `source`, e.g.
                "stacodec_wavlm" of "kaiyuanzhang0808/stacodec"; None for an experiment.
            revision: Branch, tag or commit of a repository; None for its default branch.
            token: Access token of a private repository; None for that of `hf auth login`.
            cache_dir: Where downloads, unpacked archives and converted releases are kept; None
                for the hub's and the user's cache.
            precision: "float32", "bfloat16", "float16" or "float64".

        Raises:
            ConfigError: If there is no such device or precision.
            ModelError: If a part is missing or the checkpoint does not fit its configuration.
        """
        if variant is not None:
            source = open_variant(source, variant, revision, token, cache_dir)
            revision = None  # an imported release is a folder here
        experiment = Experiment.open(source, model_file, revision, token, cache_dir)
        return cls.from_experiment(experiment, device, precision)

    @classmethod
    @typechecked
    def from_experiment(
        cls,
        experiment: Experiment,
        device: torch.device | str = "cpu",
        precision: str = "float32",
    ) -> "AudioCoding":
        """Load an opened experiment; raises ModelError as `from_pretrained` does."""
        trained_with = experiment.codec_conf.get("semantic_fingerprint")
        tokenizer = CodecTokenizer(experiment.tokenizer_folder, trained_with)
        return cls(load_codec(experiment), tokenizer, device, precision)

    @typechecked
    def to(self, device: torch.device | str) -> "AudioCoding":
        """Compute on another device from now on; returns the codec.

        Raises:
            ConfigError: If there is no such device; the codec then stays where it was.
        """
        try:
            wanted = torch.device(device)
            torch.empty(0, device=wanted)  # before any weight has moved
            self.generator.to(wanted)
            self.device = wanted
        except (RuntimeError, AssertionError) as error:
            reason = str(error).split("\n")[0]
            raise ConfigError(f"device '{device}' cannot be used here ({reason}).") from error
        return self
