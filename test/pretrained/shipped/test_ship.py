"""A trained codec becomes one that comes with the package."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from espnet_stacodec import AudioCoding
from espnet_stacodec.bin import ship as command
from espnet_stacodec.bin import stacodec
from espnet_stacodec.errors import ConfigError, DataError, ModelError
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.pretrained.model_card import CardOptions
from espnet_stacodec.pretrained.shipped import lookup, ship

CARD = CardOptions(None, "cc-by-4.0", ["en"])
TOKENIZER = {"upstream": "whisper_base", "layer": 4, "num_clusters": 8, "fingerprint": "f" * 16}


def with_ssl_path(experiment: Path, copy: Path) -> Path:
    """Copy an experiment as if its tokens had been made with an SSL model in a folder."""
    shutil.copytree(experiment, copy, ignore=shutil.ignore_patterns("semantic"))
    (copy / "semantic").mkdir()
    info = TOKENIZER | {"path_or_url": str(copy.parent)}
    (copy / "semantic" / "tokenizer.yaml").write_text(yaml.safe_dump(info))
    return copy


@pytest.fixture
def trained(spd_experiment: Path, tmp_path: Path, monkeypatch) -> Path:
    """An experiment to ship."""
    monkeypatch.setattr(lookup, "FOLDER", tmp_path / "shipped")
    (tmp_path / "shipped").mkdir()
    (tmp_path / "about.md").write_text("## Data\n\nTones.\n")
    return with_ssl_path(spd_experiment, tmp_path / "codec_x")


def decoded(codec: AudioCoding, folder: Path, n_codebooks: int, stoi: float) -> Path:
    """What stage 6 leaves."""
    codes = torch.zeros(n_codebooks, 10, dtype=torch.long).numpy()
    Codes(codes, 3200, 16000, codec.fingerprint).save(folder / "dev" / "codes" / "a.npz")
    sets = {
        "dev": {"utterances": 1, "pesq_wb": 1.5, "stoi": stoi, "kbps": 0.2, "mel_distance": None}
    }
    (folder / "results.json").write_text(json.dumps({"title": "x", "sets": sets}))
    return folder


def test_what_is_shipped(trained, tmp_path, noise, capsys):
    arguments = ["--model", str(trained), "--about", str(tmp_path / "about.md"), "--license",
                 "cc-by-4.0", "--language", "en", "--ssl_path", "openai/whisper-base"]  # fmt: skip
    command.main(arguments)
    folder = tmp_path / "shipped" / "small"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"config.yaml", "model.safetensors", "semantic/tokenizer.yaml", "README.md"}
    assert [path.name for path in folder.parent.iterdir()] == ["small"]
    # Readable by whoever may read the others.
    assert len({path.stat().st_mode for path in folder.iterdir() if path.is_file()}) == 1

    weights = load_file(folder / "model.safetensors")
    assert not [name for name in weights if "discriminator" in name or "embed_sum" in name]
    assert {value.dtype for value in weights.values() if value.dim() > 1} == {torch.float16}
    codec, before = AudioCoding.from_pretrained("small"), AudioCoding.from_pretrained(trained)
    dtypes = {value.dtype for value in codec.generator.state_dict().values()}
    assert torch.float32 in dtypes and torch.float16 not in dtypes
    assert codec.fingerprint != before.fingerprint
    # The codes are those of the rounded weights.
    rounded = torch.load(trained / "valid.mel_loss.best.pth", weights_only=True)
    rounded = {n: v.half().float() if v.dim() > 1 else v for n, v in rounded.items()}
    torch.save(rounded, trained / "rounded.pth")
    expected = AudioCoding.from_pretrained(trained, model_file="rounded.pth")
    wave = noise(6500)
    codes = codec.encode(wave, 16000)
    assert torch.equal(codes, expected.encode(wave, 16000))
    assert torch.equal(codec.decode(codes), expected.decode(codes))

    # Nothing of this machine, and nothing that only its training needs.
    assert set(yaml.safe_load((folder / "config.yaml").read_text())) == {"codec", "codec_conf"}
    info = yaml.safe_load((folder / "semantic" / "tokenizer.yaml").read_text())
    assert info["path_or_url"] == "openai/whisper-base"
    assert str(tmp_path) not in "".join(
        path.read_text() for path in folder.rglob("*") if path.suffix in (".yaml", ".md")
    )
    card = ModelCard((folder / "README.md").read_text())
    head = card.data.to_dict()
    assert (head["license"], head["language"]) == ("cc-by-4.0", ["en"])
    stacodec.main(["info"])
    printed = capsys.readouterr().out
    for part in (codec.fingerprint, "predicted: whisper_base_l4_km8", str(folder / "README.md")):
        assert part in printed
    for part in (codec.fingerprint, "whisper_base_l4_km8", "Not scored yet.", "## Data\n\nTones."):
        assert part in card.text


def test_the_card_says_whether_a_codec_streams(trained, streaming_experiment, tmp_path):
    causal = with_ssl_path(streaming_experiment, tmp_path / "codec_y")
    cards = {
        name: (ship.ship(model, tmp_path / "about.md", CARD, name, ssl_path="a/b") / "README.md")
        for name, model in (("small", trained), ("other", causal))
    }
    streams = "stacodec encode --model other --stream - < mic.raw"
    text = cards["other"].read_text()
    assert streams in text and "It streams, 60 ms behind the voice." in text
    assert "stream" not in cards["small"].read_text()


def test_scores_of_the_shipped_codec_complete_its_card(trained, tmp_path):
    about = tmp_path / "about.md"
    folder = ship.ship(trained, about, CARD, ssl_path="a/b")
    first = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    codec = AudioCoding.from_pretrained("small")
    scores = [decoded(codec, tmp_path / "all", 3, 0.9), decoded(codec, tmp_path / "one", 1, 0.7)]
    ship.ship("small", about, CARD, scores=scores)
    second = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {name for name in first if first[name] != second[name]} == {"README.md"}
    table = (
        "| set | codebooks | kbit/s | PESQ-WB | STOI |\n|---|---|---|---|---|\n"
        "| dev | 3 | 0.20 | 1.50 | 0.900 |\n| dev | 1 | 0.20 | 1.50 | 0.700 |"
    )
    assert table in second["README.md"].decode()
    # Those of the unrounded weights are not its scores.
    other = decoded(AudioCoding.from_pretrained(trained), tmp_path / "other", 3, 0.9)
    with pytest.raises(DataError, match=f"other/dev: not codes of {codec.fingerprint}"):
        ship.ship("small", about, CARD, scores=[other])
    assert (folder / "README.md").read_bytes() == second["README.md"]


def test_what_cannot_be_shipped(trained, assigned_experiment, tmp_path, monkeypatch):
    about = tmp_path / "about.md"
    with pytest.raises(ConfigError, match=f"path_or_url {tmp_path} is a folder of this machine"):
        ship.ship(trained, about, CARD)
    with pytest.raises(ModelError, match=r"needs semantic tokens from an SSL model; ship .* \(SPD"):
        ship.ship(assigned_experiment, about, CARD)
    monkeypatch.setattr(ship, "MAX_BYTES", 1000)
    with pytest.raises(
        ModelError, match=r"small: \d\.\d MB, and a shipped codec may have 0.001 MB"
    ):
        ship.ship(trained, about, CARD, ssl_path="a/b")
    assert list((tmp_path / "shipped").iterdir()) == []
