"""A trained codec as one that comes with the package.

What is written, and all of it is package data:

    config.yaml         codec and codec_conf
    model.safetensors   the weights that encoding and decoding need, in float16
    semantic/           what made the semantic tokens that the codec predicts
    README.md           the model card: what it is, scores, data, licences, limits
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save_file
from typeguard import typechecked

from espnet_stacodec.config import load_yaml
from espnet_stacodec.errors import ConfigError, DataError, ModelError
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.fileio.files import atomic_write, require, scratch_folder, write_text
from espnet_stacodec.fileio.markdown import markdown_table
from espnet_stacodec.pretrained.checkpoint import codec_fingerprint, inference_weights, load_codec
from espnet_stacodec.pretrained.experiment import (
    CARD_NAME,
    CONFIG_NAME,
    PACKED_WEIGHTS_NAME,
    TOKENIZER_FOLDER,
    Experiment,
)
from espnet_stacodec.pretrained.model_card import CardOptions, card_head, describe
from espnet_stacodec.pretrained.precision import in_half, without_sums
from espnet_stacodec.pretrained.shipped import lookup
from espnet_stacodec.semantic.tokenizer_info import INFO_NAME, TokenizerInfo, write_info
from espnet_stacodec.streaming.coder import can_encode_streams

MAX_BYTES = 12_000_000
# Figures of stage 6 that a card shows, where they are there.
SCORES = (
    ("kbps", "kbit/s", 2),
    ("pesq_wb", "PESQ-WB", 2),
    ("stoi", "STOI", 3),
    ("wer_resynthesis", "WER (%)", 1),
    ("wer_original", "WER of the originals (%)", 1),
    ("speaker_similarity", "speaker similarity", 3),
    ("f0_rmse_cents", "F0 RMSE (cents)", 0),
    ("rtf_encode", "RTF encode", 3),
    ("rtf_decode", "RTF decode", 3),
)

CARD = """---
{head}---
# {name}

{description} It comes with the package.
It predicts its semantic tokens ({tokens}) itself: encoding needs no SSL model.
Weights are kept in float16, and computed with in float32. Fingerprint: {fingerprint}.

```sh
{commands}
```

```python
from espnet_stacodec import AudioCoding

codec = AudioCoding.from_pretrained("{name}")
```

## Scores

{scores}

