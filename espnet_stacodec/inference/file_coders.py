"""What makes a file of codes from audio, or audio from a file of codes."""

import abc
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from espnet_stacodec.errors import TokenError, naming
from espnet_stacodec.fileio.audio import AUDIO_ENDINGS, read_comment, write_audio
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.fileio.files import content_key
from espnet_stacodec.inference.audio_coding import AudioCoding, load_once

CODES_ENDING = ".npz"
COMMENT = "stacodec decode "


class File(NamedTuple):
    """A file to code: arguments of `FileCoder.code`."""

    source: Path
    output: Path
    origin: str


@dataclasses.dataclass(frozen=True)
class FileCoder(abc.ABC):
    """Makes one kind of file from another with a codec. It can be pickled.

    Attributes:
        model: As for `AudioCoding.from_pretrained`, and so are
        device, model_file, precision: these.
        batch_size: Files that are computed together.
        input_endings: Of the files to take from folders.
    """

    model: Path | str
    device: str = "cpu"
    model_file: str | None = None
    precision: str = "float32"
    batch_size: int = 1

    input_endings: ClassVar[Sequence[str]]

    @property
    def codec(self) -> AudioCoding:
        """The codec, loaded once in a process."""
        return load_once(self.model, self.device, self.model_file, self.precision)

    @property
    @abc.abstractmethod
    def output_ending(self) -> str:
        """Of the files that are made."""

    @property
    @abc.abstractmethod
    def options(self) -> list[object]:
        """Settings that decide the output, besides input and codec."""

    @abc.abstractmethod
    def origin_of(self, output: Path) -> str | None:
        """Return what an output holds as its `origin`; None if such a coder did not make it."""

    @abc.abstractmethod
    def code(self, source: Path, output: Path, origin: str) -> int:
        """Make an output; return how many of its samples are clipped.

        Raises:
            DataError: If the input cannot be used.
            OSError: If a file cannot be read or written.
        """

    @abc.abstractmethod
    def code_together(self, files: Sequence[File]) -> list[int]:
        """Make several outputs; results and errors as for `code`, of any of them."""

    def origin(self, source: Path) -> str:
        """Return what identifies the input, the codec and the options; empty without an input."""
        if not source.is_file():
            return ""
        status = source.stat()
        return content_key(
            [status.st_size, status.st_mtime_ns, self.codec.output_key, self.options]
        )


@dataclasses.dataclass(frozen=True)
class FileEncoder(FileCoder):
    """Makes files of codes from audio files.

    Attributes:
        n_codebooks: How many codebooks to write; None for all.
    """

    n_codebooks: int | None = None

    input_endings = AUDIO_ENDINGS
    output_ending = CODES_ENDING

    @property
    def options(self) -> list[object]:
        """The number of codebooks."""
        return [self.codec.n_codebooks if self.n_codebooks is None else self.n_codebooks]

    def origin_of(self, output: Path) -> str | None:
        """Return `Codes.made_from`."""
        try:
            return Codes.load(output).made_from
        except TokenError:
            return None

    def code(self, source: Path, output: Path, origin: str) -> int:
        """Encode; no codes are clipped."""
        codes = self.codec.encode_file(source, self.n_codebooks)
        dataclasses.replace(codes, made_from=origin).save(output)
        return 0

    def code_together(self, files: Sequence[File]) -> list[int]:
        """Encode; no codes are clipped."""
        made = self.codec.encode_files([file.source for file in files], self.n_codebooks)
        for file, codes in zip(files, made, strict=True):
            dataclasses.replace(codes, made_from=file.origin).save(file.output)
        return [0] * len(files)


@dataclasses.dataclass(frozen=True)
class FileDecoder(FileCoder):
    """Makes 16-bit audio files from files of codes.

    Attributes:
        file_format: "wav" or "flac".
    """

    file_format: str = "wav"

    input_endings = (CODES_ENDING,)

    @property
    def output_ending(self) -> str:
        """The format's."""
        return f".{self.file_format}"

    @property
    def options(self) -> list[object]:
        """None but the format, which the name tells."""
        return []

    def origin_of(self, output: Path) -> str | None:
        """Return what the file's comment tells."""
        comment = read_comment(output)
        return comment.removeprefix(COMMENT) if comment.startswith(COMMENT) else None

    def code(self, source: Path, output: Path, origin: str) -> int:
        """Decode; samples beyond full scale are clipped."""
        codes = Codes.load(source)
        with naming(source):
            wave = self.codec.decode(codes).numpy()
        return self._write(wave, codes.sample_rate, output, origin)

    def code_together(self, files: Sequence[File]) -> list[int]:
        """Decode; samples beyond full scale are clipped."""
        codes = [Codes.load(file.source) for file in files]
        rows = zip(files, codes, self.codec.decode(codes), strict=True)
        return [self._write(w.numpy(), c.sample_rate, f.output, f.origin) for f, c, w in rows]

    def _write(self, wave: np.ndarray, rate: int, output: Path, origin: str) -> int:
        write_audio(output, wave, rate, f"{COMMENT}{origin}")
        return int((abs(wave) > 1).sum())
