"""Audio, codes and tokens as callers pass them, checked and brought to one form."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
import torch

from espnet_stacodec.errors import DataError, TokenError
from espnet_stacodec.fileio.audio import check_level, check_rate, resample
from espnet_stacodec.fileio.code_files import Codes, check_codes, form_of_codes
from espnet_stacodec.frames import FrameRule
from espnet_stacodec.semantic.token_files import check_tokens

if TYPE_CHECKING:
    Wave = np.ndarray | torch.Tensor
    CodeArray = np.ndarray | torch.Tensor
    # Of several streams: the next of each, and the numbers of some.
    WavePieces = Sequence[Wave | None]
    CodePieces = Sequence[CodeArray | Codes | None]
    Rows = Sequence[SupportsIndex] | None
else:
    # typeguard leaves them to the functions below and to `Streams`, which refuse in one sentence,
    # and say which wave or stream it is.
    Wave = CodeArray = WavePieces = CodePieces = Rows = Any
Count = SupportsIndex | None
# Offset and full scale of the sample types of PCM files.
PCM_TYPES = {
    torch.uint8: (128, 2**7),
    torch.int8: (0, 2**7),
    torch.int16: (0, 2**15),
    torch.int32: (0, 2**31),
}


def to_waveform(
    wave: Wave, sample_rate: SupportsIndex, target_rate: int, where: str
) -> torch.Tensor:
    """Return (N,) float32 samples at `target_rate` (Hz), on the device of `wave`.

    Args:
        wave: (N,) or (1, N): floating point in [-1, 1], or 8-, 16- or 32-bit PCM, which is
            divided by its type's full scale. Any strides and byte order.
        sample_rate: Of `wave` (Hz).
        target_rate: Of the result (Hz).
        where: Named in errors and in the log.

    Raises:
        DataError: If the audio is empty, not mono, not finite, far beyond full scale, of another
            type, or of a rate that no speech has.
    """
    rate = check_rate(sample_rate, where)
    samples = _to_mono(wave, where)
    if len(samples):
        if clipped := _check_samples(samples, where):
            logging.warning("%s: %s", where, clipped)
        if rate != target_rate:
            resampled = resample(samples.cpu().numpy(), rate, target_rate, where)
            samples = torch.from_numpy(resampled).to(samples.device)
    # Resampling may leave nothing of a sample or two.
    if not len(samples):
        raise DataError(f"{where}: there are no samples in it.")
    return samples


def to_piece(wave: Wave, where: str) -> torch.Tensor:
    """Return (N,) float32 samples of a piece of a stream, at the codec's rate; N may be 0.

    Raises:
        DataError: As `to_waveform` does.
    """
    samples = _to_mono(wave, where)
    if len(samples):
        _check_samples(samples, where)
    return samples


def _to_mono(wave: Wave, where: str) -> torch.Tensor:
    """Return (N,) float32 samples of a wave (N,) or (1, N)."""
    samples = _to_float(_to_tensor(wave, where), where)
    if samples.dim() == 2 and len(samples) == 1:
        samples = samples[0]
    if samples.dim() != 1:
        raise DataError(
            f"{where}: expected one channel (N,), got shape {tuple(samples.shape)}; mix it down."
        )
    return samples


def _to_tensor(wave: Wave, where: str) -> torch.Tensor:
    if kind := _no_array(wave):
        raise DataError(
            f"{where}: expected samples in a NumPy array or an ordinary tensor, got {kind}."
        )
    if isinstance(wave, torch.Tensor):
        return wave.detach().resolve_neg()
    if wave.dtype.kind == "f" and wave.dtype.itemsize > np.dtype(np.float64).itemsize:
        wave = wave.astype(np.float64)
    try:
        return torch.tensor(_native(wave))
    except TypeError as error:
        raise _wrong_type(where, wave.dtype) from error


def _no_array(given: object) -> str:
    """Return what `given` is if it cannot be read as an array; empty if it can."""
    if not isinstance(given, torch.Tensor):
        return "" if isinstance(given, np.ndarray) else f"{type(given).__name__}"
    # A nested one, which may have no layout or shape to ask for, is asked first.
    if given.is_nested:
        return "a nested tensor"
    if given.layout != torch.strided:
        return f"a tensor of layout {str(given.layout).removeprefix('torch.').strip('_')}"
    if given.is_meta:
        return "a tensor on the meta device, which has no numbers"
    return "a quantized tensor" if given.is_quantized else ""


def _native(array: np.ndarray) -> np.ndarray:
    """Return an array as torch takes it: it knows neither negative strides nor byte orders."""
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))


def to_integers(codes: CodeArray, wanted: str) -> np.ndarray:
    """Return codes or tokens of any strides, byte order and device as an array, unchecked.

    Args:
        codes: What is to be an array or a tensor of integers.
        wanted: Begins the error: what they must be.

    Raises:
        TokenError: If they are neither, or of a kind of tensor that NumPy does not have.
    """
    if kind := _no_array(codes):
        raise TokenError(f"{wanted}, in a NumPy array or an ordinary tensor, not {kind}.")
    if not isinstance(codes, torch.Tensor):
        return _native(codes)
    try:
        return codes.detach().resolve_conj().resolve_neg().cpu().numpy()
    except TypeError as error:
        name = str(codes.dtype).removeprefix("torch.")
        raise TokenError(f"{wanted}, not {name} {tuple(codes.shape)}.") from error


def _to_float(samples: torch.Tensor, where: str) -> torch.Tensor:
    if samples.is_floating_point():
        try:
            return samples.float()
        except NotImplementedError as error:  # several numbers in a byte
            raise _wrong_type(where, samples.dtype) from error
    if samples.dtype not in PCM_TYPES:
        raise _wrong_type(where, samples.dtype)
    offset, full_scale = PCM_TYPES[samples.dtype]
    # Via float64, which holds every 32-bit sample.
    return ((samples.double() - offset) / full_scale).float()


def _wrong_type(where: str, dtype: object) -> DataError:
    return DataError(
        f"{where}: expected floating point samples in [-1, 1] or 8-, 16- or 32-bit PCM, got"
        f" {str(dtype).removeprefix('torch.')}."
    )


def _check_samples(samples: torch.Tensor, where: str) -> str:
    """Return a remark about clipping; raise DataError for samples (N,) not finite or too loud."""
    levels = samples.abs()
    peak = float(levels.max())
    if not np.isfinite(peak):
        count = int((~samples.isfinite()).sum())
        raise DataError(f"{where}: {count} samples are NaN or infinite.")
    return check_level(peak, lambda limit: float((levels >= limit).float().mean()), where)


def to_codes(
    codes: CodeArray | Codes,
    num_samples: SupportsIndex | None,
    choices: Sequence[int],
    rule: FrameRule,
    fingerprint: str,
) -> tuple[torch.Tensor, int]:
    """Return codes (n, T) int64, on their device, and how many samples they decode to.

    Args:
        codes: (n, T) integers of the first n codebooks, or what `AudioCoding.encode_file` returns.
        num_samples: Samples at the codec's rate; None for what `codes` say, or all T * hop.
        choices: Entries of each codebook that can be chosen.
        rule: The codec's frames.
        fingerprint: The codec's.

    Raises:
        TokenError: If the codes are of another codec, or do not fit it or `num_samples`.
    """
    if isinstance(codes, Codes):
        codes.check_codec(fingerprint)
        num_samples = codes.num_samples if num_samples is None else num_samples
        codes = codes.codes
    device = codes.device if isinstance(codes, torch.Tensor) else torch.device("cpu")
    array = to_integers(codes, form_of_codes(choices))
    checked = torch.from_numpy(check_codes(array, choices)).to(device)
    num_frames = checked.shape[1]
    longest = rule.num_samples(num_frames)
    length = longest if num_samples is None else int(num_samples.__index__())
    if rule.num_frames(length) != num_frames:
        raise TokenError(
            f"num_samples {length} does not fit codes of {num_frames} frames, which make"
            f" {longest - rule.hop_samples + 1} to {longest} samples at the codec's"
            f" {rule.sample_rate} Hz."
        )
    return checked, length


def to_tokens(tokens: Any, num_tokens: int, where: str) -> np.ndarray:
    """Return semantic tokens (T,) int32 in [0, num_tokens).

    Raises:
        TokenError: If they are no such list.
    """
    try:
        is_array = isinstance(tokens, np.ndarray | torch.Tensor)
        array = tokens if is_array else torch.as_tensor(tokens)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TokenError(f"{where}: not a list of token ids ({error}).") from error
    given = to_integers(array, f"{where}: semantic tokens must be integers (T,)")
    return check_tokens(where, given, num_tokens)
