"""Archives of experiments: those that `pack` writes, and those of ESPnet's `espnet2.bin.pack`.

In both, `meta.yaml` names the parts as ESPnet's inference classes call them. Of an archive of
ESPnet, configuration and model lie where they lay when they were packed, below any folders.
"""

import gzip
import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path

import yaml

from espnet_stacodec.config import load_yaml
from espnet_stacodec.errors import ModelError
from espnet_stacodec.fileio.files import write_text

META_NAME = "meta.yaml"
# What espnet2.bin.gan_codec_inference calls the configuration and the model.
CONFIG_KEY, MODEL_KEY = "train_config", "model_file"
# RuntimeError: a password is needed, or a compression that Python does not know.
UNREADABLE = (
    EOFError,
    RuntimeError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
BLOCK_BYTES = 1 << 20


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .zip or .tar archive, compressed or not; nothing gets outside of `folder`.

    Raises:
        ModelError: If it is no such archive, or not a whole one.
    """
    try:
        # Checkpoints are .zip files, and a .tar that ends in one looks like one.
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as packed_tar:
                packed_tar.extractall(folder, filter="data")
                # Up to the checksum at the end of what is compressed.
                while packed_tar.fileobj and packed_tar.fileobj.read(BLOCK_BYTES):
                    pass
        else:
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder)
    except UNREADABLE as error:
        raise ModelError(f"{archive}: not a whole archive of an experiment ({error}).") from error


def write_meta(folder: Path, config_name: str, model_name: str) -> None:
    """Write the meta.yaml of a folder, as `espnet2.bin.pack codec` does."""
    meta = {"files": {MODEL_KEY: model_name}, "yaml_files": {CONFIG_KEY: config_name}}
    write_text(folder / META_NAME, yaml.safe_dump(meta))


def find_parts(folder: Path, source: Path | str) -> tuple[Path, Path]:
    """Return configuration and model that the meta.yaml of a folder names.

    Args:
        folder: Of an unpacked archive, or of a repository.
        source: Named in errors.

    Raises:
        ModelError: If meta.yaml names no codec, or files that are not there.
    """
    where = f"{source}/{META_NAME}"
    meta = load_yaml(folder / META_NAME, where)
    paths = []
    for group, key in (("yaml_files", CONFIG_KEY), ("files", MODEL_KEY)):
        named = meta.get(group)
        if not isinstance(named, dict) or not isinstance(named.get(key), str):
            raise ModelError(f"{where}: no {key} in {group}; give an archive of a codec.")
        # Archivers drop the root of absolute paths, meta.yaml keeps it.
        path = folder / named[key].lstrip("/")
        if ".." in Path(named[key]).parts or not path.is_file():
            raise ModelError(f"{where}: {key} is {named[key]}, which is not in the archive.")
        paths.append(path)
    config, model = paths
    return config, model
