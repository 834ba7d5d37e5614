"""An experiment as one archive, or as a repository of a hub (stages 8 and 9).

Both hold the same files:

    config.yaml         the training's configuration, with codec_conf.semantic_tokenizer
    model.safetensors   the weights that encoding and decoding need; what this package reads
    model.pth           the whole model, with its discriminator: for ESPnet and for fine-tuning
    semantic/           the tokenizer, where the codec was trained with one
    provenance.yaml     what the codec was trained with and on, where the experiment says it
    meta.yaml           tells ESPnet's from_pretrained which file is what
    README.md           the model card
"""

import dataclasses
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from safetensors.torch import save_file
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError, ModelError
from espnet_stacodec.fileio.files import atomic_write, errors_of_writing, scratch_folder, write_text
from espnet_stacodec.fileio.provenance import PROVENANCE_NAME
from espnet_stacodec.pretrained.archives import write_meta
from espnet_stacodec.pretrained.checkpoint import all_weights, inference_weights, load_codec
from espnet_stacodec.pretrained.experiment import (
    CARD_NAME,
    CONFIG_NAME,
    PACKED_MODEL_NAME,
    PACKED_WEIGHTS_NAME,
    TOKENIZER_FOLDER,
    Experiment,
)
from espnet_stacodec.pretrained.model_card import CardOptions, write_card
from espnet_stacodec.pretrained.precision import in_half
from espnet_stacodec.semantic.tokenizer_info import INFO_NAME

# Options of ESPnet that its inference reads, and that an imported release does not have.
ESPNET_DEFAULTS = {"model_conf": {}, "use_preprocessor": False}


@typechecked
def pack(
    model: Path | str,
    archive: Path | str,
    model_file: str | None = None,
    card: CardOptions | None = None,
    half: bool = False,
) -> None:
    """Write the archive of an experiment, which `AudioCoding.from_pretrained` reads anywhere.

    Args:
        model: Experiment folder, or what else `Experiment.open` takes.
        archive: The .zip file to write.
        model_file: Name of the checkpoint; None for the best one.
        card: What the model card says that the experiment does not know; None for nothing.
        half: Whether the weights are kept in float16, which halves the archive. They are computed
            with in float32, but are other weights: the packed codec has its own fingerprint.

    Raises:
        ConfigError: If `archive` does not end in .zip, which ESPnet recognizes it by.
        ModelError: If the experiment lacks a part, or its model cannot be loaded.
    """
    archive = Path(archive)
    if archive.suffix != ".zip":
        raise ConfigError(f"{archive}: the archive's name must end in .zip.")
    with errors_of_writing(archive), scratch_folder(archive) as folder:
        names = _write_parts(folder, model, model_file, card or CardOptions(), archive.name, half)
        with (
            atomic_write(archive) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed,
        ):
            for name in names:
                packed.write(folder / name, name)


@typechecked
def upload(
    model: Path | str,
    repository: str,
    model_file: str | None = None,
    license: str | None = None,
    languages: Sequence[str] = (),
) -> str:
    """Upload an experiment to a Hugging Face repository, made if need be; return its address.

    Args:
        model: As for `pack`, and so is
        repository: OWNER/NAME.
        model_file: this.
        license: As for `CardOptions`, and so are
        languages: these.

    Raises:
        ConfigError: If the repository's id or a language's code is none.
        ModelError: If the experiment lacks a part, or the hub refuses.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # Its bases are OSError and the errors of the HTTP client, another one in each major version.
    client_errors = cast(tuple[type[Exception], ...], HfHubHTTPError.__bases__)
    refused: tuple[type[Exception], ...] = (*client_errors, HFValidationError, OSError, ValueError)
    card = CardOptions(repository, license, languages)
    with tempfile.TemporaryDirectory() as folder:
        with errors_of_writing(folder):
            _write_parts(Path(folder), model, model_file, card, repository)
        try:
            api = huggingface_hub.HfApi()
            address = api.create_repo(repository, exist_ok=True)
            api.upload_folder(folder_path=folder, repo_id=repository)
        except refused as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"{repository}: the hub did not take the upload ({reason})."
            ) from error
    return str(address)


def _write_parts(
    folder: Path,
    model: Path | str,
    model_file: str | None,
    card: CardOptions,
    name: str,
    half: bool = False,
) -> list[str]:
    """Write what a packed experiment holds into an empty folder; return the names of the files."""
    experiment = _with_checkpoint(Experiment.open(model, model_file), folder, half)
    # Also shows that the model can be loaded, before anybody has to find that it cannot.
    generator = load_codec(experiment)
    tokenizer = experiment.tokenizer_folder
    if tokenizer.is_dir():
        shutil.copytree(tokenizer, folder / TOKENIZER_FOLDER)
    assigned = generator.token_source.needs_tokens and (tokenizer / INFO_NAME).exists()
    config = _packed_config(experiment.config, assigned)
    write_text(folder / CONFIG_NAME, yaml.safe_dump(config, sort_keys=False))
    # Copies: of views that share memory, safetensors keeps none.
    weights = {
        name: value.clone().contiguous() for name, value in inference_weights(experiment).items()
    }
    save_file(weights, folder / PACKED_WEIGHTS_NAME, {"format": "pt"})
    if experiment.model_file != folder / PACKED_MODEL_NAME:
        shutil.copyfile(experiment.model_file, folder / PACKED_MODEL_NAME)
    if (experiment.folder / PROVENANCE_NAME).is_file():
        shutil.copyfile(experiment.folder / PROVENANCE_NAME, folder / PROVENANCE_NAME)
    write_meta(folder, CONFIG_NAME, PACKED_MODEL_NAME)
    write_text(folder / CARD_NAME, write_card(experiment, generator, card, name))
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _with_checkpoint(experiment: Experiment, folder: Path, half: bool) -> Experiment:
    """Return the experiment with the checkpoint of the model to pack.

    That is written into `folder` where the experiment has none: of half precision, or of a codec
    that has only the weights for encoding and decoding.
    """
    if experiment.model_file.suffix == ".safetensors":
        whole = experiment.folder / PACKED_MODEL_NAME
        if whole.is_file():
            experiment = dataclasses.replace(experiment, model_file=whole)
    made = folder / PACKED_MODEL_NAME
    if half:
        torch.save(in_half(all_weights(experiment), experiment.source), made)
    elif experiment.model_file.suffix == ".safetensors":
        torch.save(inference_weights(experiment), made)
    else:
        return experiment
    return dataclasses.replace(experiment, model_file=made)


def _packed_config(config: dict[str, Any], assigned: bool) -> dict[str, Any]:
    """Return a configuration with which ESPnet's classes load the packed experiment.

    Args:
        config: The training's.
        assigned: Whether encoding needs the tokenizer that is packed.
    """
    conf = config["codec_conf"]
    if assigned:
        # The path of a file: ESPnet puts the unpacked one's in its place, but only for files.
        conf = conf | {"semantic_tokenizer": f"{TOKENIZER_FOLDER}/{INFO_NAME}"}
    return ESPNET_DEFAULTS | config | {"codec_conf": conf}
