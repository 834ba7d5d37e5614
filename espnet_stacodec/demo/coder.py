"""The codec behind the page, used by one request at a time."""

import asyncio
import base64
import concurrent.futures
import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from espnet_stacodec.demo import pcm
from espnet_stacodec.demo.limits import (
    MAX_STREAM_SECONDS,
    MAX_UPLOAD_BYTES,
    MAX_WHOLE_SECONDS,
)
from espnet_stacodec.errors import DataError, TokenError
from espnet_stacodec.inference.arrays import to_waveform
from espnet_stacodec.inference.audio_coding import AudioCoding
from espnet_stacodec.streaming.coder import can_encode_streams


class Coder:
    """A codec in a thread of its own, so that the page answers while it computes.

    Args:
        codec: What to try; it encodes once here, so that what it lacks is known at the start.

    Raises:
        STACodecError: If it cannot encode, e.g. as the SSL model of its tokens is not there.
    """

    def __init__(self, codec: AudioCoding) -> None:
        codec.decode(codec.encode(np.zeros(codec.sample_rate, np.float32), codec.sample_rate))
        self.codec = codec
        # One thread: two pages wait for each other, and neither takes the other's memory.
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "codec")

    async def run[**P, R](self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return work(...), done when its turn has come."""
        call = functools.partial(work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def close(self) -> None:
        """Drop what waits, and wait for what has begun."""
        self._thread.shutdown(cancel_futures=True)

    @property
    def can_stream(self) -> bool:
        """Whether the codec encodes audio as it comes."""
        return can_encode_streams(self.codec.generator)

    def check_page(self, fingerprint: str | None) -> None:
        """Check that a page is of this codec; None where it is no page that asks.

        Raises:
            DataError: If it was loaded before the server was started with another codec.
        """
        if fingerprint not in (None, self.codec.fingerprint):
            raise DataError("the server has another codec than this page now; load the page again.")

    def describe(self) -> dict[str, Any]:
        """Return what the page has to know."""
        codec = self.codec
        numbers = range(1, codec.n_codebooks + 1)
        return {
            "fingerprint": codec.fingerprint,
            "rate": codec.sample_rate,
            "hop": codec.frame_rule.hop_samples,
            "choices": codec.codebook_choices,
            "bits_per_second": [codec.bits_per_second(number) for number in numbers],
            "streams": self.can_stream,
            "latency_seconds": codec.latency_seconds if self.can_stream else None,
            "max_bytes": MAX_UPLOAD_BYTES,
            "max_seconds": MAX_STREAM_SECONDS if self.can_stream else MAX_WHOLE_SECONDS,
        }

    def encode(self, content: bytes) -> dict[str, Any]:
        """Encode an audio file.

        Args:
            content: Of the file.

        Returns:
            `codes`, a list of T codes for each codebook; `audio`, what the codec heard, N samples
            at its rate in base64; and the `seconds` that encoding took.

        Raises:
            DataError: If it is no audio, too long, or of a level that no audio has.
        """
        codec = self.codec
        wave = to_waveform(*pcm.read_file(content), codec.sample_rate, pcm.WHERE)
        begin = time.perf_counter()
        codes = codec.encode(wave, codec.sample_rate)
        return {
            "codes": codes.tolist(),
            "audio": base64.b64encode(pcm.to_bytes(wave)).decode(),
            "seconds": time.perf_counter() - begin,
        }

    def decode(self, codes: Any, num_samples: Any) -> bytes:
        """Return the audio of codes of the first n codebooks, as `pcm.to_bytes` writes it.

        Args:
            codes: n lists of T whole numbers.
            num_samples: N.

        Raises:
            TokenError: If they are no such lists, too long, or do not fit the codec.
        """
        try:
            array = np.array(codes)
        except ValueError:
            array = np.array(None)
        # Truth values and numbers beyond 64 bits are other kinds.
        if array.dtype.kind != "i" or array.ndim != 2 or type(num_samples) is not int:
            raise TokenError("codes are a list of whole numbers for each codebook, of one length.")
        longest = self.codec.frame_rule.num_frames(MAX_STREAM_SECONDS * self.codec.sample_rate)
        if array.shape[1] > longest:
            raise TokenError(
                f"codes of {array.shape[1]} frames are more than {MAX_STREAM_SECONDS} s, the most"
                " that is decoded here; use `stacodec decode`."
            )
        return pcm.to_bytes(self.codec.decode(torch.from_numpy(array), num_samples))
