"""The README of a packed experiment: what a hub and its visitors read."""

import dataclasses
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.pretrained.checkpoint import codec_fingerprint
from espnet_stacodec.pretrained.experiment import REPOSITORY_PATTERN, Experiment
from espnet_stacodec.streaming.coder import can_encode_streams, latency_seconds

if TYPE_CHECKING:
    from espnet_stacodec.gan_codec.builtin import BuiltinGenerator
    from espnet_stacodec.gan_codec.generator import STACodecGenerator

# Both are known to the hub: models are found by them.
LIBRARY, PIPELINE = "espnet", "audio-to-audio"
TAGS = ("espnet", "audio", "speech", "codec")
# ISO 639, or what the hub has beside it.
LANGUAGE_PATTERN = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,8})?|multilingual|code")

TEXT = """---
{head}---
# {name}

{description}

```python
from espnet_stacodec import AudioCoding
codec = AudioCoding.from_pretrained("{source}")
codes = codec.encode(wave, sample_rate)  # ({n_codebooks}, T)
audio = codec.decode(codes)
```

ESPnet's own tools read it after `import espnet_stacodec`:

```python
import espnet_stacodec
from espnet2.bin.gan_codec_inference import AudioCoding
codec = AudioCoding.from_pretrained("{source}")
```

{scores}
"""


@dataclasses.dataclass(frozen=True)
class CardOptions:
    """Fields of a card that the experiment does not know; None or empty ones are left out.

    Attributes:
        repository: Id of the hub's repository that the card is for, OWNER/NAME.
        license: The hub's name of a licence, e.g. "cc-by-4.0".
        languages: ISO 639 codes of the speech that the codec was trained on.

    Raises:
        ConfigError: If a repository's id or a language's code is none.
    """

    repository: str | None = None
    license: str | None = None
    languages: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.repository is not None and not REPOSITORY_PATTERN.fullmatch(self.repository):
            raise ConfigError(f"repository '{self.repository}' is no OWNER/NAME.")
        for language in self.languages:
            if LANGUAGE_PATTERN.fullmatch(language) is None:
                raise ConfigError(f"language '{language}' is no code of ISO 639, such as en.")


def write_card(
    experiment: Experiment,
    generator: "STACodecGenerator | BuiltinGenerator",
    options: CardOptions,
    archive_name: str,
) -> str:
    """Return the README of a packed experiment, with the scores of what is packed.

    Args:
        experiment: What is packed.
        generator: Its generator.
        options: What the experiment does not know.
        archive_name: What the card's example reads where `options` name no repository.
    """
    return TEXT.format(
        head=card_head(options),
        name=options.repository or experiment.folder.resolve().name,
        description=describe(experiment, generator),
        source=options.repository or archive_name,
        n_codebooks=len(generator.codebooks),
        scores=_scores(experiment, codec_fingerprint(generator)) or "It was not scored.",
    )


def card_head(options: CardOptions) -> str:
    """Return the YAML at the top of a card, by which a hub sorts models."""
    head: dict[str, object] = {"library_name": LIBRARY, "pipeline_tag": PIPELINE}
    if options.license is not None:
        head["license"] = options.license
    if options.languages:
        head["language"] = list(options.languages)
    head["tags"] = list(TAGS)
    return yaml.safe_dump(head, sort_keys=False)


def describe(experiment: Experiment, generator: "STACodecGenerator | BuiltinGenerator") -> str:
    """Return what a codec is, in a sentence or two."""
    method = "STACodec (arXiv 2602.06180)" if experiment.codec == "stacodec" else experiment.codec
    rule, sizes = generator.frame_rule, [codebook.size for codebook in generator.codebooks]
    text = (
        f"A {method} codec for espnet_stacodec: {rule.sample_rate} Hz,"
        f" {rule.frame_rate_hz:g} frames per second, codebooks of"
        f" {', '.join(map(str, sizes))} entries."
    )
    if can_encode_streams(generator):
        text += f" It streams, {1000 * latency_seconds(generator):g} ms behind the voice."
    return text


def _scored_codec(folder: Path) -> str | None:
    """Return the fingerprint of the codec whose scores stage 6 wrote into a folder, if known."""
    results = folder / "results.json"
    if results.exists():
        codec = json.loads(results.read_text(encoding="utf-8")).get("codec")
        if codec is not None:
            return codec
    # Of an earlier version of this package, which scored what it had just decoded.
    first = next(folder.glob("*/codes/*.npz"), None)
    return None if first is None else Codes.load(first).fingerprint


def _scores(experiment: Experiment, fingerprint: str) -> str | None:
    """Return the table of stage 6 whose codes were made by this very codec, if there is one."""
    tables = sorted(experiment.folder.glob("decode*/RESULTS.md"))
    for table in tables:
        if _scored_codec(table.parent) == fingerprint:
            # The card has a title already.
            return "#" + table.read_text(encoding="utf-8")
    if tables:
        logging.warning(
            "%s: no scores of the model that is packed, so that its card has none; run stage 6"
            " again (found: %s)",
            experiment.source,
            ", ".join(str(table.relative_to(experiment.folder)) for table in tables),
        )
    return None
