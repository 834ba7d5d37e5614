"""Notice files of audio where raw samples are expected, by how they begin."""

import re

#: How many bytes `kind_of_file` looks at.
LONGEST_START = 40
# Only what raw samples do not begin with but by a chance of one in 2^32. So an MP3 file
# is noticed by its tag, or by the name that most encoders write into its first frame.
_STARTS = {
    "WAV": rb"RIFF|RIFX|RF64|BW64|riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb",
    "AIFF": rb"FORM",
    "AU": rb"\.snd",
    "CAF": rb"caff",
    "FLAC": rb"fLaC",
    "Ogg": rb"OggS",
    "MP3": rb"ID3[\x02-\x04]\x00|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]..(?:.{9}|.{17}|.{32})(?:Xing|Info)",
    "MP4 or M4A": rb"\x00\x00..ftyp",
    "WebM or Matroska": rb"\x1a\x45\xdf\xa3",
    "AMR": rb"#!AMR",
    "SPHERE": rb"NIST_1A",
    "VOC": rb"Creative Voice File",
    "WMA": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    "WavPack": rb"wvpk",
}
_KINDS = {kind: re.compile(start, re.DOTALL) for kind, start in _STARTS.items()}


def kind_of_file(start: bytes) -> str | None:
    """Return what kind of file begins with these bytes, e.g. `WAV`; None if it may be raw audio."""
    return next((kind for kind, pattern in _KINDS.items() if pattern.match(start)), None)
