"""Large files over HTTP that survive dropped connections, and archives that unpack whole or not."""

import gzip
import hashlib
import http.client
import logging
import ssl
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from tqdm import tqdm
from typeguard import typechecked

from espnet_stacodec.errors import DataError
from espnet_stacodec.fileio.files import move_folder, scratch_folder
from espnet_stacodec.fileio.temporaries import exclusive

BLOCK_BYTES = 1 << 20
TIMEOUT_SECONDS = 60
# Attempts in a row that bring no new byte; a slow but moving download is never given up.
MAX_FRUITLESS_ATTEMPTS = 5
RANGE_REFUSED = 416
# Errors of the network only: an OSError of the disk (full, read-only) must come through.
NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


@typechecked
def download(
    url: str, destination: Path | str, md5: str | None = None, first_wait_seconds: float = 1.0
) -> Path:
    """Fetch `url` into `destination`, continuing what an earlier call left in `<destination>.part`.

    A destination that exists is complete: it gets its name only after its checksum was compared.

    Args:
        url: An http or https address.
        destination: The file to make; its folder is made if needed.
        md5: Expected checksum in hexadecimal, or None to take whatever arrives.
        first_wait_seconds: Pause before the second attempt; doubled before every later one.

    Returns:
        `destination` as a Path.

    Raises:
        DataError: If the server has no such file, the connection keeps failing, or the checksum
            differs (what was downloaded is removed then, so that the next call starts anew).
    """
    destination = Path(destination)
    if destination.exists():
        return destination
    if not url.startswith(("http://", "https://")):
        raise DataError(f"{url}: only http:// and https:// addresses can be downloaded.")
    part = destination.with_name(destination.name + ".part")
    with exclusive(destination.parent, name=f".{destination.name}.lock"):
        if destination.exists():  # another call was quicker
            return destination
        _fetch_with_retries(url, part, first_wait_seconds)
        if md5 is not None:
            _check_md5(url, part, md5)
        part.replace(destination)
    return destination


def _fetch_with_retries(url: str, part: Path, wait_seconds: float) -> None:
    """Call `_fetch` until `part` is complete, or it stopped growing for some attempts."""
    fruitless, longest = 0, part.stat().st_size if part.exists() else 0
    while True:
        try:
            return _fetch(url, part)
        except NETWORK_ERRORS as error:
            if isinstance(error, urllib.error.HTTPError) and _is_final(error.code):
                raise DataError(
                    f"{url}: the server answers {error.code} ({error.reason}); check the address."
                ) from error
            size = part.stat().st_size if part.exists() else 0
            fruitless = 0 if size > longest else fruitless + 1
            longest = max(longest, size)
            if fruitless >= MAX_FRUITLESS_ATTEMPTS:
                raise DataError(
                    f"{url}: the download stopped at {size} bytes, {fruitless} attempts in a row"
                    f" brought nothing more ({error}); run it again to go on from there."
                ) from error
            pause = wait_seconds * 2**fruitless
            logging.warning("%s: %s; going on in %.0f s from byte %d", url, error, pause, size)
            time.sleep(pause)


def _is_final(status: int) -> bool:
    """Say whether asking again is no use: 4xx, but for "time-out" and "too many requests"."""
    return status < 500 and status not in (408, 429)


def _fetch(url: str, part: Path) -> None:
    """Append to `part` what it lacks of `url`; raise one of NETWORK_ERRORS if it stays short."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if not have or error.code != RANGE_REFUSED:
            raise
        if error.headers.get("Content-Range", "") == f"bytes */{have}":
            return  # Everything had arrived before the last call was interrupted.
        part.unlink()  # Longer than the file on the server: another file's beginning.
        return _fetch(url, part)
    with response:
        content_range = response.headers.get("Content-Range", "")
        if have and not content_range.startswith(f"bytes {have}-"):
            have = 0  # The server ignores ranges and sends the whole file.
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        with (
            part.open("ab" if have else "wb") as out,
            tqdm(desc=part.stem, initial=have, total=total, unit="B", unit_scale=True) as bar,
        ):
            while block := response.read(BLOCK_BYTES):
                out.write(block)
                bar.update(len(block))
    size = part.stat().st_size
    if total is not None and size < total:
        raise ConnectionError(f"the connection broke off at byte {size} of {total}")


def _check_md5(url: str, part: Path, expected: str) -> None:
    """Raise DataError, and remove `part`, if its checksum is not `expected`."""
    with part.open("rb") as content:
        found = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False))
    if found.hexdigest() != expected:
        part.unlink()
        raise DataError(
            f"{url}: the checksum of what arrived is {found.hexdigest()}, expected {expected};"
            " the file was removed, run it again to download it anew."
        )


@typechecked
def extract_tar(archive: Path | str, member: str, destination: Path | str) -> Path:
    """Unpack the folder `member` of a tar archive as `destination`, which appears when complete.

    A destination that exists is complete, and is left as it is.

    Args:
        archive: A tar file, compressed or not.
        member: Folder inside the archive, e.g. "LibriSpeech/dev-clean"; the rest is left out.
        destination: Path of that folder on disk.

    Raises:
        DataError: If the archive cannot be read, or holds no such folder.
    """
    archive, destination = Path(archive), Path(destination)
    if destination.exists():
        return destination
    try:
        with scratch_folder(destination) as temporary, tarfile.open(archive) as tar:
            for entry in tqdm(tar, desc=f"unpack {archive.name}", unit=" files"):
                if entry.name.removeprefix("./").startswith(f"{member}/"):
                    tar.extract(entry, temporary, filter="data")
            if not (temporary / member).is_dir():
                raise DataError(f"{archive}: there is no folder '{member}' in this archive.")
            move_folder(temporary / member, destination)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{archive}: the archive cannot be unpacked ({error}); remove it to fetch it again."
        ) from error
    return destination
