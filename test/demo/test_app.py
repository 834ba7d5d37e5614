"""What the page asks for: files, codes and recordings in, codes and audio out, and refusals."""

import base64
import contextlib
import io
import json
import re
import socket
import threading
import time
import urllib.request

import numpy as np
import pytest
import soundfile
from serving import serving
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from websockets.sync.client import connect
from websockets.typing import Origin

from espnet_stacodec.demo import limits

BASE, STREAM = "http://127.0.0.1:7860", "ws://127.0.0.1:7860/stream"
OTHER_SITES = [
    {"host": "evil.example"},
    {"host": "127.0.0.1.evil.example:7860"},
    {"origin": "http://evil.example"},
    {"origin": "http://127.0.0.1:9999"},
    {"origin": "null"},
]


@pytest.fixture
def clients(apps):
    return {kind: TestClient(app, BASE, headers={"origin": BASE}) for kind, app in apps.items()}


@pytest.fixture(params=["streaming", "whole"])
def kind(request):
    return request.param


@pytest.fixture
def client(clients, kind):
    return clients[kind]


@pytest.fixture
def codec(coders, kind):
    return coders[kind].codec


def to_file(samples, rate=16000, form="WAV", subtype=None) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format=form, subtype=subtype)
    return content.getvalue()


def samples_of(content: bytes) -> np.ndarray:
    return np.frombuffer(content, "<i2").astype(np.float64) / 2**15


