"""Archives, and uploads with the hub's real client to a small server that speaks for the hub."""

import base64
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from espnet2.bin.gan_codec_inference import AudioCoding as ESPnetAudioCoding
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from espnet_stacodec import AudioCoding
from espnet_stacodec.bin import pack as pack_command
from espnet_stacodec.bin import upload as upload_command
from espnet_stacodec.errors import ConfigError, ModelError
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.pretrained.experiment import Experiment
from espnet_stacodec.pretrained.model_card import CardOptions
from espnet_stacodec.pretrained.packing import pack, upload

BEST = "valid.mel_loss.best.pth"
PARTS = {
    "config.yaml",
    "model.safetensors",
    "model.pth",
    "meta.yaml",
    "semantic/tokenizer.yaml",
    "semantic/centroids.safetensors",
    "README.md",
    "provenance.yaml",
}


@pytest.fixture
def folder(tmp_path: Path, assigned_experiment: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "codec_x"
    shutil.copytree(assigned_experiment, path, symlinks=True)
    return path


@pytest.fixture(scope="module")
def encodec_experiment(toy_task, tiny_encodec_conf) -> Path:
    """A codec of ESPnet, trained in the same stages."""
    return toy_task.train(
        toy_task.folder / "exp" / "packed_encodec",
        semantic=False,
        max_epoch=1,
        codec="encodec",
        codec_conf=tiny_encodec_conf,
    )


def not_best(folder: Path) -> str:
    """Return the name of the checkpoint that is not the best of the two."""
    best = AudioCoding.from_pretrained(folder).fingerprint
    (other,) = (
        name
        for name in ("1epoch.pth", "2epoch.pth")
        if AudioCoding.from_pretrained(folder, model_file=name).fingerprint != best
    )
    return other


def decoded(folder: Path, name: str, model_file: str | None = None) -> None:
    """What stage 6 leaves: a table, and codes that tell which codec made them."""
    codec = AudioCoding.from_pretrained(folder, model_file=model_file)
    codes = Codes(np.zeros((3, 2), np.int64), 640, 16000, codec.fingerprint)
    codes.save(folder / name / "test" / "codes" / "utt.npz")
    (folder / name / "RESULTS.md").write_text(f"# Resynthesis\n\n| scores of {name} |\n")


def card_of(archive: Path) -> tuple[dict, str]:
    """Return the head and the text of an archive's model card."""
    with zipfile.ZipFile(archive) as packed:
        _, head, text = packed.read("README.md").decode().split("---\n", 2)
    return yaml.safe_load(head), text


def test_an_archive_holds_what_is_needed_and_no_more(folder, tmp_path):
    pack(folder, tmp_path / "out" / "x.zip")
    with zipfile.ZipFile(tmp_path / "out" / "x.zip") as packed:
        assert set(packed.namelist()) == PARTS
        assert packed.read("model.pth") == (folder / BEST).read_bytes()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.zip"]
    other = not_best(folder)
    pack_command.main(["--model", str(folder), "--out", str(tmp_path / "y.zip"),
                       "--model_file", other])  # fmt: skip
    with zipfile.ZipFile(tmp_path / "y.zip") as packed:
        assert packed.read("model.pth") == (folder / other).read_bytes()


@pytest.mark.parametrize("kind", ["sta", "plain", "spd", "encodec"])
def test_both_files_of_weights_are_the_same_codec(kind, tmp_path, request, monkeypatch, noise):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    experiment = request.getfixturevalue(f"{kind}_experiment")
    pack(experiment, tmp_path / "x.zip")
    trained = AudioCoding.from_pretrained(experiment)
    opened = Experiment.open(tmp_path / "x.zip")
    assert opened.model_file.name == "model.safetensors"
    names = set(load_file(opened.model_file))
    assert names and not [name for name in names if "discriminator" in name]
    for name in (None, "model.safetensors", "model.pth"):
        codec = AudioCoding.from_pretrained(tmp_path / "x.zip", model_file=name)
        assert codec.fingerprint == trained.fingerprint
    # The weights of safetensors are enough.
    (opened.folder / "model.pth").unlink()
    codec = AudioCoding.from_pretrained(opened.folder)
    wave, tokens = noise(3200), [1] * 10 if kind == "sta" else None
    expected = trained.encode(wave, 16000, tokens)
    assert torch.equal(codec.encode(wave, 16000, tokens), expected)
    # For ESPnet too: it gets a model.pth without the discriminator.
    pack(opened.folder, tmp_path / "y.zip")
    for name in ("model.safetensors", "model.pth"):
        codec = AudioCoding.from_pretrained(tmp_path / "y.zip", model_file=name)
        assert codec.fingerprint == trained.fingerprint


@pytest.mark.parametrize("kind", ["assigned", "spd", "encodec"])
def test_half_precision(kind, tmp_path, request, monkeypatch, noise):
    """Both files hold the same rounded codec, and ESPnet reads it as well."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    experiment = request.getfixturevalue(f"{kind}_experiment")
    pack(experiment, tmp_path / "x.zip")
    pack_command.main(["--model", str(experiment), "--out", str(tmp_path / "h.zip"), "--half"])
    whole, half = Experiment.open(tmp_path / "x.zip"), Experiment.open(tmp_path / "h.zip")
    for name in ("model.safetensors", "model.pth"):
        large = (whole.folder / name).stat().st_size
        assert (half.folder / name).stat().st_size < 0.75 * large  # tiny networks: much is names
    rounded = {
        n: v.half().float() if v.is_floating_point() and v.dim() > 1 else v
        for n, v in torch.load(whole.folder / "model.pth", weights_only=True).items()
    }
    torch.save(rounded, whole.folder / "rounded.pth")
    expected = AudioCoding.from_pretrained(whole.folder, model_file="rounded.pth")
    wave = noise(6400)
    codes = expected.encode(wave, 16000)
    for name in ("model.safetensors", "model.pth"):
        codec = AudioCoding.from_pretrained(half.folder, model_file=name)
        assert codec.fingerprint == expected.fingerprint
        assert torch.equal(codec.encode(wave, 16000), codes)
    assert torch.equal(codec.decode(codes), expected.decode(codes))
    theirs = ESPnetAudioCoding.from_pretrained(str(tmp_path / "h.zip"))
    assert torch.equal(theirs(torch.from_numpy(wave))["codes"][:, 0], codes)


def test_a_packed_experiment_can_be_packed_again(folder, tmp_path):
    pack(folder, tmp_path / "x.zip")
    pack(tmp_path / "x.zip", tmp_path / "y.zip")
    with (
        zipfile.ZipFile(tmp_path / "x.zip") as first,
        zipfile.ZipFile(tmp_path / "y.zip") as second,
    ):
        for name in PARTS - {"README.md"}:
            assert first.read(name) == second.read(name)


def test_damaged_weights_are_named(folder, tmp_path):
    pack(folder, tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as packed:
        packed.extractall(tmp_path / "x")
    (tmp_path / "x" / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ModelError, match=r"x/model.safetensors: cannot be loaded as this codec"):
        AudioCoding.from_pretrained(tmp_path / "x")


@pytest.mark.parametrize("best", [True, False])
def test_the_card_shows_the_scores_of_what_is_packed(folder, tmp_path, best):
    decoded(folder, "decode")
    decoded(folder, "decode_other", not_best(folder))
    pack(folder, tmp_path / "x.zip", None if best else not_best(folder))
    expected = "decode" if best else "decode_other"
    _, text = card_of(tmp_path / "x.zip")
    assert f"## Resynthesis\n\n| scores of {expected} |" in text and text.count("| scores of") == 1


def test_scores_of_an_earlier_best_model_are_left_out(folder, tmp_path, caplog):
    decoded(folder, "decode", not_best(folder))
    pack(folder, tmp_path / "x.zip")
    _, text = card_of(tmp_path / "x.zip")
    assert "It was not scored." in text and "| scores of" not in text
    assert "no scores of the model that is packed" in caplog.text
    assert "(found: decode/RESULTS.md)" in caplog.text


def test_the_card_believes_the_results_not_what_another_codec_left_beside_them(folder, tmp_path):
    decoded(folder, "decode", not_best(folder))
    fingerprint = AudioCoding.from_pretrained(folder).fingerprint
    (folder / "decode" / "results.json").write_text(json.dumps({"sets": {}, "codec": fingerprint}))
    pack(folder, tmp_path / "x.zip")
    pack(folder, tmp_path / "y.zip", not_best(folder))
    assert "| scores of decode |" in card_of(tmp_path / "x.zip")[1]
    assert "| scores of" not in card_of(tmp_path / "y.zip")[1]


def test_the_card_says_only_what_is_known(folder, tmp_path):
    pack(folder, tmp_path / "x.zip")
    head, text = card_of(tmp_path / "x.zip")
    assert head == {
        "library_name": "espnet",
        "pipeline_tag": "audio-to-audio",
        "tags": ["espnet", "audio", "speech", "codec"],
    }
    assert "# codec_x\n" in text and "OWNER" not in text
    assert text.count('.from_pretrained("x.zip")') == 2
    assert "16000 Hz, 50 frames per second, codebooks of 16, 16, 16 entries" in text
    pack_command.main(["--model", str(folder), "--out", str(tmp_path / "y.zip"), "--repo", "me/my",
                       "--license", "cc-by-4.0", "--language", "no", "en"])  # fmt: skip
    head, text = card_of(tmp_path / "y.zip")
    assert (head["license"], head["language"]) == ("cc-by-4.0", ["no", "en"])  # "no" is no truth
    assert "# me/my\n" in text and text.count('.from_pretrained("me/my")') == 2


def test_what_a_card_cannot_say(folder, tmp_path):
    with pytest.raises(ConfigError, match="'English' is no code of ISO 639"):
        CardOptions(languages=["English"])
    with pytest.raises(ConfigError, match="'a/b/c' is no OWNER/NAME"):
        CardOptions("a/b/c")
    with pytest.raises(ConfigError, match=r"x.tar: the archive's name must end in .zip"):
        pack(folder, tmp_path / "x.tar")


def test_the_hubs_own_reader_takes_the_card(folder, tmp_path):
    pack(folder, tmp_path / "x.zip", card=CardOptions("me/my", "apache-2.0", ["en"]))
    with zipfile.ZipFile(tmp_path / "x.zip") as packed:
        data = ModelCard(packed.read("README.md").decode()).data.to_dict()
    assert (data["license"], data["language"]) == ("apache-2.0", ["en"])
    assert (data["library_name"], data["pipeline_tag"]) == ("espnet", "audio-to-audio")


def test_an_experiment_that_lacks_a_part_is_not_packed(folder, tmp_path, capsys):
    (folder / BEST).unlink()
    with pytest.raises(ModelError, match="no model model.safetensors or model.pth or valid"):
        pack(folder, tmp_path / "x.zip")
    with pytest.raises(SystemExit) as end:
        pack_command.main(["--model", str(folder), "--out", str(tmp_path / "x.zip")])
    assert "error: " in str(end.value.code) and "no model" in str(end.value.code)
    (folder / BEST).write_bytes(b"cut off")
    with pytest.raises(ModelError, match=f"{BEST}: cannot be loaded"):
        pack(folder, tmp_path / "x.zip")
    assert list(tmp_path.glob("*.zip")) == [] and list(tmp_path.glob(".pack*")) == []


class Hub(BaseHTTPRequestHandler):
    """Takes repositories and commits of small files; `files` holds what was committed."""

    files: dict[str, bytes]
    forbidden: bool
    invalid: bool

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.forbidden:
            self.answer(403, {"error": "You have no rights to create a model here"})
        elif self.path == "/api/repos/create":
            name = json.loads(body)["name"]
            self.answer(200, {"url": f"http://{self.headers['Host']}/owner/{name}"})
        elif self.path == "/api/validate-yaml":
            errors = [{"message": "license must be one of ..."}] if self.invalid else []
            self.answer(400 if errors else 200, {"errors": errors, "warnings": []})
        elif self.path == "/api/models/owner/codec/preupload/main":
            named = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                     for f in named]  # fmt: skip
            self.answer(200, {"files": modes})
        elif self.path.startswith("/api/models/owner/codec/commit/main"):
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    value = entry["value"]
                    self.files[value["path"]] = base64.b64decode(value["content"])
            address = f"http://{self.headers['Host']}/owner/codec/commit/1"
            self.answer(200, {"commitUrl": address, "commitOid": "1"})
        else:
            self.answer(404, {"error": f"nothing at {self.path}"})

    def do_GET(self) -> None:
        # Asked for by huggingface_hub before version 1.
        if self.path.startswith("/api/models/owner/codec/revision/main"):
            self.answer(200, {"id": "owner/codec", "xetEnabled": False})
        else:
            self.answer(404, {"error": f"nothing at {self.path}"})

    def answer(self, status: int, content: dict) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch) -> Iterator[type[Hub]]:
    from huggingface_hub import constants

    handler = type("Handler", (Hub,), {"files": {}, "forbidden": False, "invalid": False})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        yield handler
        server.shutdown()


def test_an_upload_arrives(hub, folder):
    decoded(folder, "decode")
    address = upload(folder, "owner/codec", license="mit", languages=["en"])
    assert address.startswith("http://127.0.0.1:") and address.endswith("/owner/codec")
    assert set(hub.files) == PARTS
    assert hub.files["model.pth"] == (folder / BEST).read_bytes()
    card = hub.files["README.md"].decode()
    assert "# owner/codec\n" in card and 'from_pretrained("owner/codec")' in card
    assert "license: mit\n" in card and "| scores of decode |" in card


def test_a_card_that_the_hub_refuses_is_one_sentence(hub, folder):
    hub.invalid = True
    with pytest.raises(ModelError, match=r"did not take .*license must be one of") as end:
        upload(folder, "owner/codec", license="nonsense")
    assert "\n" not in str(end.value)


def test_a_refusal_is_one_sentence(hub, folder):
    hub.forbidden = True
    with pytest.raises(ModelError, match=r"^owner/codec: the hub did not take .*no rights") as end:
        upload(folder, "owner/codec")
    assert "\n" not in str(end.value)
    assert hub.files == {}


@pytest.mark.parametrize("name", ["owner/bad--name", "owner/codec"])
def test_a_hub_that_cannot_be_reached_or_a_bad_name_is_one_sentence(folder, monkeypatch, name):
    from huggingface_hub import constants

    # Port 1 of this machine: nobody listens.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    with pytest.raises(SystemExit) as end:
        upload_command.main(["--model", str(folder), "--repo", name])
    assert f"error: {name}: the hub did not take the upload (" in str(end.value.code)
    assert "\n" not in str(end.value.code)
