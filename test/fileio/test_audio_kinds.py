"""Files of audio that are noticed where raw samples are expected."""

import io

import numpy as np
import pytest
import soundfile

from espnet_stacodec.fileio.audio_kinds import LONGEST_START, kind_of_file

NOISE = np.random.default_rng(0).normal(0, 0.1, 4000)
WRITTEN = {
    **{"WAV": "WAV", "WAVEX": "WAV", "RF64": "WAV", "W64": "WAV", "AIFF": "AIFF", "SVX": "AIFF"},
    **{"AU": "AU", "CAF": "CAF", "FLAC": "FLAC", "OGG": "Ogg", "MP3": "MP3", "NIST": "SPHERE"},
    "VOC": "VOC",
}


@pytest.mark.parametrize(("form", "kind"), WRITTEN.items())
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_what_a_library_writes(form, kind, channels, sample_rate):
    content = io.BytesIO()
    audio = np.stack([NOISE] * channels, 1)
    if (form, channels) == ("SVX", 2):
        pytest.skip("it has one channel")
    soundfile.write(content, audio, sample_rate, format=form)
    assert kind_of_file(content.getvalue()[:LONGEST_START]) == kind


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"RIFX\x24\x08\0\0WAVEfmt ", "WAV"),
        (b"ID3\x03\0\0\0\0\x0f\x76", "MP3"),
        (b"ID3\x04\0\0\0\0\0\x23", "MP3"),
        (b"\0\0\0\x1cftypM4A \0\0\0\0", "MP4 or M4A"),
        (b"\0\0\0\x20ftypisom\0\0\x02\0", "MP4 or M4A"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81", "WebM or Matroska"),
        (b"#!AMR\n", "AMR"),
        (b"#!AMR-WB\n", "AMR"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "WMA"),
        (b"wvpk\x60\x01\0\0", "WavPack"),
    ],
)
def test_others(start, kind):
    assert kind_of_file(start + bytes(30)) == kind


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"RIF",
        # Quiet samples, and loud ones that MP3 frames begin with, too.
        bytes(40),
        *(b"\xff" + second + bytes(38) for second in (b"\xfb", b"\xf3", b"\xf2", b"\xe3")),
        b"\xff\xfb" * 20,
        b"ID3" + bytes(37),
        b"riff" + bytes(36),
    ],
)
def test_what_may_be_raw_audio(start):
    assert kind_of_file(start) is None
