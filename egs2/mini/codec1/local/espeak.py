"""eSpeak NG through ctypes, in its synchronous mode: text in, samples out."""

import ctypes
import dataclasses
from collections.abc import Callable
from typing import Any

import espeakng_loader
import numpy as np

from espnet_stacodec.errors import DataError

# Of eSpeak NG's speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 1
PARAMETER_RATE = 1
PARAMETER_PITCH = 3

SYNTH_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclasses.dataclass(frozen=True)
class Voice:
    """A speaker.

    Attributes:
        name: eSpeak's language and variant, e.g. `en-us+f2`.
        words_per_minute: Speaking rate.
        pitch: 0 to 99; 50 is the variant's own.
    """

    name: str
    words_per_minute: int
    pitch: int


class _VoiceInfo(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
    )


class Synthesizer:
    """eSpeak NG's library, of which a process has one.

    What it says depends a little on all it said before: for the same samples again, say the same
    sentences in the same order in a fresh process.

    Attributes:
        sample_rate: Of the samples that `speak` returns (Hz).
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_GetCurrentVoice.restype = ctypes.POINTER(_VoiceInfo)
        self._library.espeak_Synth.argtypes = (
            *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint),
            *(ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
        )
        data = espeakng_loader.get_data_path()
        self.sample_rate = self._library.espeak_Initialize(
            AUDIO_OUTPUT_SYNCHRONOUS, 0, data.encode(), INITIALIZE_DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise DataError(f"{data}: eSpeak NG cannot be started; reinstall espeakng-loader.")
        # The breath of some voices is noise, seeded with the time of day otherwise.
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._blocks: list[np.ndarray] = []
        # Kept as an attribute: the library calls it for as long as it lives.
        self._callback: Callable[..., Any] = SYNTH_CALLBACK(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: Any, num_samples: int, _events: Any) -> int:
        if samples and num_samples:
            self._blocks.append(np.ctypeslib.as_array(samples, (num_samples,)).copy())
        return 0

    def set_voice(self, voice: Voice) -> None:
        """Speak as `voice` from now on.

        Raises:
            DataError: If eSpeak NG has no such voice.
        """
        status = self._library.espeak_SetVoiceByName(voice.name.encode())
        current = self._library.espeak_GetCurrentVoice().contents.identifier or b""
        # An unknown variant is not an error to eSpeak NG: it takes the plain language.
        variant = voice.name.partition("+")[2]
        if status != 0 or current.decode().partition("+")[2] != variant:
            raise DataError(f"eSpeak NG has no voice '{voice.name}'; correct the list of voices.")
        self._library.espeak_SetParameter(PARAMETER_RATE, voice.words_per_minute, 0)
        self._library.espeak_SetParameter(PARAMETER_PITCH, voice.pitch, 0)

    def speak(self, sentence: str) -> np.ndarray:
        """Return the samples (N,) int16 of a sentence.

        Raises:
            DataError: If there are none.
        """
        self._blocks.clear()
        text = sentence.encode()
        status = self._library.espeak_Synth(text, len(text) + 1, 0, 0, 0, CHARS_UTF8, None, None)
        if status != 0 or not self._blocks:
            raise DataError(f"eSpeak NG said nothing for '{sentence}' (status {status}).")
        return np.concatenate(self._blocks)
