"""`provenance.yaml`: what made an output folder, so that it can be made again and be believed.

It says what wrote the folder, its configuration and seed, fingerprints of the data that went in,
the versions of the libraries that compute, and the revision of this package's source. It holds no
time, no host and no path of the output: the same work leaves the same bytes. It is written just
before the file with which a folder is complete.
"""

import dataclasses
import functools
import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from espnet_stacodec.config import load_yaml
from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.files import FINGERPRINT_DIGITS, write_text

PROVENANCE_NAME = "provenance.yaml"
# What numbers in the outputs depend on.
LIBRARIES = (
    "espnet_stacodec", "espnet", "espnet-s3prl", "torch", "torchaudio", "transformers", "numpy",
    "scikit-learn", "soundfile", "soxr", "kaldiio", "pesq", "pystoi", "fast-bss-eval",
)  # fmt: skip
PACKAGE = Path(__file__).resolve().parents[1]
END_BYTES = 1 << 16
FLAC_MARK, FLAC_MD5 = b"fLaC", slice(26, 42)  # of the decoded audio, in a flac file's header


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What makes a folder; data are looked at only when it is written.

    Attributes:
        made_by: The module that makes the folder.
        configuration: What decides the result, beside the data.
        data: By name a fingerprint, or the places of files, of which a fingerprint is taken.
        seed: None where nothing is drawn.
    """

    made_by: str
    configuration: Mapping[str, Any]
    data: Mapping[str, str | Mapping[str, str]]
    seed: int | None = None

    def describe(self) -> dict[str, Any]:
        """Return the content of provenance.yaml.

        Raises:
            DataError: If a file of the data is missing.
        """
        return {
            "made_by": self.made_by,
            "configuration": _plain(self.configuration),
            "seed": self.seed,
            "data": {
                name: value if isinstance(value, str) else fingerprint_places(value)
                for name, value in self.data.items()
            },
            "git_revision": git_revision(),
            "versions": dict(_versions()),
        }

    def write(self, folder: Path | str, keep_earlier: bool = False) -> None:
        """Write provenance.yaml into `folder`, atomically.

        Args:
            folder: The output folder.
            keep_earlier: Whether what was there goes on under `earlier` where it differs: for a
                training, whose epochs may be made by different runs.
        """
        path = Path(folder) / PROVENANCE_NAME
        content = self.describe()
        if keep_earlier and path.exists():
            before = load_yaml(path)
            earlier = before.pop("earlier", [])
            differing = {key: value for key, value in before.items() if content.get(key) != value}
            earlier += [differing] if differing else []
            content |= {"earlier": earlier} if earlier else {}
        write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    def write_before(self, final: Path) -> None:
        """Write it beside `final`, the file that comes last, unless that is there already."""
        if not final.exists():
            self.write(final.parent)


def _plain(content: Mapping[str, Any]) -> Any:
    """Return a mapping with values that YAML and JSON know; others are written as text."""
    return json.loads(json.dumps(content, default=str))


@functools.cache
def _versions() -> Mapping[str, str]:
    """Return the versions of Python and of the libraries that compute, by name."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@functools.cache
def git_revision() -> str:
    """Return the commit of this package's source, with `-dirty` where files were changed since.

    For an installed package, what pip noted of its origin; else "not known" and why.
    """
    command = ["git", "-C", str(PACKAGE.parent), "describe", "--always", "--dirty"]
    command += ["--abbrev=40", "--exclude", "*"]  # never the name of a tag
    reason = "not a git checkout"
    # A package in the environment of somebody else's checkout is none of its files.
    if (PACKAGE.parent / ".git").exists():
        try:
            return subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.strip()
        except OSError as error:
            reason = f"git: {error.strerror}"
        except subprocess.CalledProcessError as error:
            reason = " ".join(error.stderr.split())
    return _installed_revision() or f"not known ({reason})"


def _installed_revision() -> str | None:
    """Return the commit that pip installed the package from, if it was a repository's."""
    try:
        text = metadata.distribution("espnet_stacodec").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    return json.loads(text or "{}").get("vcs_info", {}).get("commit_id")


def fingerprint_places(places: Mapping[str, str]) -> str:
    """Return 16 hexadecimal digits that identify the content of the files of a list.

    Wherever they lie and whenever they were written. Of a flac file the MD5 of its audio counts,
    which is in its header; of an ark all bytes; of any other file the size and both ends.

    Args:
        places: By utterance a path, `<ark>:<offset>`, or `<command> |`, whose text counts.

    Raises:
        DataError: If a file is missing.
    """
    known: dict[str, str] = {}
    digest = hashlib.sha256()
    for utt_id in sorted(places):
        place = places[utt_id]
        if place.rstrip().endswith("|"):
            digest.update(f"{utt_id} {place}\n".encode())
            continue
        ark = re.fullmatch(r"(.*):(\d+)", place)
        # A file whose name looks like a place in an ark is a file.
        ark = None if ark is None or Path(place).exists() else ark
        path, offset = (place, "") if ark is None else (ark[1], ark[2])
        if path not in known:
            try:
                known[path] = _content_of(Path(path), whole=ark is not None)
            except OSError as error:
                raise DataError(
                    f"{utt_id}: {path} cannot be read ({error.strerror}); run the stage that makes"
                    " it again."
                ) from error
        digest.update(f"{utt_id} {known[path]} {offset}\n".encode())
    return digest.hexdigest()[:FINGERPRINT_DIGITS]


def _content_of(path: Path, whole: bool) -> str:
    """Return what identifies the content of a file."""
    with path.open("rb") as file:
        if whole:
            return hashlib.file_digest(file, "sha256").hexdigest()
        start = file.read(END_BYTES)
        md5 = start[FLAC_MD5]
        if start.startswith(FLAC_MARK) and any(md5):
            return md5.hex()
        size = file.seek(0, 2)
        file.seek(max(0, size - END_BYTES))
        return f"{size} {hashlib.sha256(start + file.read()).hexdigest()}"
