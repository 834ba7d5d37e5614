"""codes.json: what is in a folder of flat codes."""

import dataclasses
import json
from pathlib import Path

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.files import require, write_text

# <blank> and <unk> come before the codes in ESPnet's token lists.
FIRST_CODE = 2
NAME = "codes.json"
# The entries of the codebooks: "1": (K, D), ...
VECTORS_NAME = "codebooks.safetensors"


@dataclasses.dataclass(frozen=True)
class CodesInfo:
    """The codec and the codebooks of the codes in a folder.

    Attributes:
        codebook_sizes: Entries of each codebook.
        frame_rate_hz: Frames per second.
        codec_fingerprint: Of the codec; for plain semantic tokens of their tokenizer.
        codebooks: Which of the codec's codebooks these are, from 1.
        first_code: The id of code 0 of the first codebook in the flat codes.
    """

    codebook_sizes: list[int]
    frame_rate_hz: float
    codec_fingerprint: str
    codebooks: list[int]
    first_code: int = FIRST_CODE

    @classmethod
    def of_all(
        cls, codebook_sizes: list[int], frame_rate_hz: float, codec_fingerprint: str
    ) -> "CodesInfo":
        """Describe codes of all the codebooks of a codec."""
        books = list(range(1, len(codebook_sizes) + 1))
        return cls(codebook_sizes, frame_rate_hz, codec_fingerprint, books)

    def write(self, folder: Path) -> None:
        """Write <folder>/codes.json."""
        write_text(folder / NAME, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "CodesInfo":
        """Read <folder>/codes.json.

        Raises:
            StageError: If it is not there.
            DataError: If it is of another kind.
        """
        path = require(folder / NAME, "stage 7 of the codec's recipe")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content.setdefault("codebooks", list(range(1, 1 + len(content["codebook_sizes"]))))
            return cls(**content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{path}: does not describe codes ({reason}); make it again."
            ) from error

    def token_list(self) -> list[str]:
        """Return ESPnet's source token list."""
        codes = [
            f"<q{book - 1}_{code}>"
            for book, size in zip(self.codebooks, self.codebook_sizes, strict=True)
            for code in range(size)
        ]
        return ["<blank>", "<unk>", *codes, "<sos/eos>"]
