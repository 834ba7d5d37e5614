"""An experiment as one archive, or as a repository of a hub (stages 8 and 9)."""

import shutil
import tempfile
import zipfile
from pathlib import Path

from typeguard import typechecked

from espnet_stacodec.errors import ModelError
from espnet_stacodec.fileio.files import atomic_write
from espnet_stacodec.pretrained.experiment import (
    CONFIG_NAME,
    PACKED_MODEL_NAME,
    TOKENIZER_FOLDER,
    Experiment,
)

CARD = """---
library_name: espnet_stacodec
tags: [audio, speech, neural-codec, espnet]
---
# {name}

A STACodec (arXiv 2602.06180) trained with espnet_stacodec.

```python
from espnet_stacodec import AudioCoding
codec = AudioCoding.from_pretrained("OWNER/NAME")
codes = codec.encode(wave, sample_rate)
```

{results}
"""


def _parts(experiment: Experiment) -> dict[str, Path]:
    """Return what a packed experiment holds: path in the archive -> file."""
    parts = {
        CONFIG_NAME: experiment.folder / CONFIG_NAME,
        PACKED_MODEL_NAME: experiment.model_file,
    }
    tokenizer = experiment.tokenizer_folder
    if tokenizer.is_dir():
        parts |= {f"{TOKENIZER_FOLDER}/{path.name}": path for path in sorted(tokenizer.iterdir())}
    return parts


def _card(experiment: Experiment, model_file: str | None) -> str:
    """Return the README of a packed experiment, with its scores where there are any.

    Stage 6 keeps those of a checkpoint that was asked for apart from those of the best one.
    """
    folder = "decode" if model_file is None else f"decode_{Path(model_file).stem}"
    results = experiment.folder / folder / "RESULTS.md"
    return CARD.format(
        name=experiment.folder.name,
        results=results.read_text(encoding="utf-8") if results.exists() else "",
    )


@typechecked
def pack(model: Path | str, archive: Path | str, model_file: str | None = None) -> None:
    """Write the archive of an experiment, which `AudioCoding.from_pretrained` reads anywhere.

    Args:
        model: Experiment folder.
        archive: The .zip file to write.
        model_file: Name of the checkpoint; None for the best one.

    Raises:
        ModelError: If the experiment lacks a part.
    """
    experiment = Experiment.open(model, model_file)
    with (
        atomic_write(archive) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name, path in _parts(experiment).items():
            packed.write(path, name)
        packed.writestr("README.md", _card(experiment, model_file))


@typechecked
def upload(model: Path | str, repository: str, model_file: str | None = None) -> str:
    """Upload an experiment to a Hugging Face repository, made if need be; return its address.

    Raises:
        ModelError: If the experiment lacks a part, or the hub refuses.
    """
    import httpx2
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    experiment = Experiment.open(model, model_file)
    with tempfile.TemporaryDirectory() as folder:
        for name, path in _parts(experiment).items():
            target = Path(folder) / name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
        (Path(folder) / "README.md").write_text(_card(experiment, model_file), encoding="utf-8")
        try:
            api = huggingface_hub.HfApi()
            address = api.create_repo(repository, exist_ok=True)
            api.upload_folder(folder_path=folder, repo_id=repository)
        except (HfHubHTTPError, HFValidationError, httpx2.HTTPError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"{repository}: the hub did not take the upload ({reason})."
            ) from error
    return str(address)