{about}
"""
FILE_COMMANDS = """stacodec encode --model {name} --out codes a.wav
stacodec decode --model {name} --out wav codes/a.npz"""
STREAM_COMMANDS = """stacodec encode --model {name} --stream - < mic.raw > codes.bin
stacodec decode --model {name} --stream - < codes.bin > speaker.raw"""


@typechecked
def ship(
    model: Path | str,
    about: Path | str,
    card: CardOptions,
    name: str = lookup.DEFAULT_NAME,
    model_file: str | None = None,
    scores: Sequence[Path | str] = (),
    ssl_path: str | None = None,
) -> Path:
    """Write a codec into this package; return its folder.

    Args:
        model: Experiment, or the shipped codec itself, e.g. to add its scores.
        about: Markdown for the card: data, licences, limits.
        card: Licence and languages.
        name: What users call it; one that is there is replaced.
        model_file: Checkpoint of the experiment; None for the best one.
        scores: Folders of stage 6 made with the codec as it is shipped, e.g. with 8, 4, 2 and 1
            codebooks, each with results.json and <set>/codes.
        ssl_path: Hub id of the SSL model, where the tokens were made with a folder of it.

    Raises:
        ModelError: If the codec cannot be shipped: it needs an SSL model, or is too large.
        DataError: If scores are of another codec.
        ConfigError: If the tokenizer names a folder of this machine.
    """
    experiment = Experiment.open(model, model_file)
    described = _tokenizer(experiment, ssl_path)
    with scratch_folder(lookup.FOLDER / name) as folder:
        if experiment.codec != "stacodec" or load_codec(experiment).token_source.needs_tokens:
            raise ModelError(
                f"{model}: encoding with it needs semantic tokens from an SSL model; ship a codec"
                " that predicts them (SPD)."
            )
        weights = without_sums(in_half(inference_weights(experiment), model))
        # Copies: of views that share memory, safetensors keeps none.
        weights = {key: value.clone().contiguous() for key, value in weights.items()}
        with atomic_write(folder / PACKED_WEIGHTS_NAME) as temporary:
            save_file(weights, temporary, {"format": "pt"})
        config = {"codec": experiment.codec, "codec_conf": _published(experiment.codec_conf)}
        write_text(folder / CONFIG_NAME, yaml.safe_dump(config, sort_keys=False))
        write_info(folder / TOKENIZER_FOLDER, described)
        about_text = Path(about).read_text(encoding="utf-8").strip()
        write_text(folder / CARD_NAME, _card(folder, name, card, scores, about_text))
        _check_size(folder, name)
        target = lookup.FOLDER / name
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
    return target


def _card(
    folder: Path, name: str, card: CardOptions, scores: Sequence[Path | str], about: str
) -> str:
    """Return the card of what a folder holds otherwise.

    Raises:
        StageError: If a folder of scores has no results.
        DataError: If scores are of another codec.
    """
    shipped = Experiment.open(folder)
    generator = load_codec(shipped)
    fingerprint = codec_fingerprint(generator)
    tokens = TokenizerInfo.read(folder / TOKENIZER_FOLDER)
    commands = [FILE_COMMANDS, *([STREAM_COMMANDS] if can_encode_streams(generator) else [])]
    return CARD.format(
        head=card_head(card),
        name=name,
        description=describe(shipped, generator),
        tokens=f"{tokens.tag}, {tokens.num_clusters} of them",
        fingerprint=fingerprint,
        commands="\n".join(commands).format(name=name),
        scores=_score_table(scores, fingerprint) if scores else "Not scored yet.",
        about=about,
    )


def _published(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return a codec_conf without paths."""
    return {key: value for key, value in conf.items() if key != "semantic_tokenizer"}


def _tokenizer(experiment: Experiment, ssl_path: str | None) -> dict[str, Any]:
    """Return the content of the tokenizer.yaml to ship.

    Not the centroids: without the SSL model they are of no use.
    """
    path = experiment.tokenizer_folder / INFO_NAME
    content = load_yaml(path, experiment.label(f"{TOKENIZER_FOLDER}/{INFO_NAME}"))
    if ssl_path is not None:
        content["path_or_url"] = ssl_path
    named = content.get("path_or_url")
    if named and (Path(named).expanduser().exists() or named.startswith(("/", ".", "~"))):
        raise ConfigError(
            f"{path}: path_or_url {named} is a folder of this machine; give the SSL model's hub id"
            " with --ssl_path."
        )
    return content


def _score_table(folders: Sequence[Path | str], fingerprint: str) -> str:
    """Return one table of several folders of stage 6, a row for each set of each.

    Raises:
        StageError: If one has no results.
        DataError: If its codes are of another codec.
    """
    rows: list[tuple[str, int, Mapping[str, Any]]] = []
    for folder in map(Path, folders):
        results = require(folder / "results.json", "stage 6")
        for name, figures in json.loads(results.read_text(encoding="utf-8"))["sets"].items():
            first = next((folder / name / "codes").glob("*.npz"), None)
            codes = None if first is None else Codes.load(first)
            if codes is None or codes.fingerprint != fingerprint:
                raise DataError(
                    f"{folder}/{name}: not codes of {fingerprint}, which is shipped; run stage 6"
                    " with it."
                )
            rows.append((name, len(codes.codes), figures))
    columns = [c for c in SCORES if any(figures.get(c[0]) is not None for _, _, figures in rows)]
    cells = [
        [name, n, *(_cell(figures.get(key), digits) for key, _, digits in columns)]
        for name, n, figures in rows
    ]
    return markdown_table(["set", "codebooks", *(title for _, title, _ in columns)], cells)


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _check_size(folder: Path, name: str) -> None:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MAX_BYTES:
        raise ModelError(
            f"{name}: {size / 1e6:.1f} MB, and a shipped codec may have {MAX_BYTES / 1e6:g} MB;"
            " train a smaller one."
        )
