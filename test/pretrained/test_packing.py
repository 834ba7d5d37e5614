"""Archives, and uploads with the hub's real client to a small server that speaks for the hub."""

import base64
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from espnet_stacodec.bin import pack as pack_command
from espnet_stacodec.bin import upload as upload_command
from espnet_stacodec.errors import ModelError
from espnet_stacodec.pretrained.packing import pack, upload


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "codec_x"
    (path / "semantic").mkdir(parents=True)
    (path / "decode").mkdir()
    config = {
        "codec": "stacodec",
        "codec_conf": {},
        "best_model_criterion": [["valid", "mel_loss", "min"]],
    }
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    (path / "3epoch.pth").write_bytes(b"best")
    (path / "4epoch.pth").write_bytes(b"last")
    (path / "valid.mel_loss.best.pth").symlink_to("3epoch.pth")
    (path / "checkpoint.pth").write_bytes(b"optimizers")
    (path / "semantic" / "tokenizer.yaml").write_text("name: toy\nnum_clusters: 8\n")
    (path / "semantic" / "centroids.safetensors").write_bytes(b"centroids")
    (path / "decode" / "RESULTS.md").write_text("| PESQ |\n")
    return path


PARTS = {
    "config.yaml",
    "model.pth",
    "semantic/tokenizer.yaml",
    "semantic/centroids.safetensors",
    "README.md",
}


def test_an_archive_holds_what_is_needed_and_no_more(folder, tmp_path):
    pack(folder, tmp_path / "out" / "x.zip")
    with zipfile.ZipFile(tmp_path / "out" / "x.zip") as packed:
        assert set(packed.namelist()) == PARTS
        assert packed.read("model.pth") == b"best"
        readme = packed.read("README.md").decode()
    assert "# codec_x" in readme and "| PESQ |" in readme
    assert readme.startswith("---\n")  # the hub reads the card's head
    assert yaml.safe_load(readme.split("---")[1])["library_name"] == "espnet_stacodec"
    pack_command.main(["--model", str(folder), "--out", str(tmp_path / "y.zip"),
                       "--model_file", "4epoch.pth"])  # fmt: skip
    with zipfile.ZipFile(tmp_path / "y.zip") as packed:
        assert packed.read("model.pth") == b"last"
        assert "| PESQ |" not in packed.read("README.md").decode()  # the best checkpoint's
    (folder / "decode_4epoch").mkdir()
    (folder / "decode_4epoch" / "RESULTS.md").write_text("| STOI |\n")
    pack(folder, tmp_path / "z.zip", "4epoch.pth")
    with zipfile.ZipFile(tmp_path / "z.zip") as packed:
        assert "| STOI |" in packed.read("README.md").decode()


def test_an_experiment_that_lacks_a_part_is_not_packed(folder, tmp_path, capsys):
    (folder / "valid.mel_loss.best.pth").unlink()
    with pytest.raises(ModelError, match="no model model.pth or valid"):
        pack(folder, tmp_path / "x.zip")
    with pytest.raises(SystemExit) as end:
        pack_command.main(["--model", str(folder), "--out", str(tmp_path / "x.zip")])
    assert "error: " in str(end.value.code) and "no model" in str(end.value.code)
    assert list(tmp_path.glob("*.zip")) == []


class Hub(BaseHTTPRequestHandler):
    """Takes repositories and commits of small files; `files` holds what was committed."""

    files: dict[str, bytes]
    forbidden: bool

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.forbidden:
            self.answer(403, {"error": "You have no rights to create a model here"})
        elif self.path == "/api/repos/create":
            name = json.loads(body)["name"]
            self.answer(200, {"url": f"http://{self.headers['Host']}/owner/{name}"})
        elif self.path == "/api/validate-yaml":
            self.answer(200, {"errors": [], "warnings": []})
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

    handler = type("Handler", (Hub,), {"files": {}, "forbidden": False})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        yield handler
        server.shutdown()


def test_an_upload_arrives(hub, folder):
    address = upload(folder, "owner/codec")
    assert address.startswith("http://127.0.0.1:") and address.endswith("/owner/codec")
    assert set(hub.files) == PARTS
    assert hub.files["model.pth"] == b"best"
    assert b"| PESQ |" in hub.files["README.md"]


def test_a_refusal_is_one_sentence(hub, folder):
    hub.forbidden = True
    with pytest.raises(ModelError, match=r"^owner/codec: the hub did not take .*no rights") as end:
        upload(folder, "owner/codec")
    assert "\n" not in str(end.value)
    assert hub.files == {}


@pytest.mark.parametrize("name", ["owner/bad name", "a/b/c", "owner/codec"])
def test_a_hub_that_cannot_be_reached_or_a_bad_name_is_one_sentence(folder, monkeypatch, name):
    from huggingface_hub import constants

    # Port 1 of this machine: nobody listens.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    with pytest.raises(SystemExit) as end:
        upload_command.main(["--model", str(folder), "--repo", name])
    assert f"error: {name}: the hub did not take the upload (" in str(end.value.code)
    assert "\n" not in str(end.value.code)
