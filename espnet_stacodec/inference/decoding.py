"""Codes to audio, and to the latents between."""

from collections.abc import Sequence
from typing import overload

import torch
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError, TokenError
from espnet_stacodec.fileio.code_files import Codes, form_of_codes
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.gan_codec.quantizer.residual import sum_of_entries
from espnet_stacodec.inference import chunks
from espnet_stacodec.inference.arrays import CodeArray, Count, to_codes, to_integers
from espnet_stacodec.inference.computing import Computing


class Decoding(Computing):
    """A codec that decodes."""

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
        with self._computing():
            audio = chunks.decode(
                self.generator, [array for array, _ in given], self._batch_size(batch_size)
            )
        pairs = zip(audio, given, strict=True)
        return [samples[:length].float() for samples, (_, length) in pairs]

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
            TokenError: If the codes do not fit the codec, or `codebooks` the codes.
            ConfigError: If the codec is one of ESPnet's, whose latents are not known here, or has
                no such codebooks.
        """
        if not isinstance(self.generator, STACodecGenerator):
            raise ConfigError("ESPnet's built-in codecs have no latents here; use their codes.")
        books = range(self.n_codebooks) if codebooks is None else codebooks
        if not set(books) <= set(range(self.n_codebooks)):
            raise ConfigError(
                f"codebooks {list(books)} must be of 0 to {self.n_codebooks - 1}, those of the"
                " codec."
            )
        given = to_integers(codes, form_of_codes(self.codebook_choices))
        if codebooks is not None and given.ndim and len(given) != len(codebooks):
            raise TokenError(
                f"{len(codebooks)} codebooks are named for codes of {len(given)}; name one for each"
                " row."
            )
        choices = [self.codebook_choices[book] for book in books]
        array, _ = to_codes(codes, None, choices, self.frame_rule, self.fingerprint)
        entries = [self.generator.codebooks[book].embed for book in books]
        return sum_of_entries(entries, array.to(self.device)).T.to(array.device, torch.float32)