def test_the_page_escapes_names_and_loads_nothing_from_elsewhere(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert "&lt;b&gt;codec &amp; co&lt;/b&gt;" in answer.text and "<b>codec" not in answer.text
    assert "//" not in answer.text.replace("<!doctype html>", "")  # no address of any kind
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    for part in ("page.css", "recorder.js", *re.findall(r'<script src="([a-z.]+)"', answer.text)):
        part_of_page = client.get(f"/{part}")
        assert part_of_page.status_code == 200 and "http://" not in part_of_page.text
        assert part_of_page.headers["x-content-type-options"] == "nosniff"


def test_the_page_says_once_whether_it_can_stream(clients):
    notes = {
        kind: client.get("/").text.count("needs the whole recording")
        for kind, client in clients.items()
    }
    assert notes == {"streaming": 0, "whole": 1}
    assert "headphones" in clients["streaming"].get("/").text


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_a_file_is_encoded_whole(client, codec, spoken, form):
    answer = client.post("/encode", content=to_file(spoken, form=form)).json()
    codes = np.array(answer["codes"])
    assert codes.shape[0] == codec.n_codebooks and answer["seconds"] > 0
    heard = samples_of(base64.b64decode(answer["audio"]))
    assert codec.frame_rule.num_frames(len(heard)) == codes.shape[1]
    if form in ("WAV", "FLAC", "AIFF"):
        np.testing.assert_array_equal(codes, codec.encode(spoken.astype(np.int16), 16000))
        np.testing.assert_array_equal(heard * 2**15, spoken)


def test_channels_are_averaged_and_other_rates_resampled(client, spoken):
    stereo = np.stack([spoken, np.zeros_like(spoken)], 1)
    answer = client.post("/encode", content=to_file(stereo, 8000)).json()
    heard = samples_of(base64.b64decode(answer["audio"]))
    assert len(heard) == 2 * len(spoken)
    assert np.std(heard) == pytest.approx(np.std(spoken) / 2**16, rel=0.05)


def test_fewer_codebooks_are_decoded_without_encoding_again(client, codec, spoken):
    codes = codec.encode(spoken.astype(np.int16), 16000)
    for number in range(1, codec.n_codebooks + 1):
        asked = {"codes": codes[:number].tolist(), "samples": len(spoken)}
        answer = client.post("/decode", json=asked)
        expected = codec.decode(codes[:number], len(spoken)).numpy()
        np.testing.assert_allclose(
            samples_of(answer.content), expected.clip(-1, 1), rtol=0, atol=0.6 / 2**15
        )


def test_files_that_are_refused(client, monkeypatch):
    def refused(content: bytes, status: int = 400) -> str:
        answer = client.post("/encode", content=content)
        assert answer.status_code == status
        return answer.json()["error"]

    assert "cannot be read as audio" in refused(b"<script>alert(1)</script>" * 100)
    assert "cannot be read as audio" in refused(b"")
    assert "no samples" in refused(to_file(np.zeros(0, np.int16)))
    assert "at least 1000 Hz" in refused(to_file(np.zeros(10), 500))
    assert "at most 192000 Hz" in refused(to_file(np.zeros(10), 1_000_000))
    bad = np.zeros(100, np.float32)
    bad[3] = np.nan
    assert "NaN" in refused(to_file(bad, subtype="FLOAT"))
    assert "16-bit values" in refused(to_file(1000 * np.ones(100), subtype="FLOAT"))
    # A few kilobytes that stand for an hour.
    hour = to_file(np.zeros(3600 * 16000, np.int16), form="FLAC")
    assert len(hour) < limits.MAX_UPLOAD_BYTES and "longer than 60 s" in refused(hour)
    monkeypatch.setattr("espnet_stacodec.demo.app.MAX_UPLOAD_BYTES", 2_000_000)
    assert "larger than 2 MB" in refused(b"\0" * 2_000_001, 413)


@pytest.mark.parametrize(
    "asked",
    [
        [],
        {},
        {"codes": [[0, 1]], "samples": "640"},
        {"codes": [[0, 1]], "samples": 641},
        {"codes": [[0, 1]], "samples": -1},
        {"codes": [[0, 1], [0]], "samples": 640},
        {"codes": [[0.5, 1]], "samples": 640},
        {"codes": [[True, False]], "samples": 640},
        {"codes": [[0, 2**70]], "samples": 640},
        {"codes": [[0, -1]], "samples": 640},
        {"codes": [[0, 5000]], "samples": 640},
        {"codes": [[[0]]], "samples": 320},
        {"codes": [[]], "samples": 0},
        {"codes": [], "samples": 0},
        {"codes": [[0]] * 40, "samples": 320},
        {"codes": "codes", "samples": 320},
        {"codes": [[0] * (limits.MAX_STREAM_SECONDS * 50 + 1)], "samples": 320},
    ],
    ids=lambda asked: json.dumps(asked)[:40],
)
def test_codes_that_are_refused(client, asked):
    answer = client.post("/decode", json=asked)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")


def test_what_is_no_json_and_what_is_not_there(client):
    for body in (b"{", b"\xff\xfe", b"[" * 100_000):
        assert client.post("/decode", content=body).status_code == 400
    assert client.get("/../setup.py").status_code == 404
    assert client.get("/encode").status_code == 405


def test_a_page_that_is_closed_while_it_sends_is_no_error(addresses, kind, caplog):
    host = addresses[kind]
    with socket.create_connection(host.split(":")) as page:
        page.sendall(
            f"POST /encode HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99\r\n\r\nRI".encode()
        )
    with urllib.request.urlopen(f"http://{host}/") as answer:  # it goes on
        assert answer.status == 200
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_ctrl_c_while_something_is_sent_or_computed(apps, kind, spoken, caplog, monkeypatch):
    monkeypatch.setattr("espnet_stacodec.demo.server.GRACE_SECONDS", 0)
    computing = threading.Event()

    def slow(*_):
        computing.set()
        time.sleep(1)

    monkeypatch.setattr("espnet_stacodec.demo.live.LiveCoding.push", slow)
    with contextlib.ExitStack() as pages:
        with serving(apps[kind]) as host:
            page = pages.enter_context(socket.create_connection(host.split(":")))
            head = f"POST /encode HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99\r\n\r\nRI"
            page.sendall(head.encode())
            if kind == "streaming":
                origin = Origin(f"http://{host}")
                live = pages.enter_context(connect(f"ws://{host}/stream", origin=origin))
                live.send(spoken.tobytes())
                assert computing.wait(20)
            with urllib.request.urlopen(f"http://{host}/") as answer:  # all have arrived
                assert answer.status == 200
        answer = page.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 503") and b"the server is being closed." in answer
    assert "Traceback" not in caplog.text and "Exception" not in caplog.text


def test_a_page_of_another_codec_is_told_to_load_again(client, codec, spoken):
    assert client.get("/").text.count(codec.fingerprint) == 2
    for path in ("/encode", "/decode"):
        answer = client.post(path, content=to_file(spoken), params={"codec": "0" * 16})
        assert answer.status_code == 400 and "load the page again" in answer.json()["error"]
    with client.websocket_connect(f"{STREAM}?codec=0") as socket:
        assert "load the page again" in socket.receive_json()["error"]
    same = client.post("/encode", content=to_file(spoken), params={"codec": codec.fingerprint})
    assert same.status_code == 200


@pytest.mark.parametrize("headers", OTHER_SITES, ids=str)
def test_other_sites_are_refused(client, spoken, headers):
    with client.websocket_connect(STREAM):
        pass  # the page itself may
    for method, path in (("GET", "/"), ("POST", "/encode"), ("POST", "/decode")):
        answer = client.request(method, path, content=to_file(spoken), headers=headers)
        assert answer.status_code == 403, (method, path)
        assert "codes" not in answer.text
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect(STREAM, headers=headers),
    ):
        pass


def test_a_websocket_needs_an_origin_and_a_tunnel_may_have_another_port(apps):
    app = apps["streaming"]
    with (
        pytest.raises(WebSocketDisconnect),
        TestClient(app, BASE).websocket_connect(STREAM),
    ):
        pass
    for host in ("127.0.0.1:9999", "LOCALHOST", "localhost:1"):
        headers = {"host": host, "origin": f"http://{host.lower()}"}
        assert TestClient(app, BASE, headers=headers).get("/").status_code == 200
    assert TestClient(app, BASE).get("/").status_code == 200  # curl names no origin
