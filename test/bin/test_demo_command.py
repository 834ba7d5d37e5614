"""`stacodec demo`: what it says when it cannot start, and a real process that is talked to."""

import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest

from espnet_stacodec import AudioCoding
from espnet_stacodec.bin.stacodec import main

uvicorn = pytest.importorskip("uvicorn", reason="the extra demo is not installed")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402
from websockets.sync.client import connect  # noqa: E402
from websockets.typing import Origin  # noqa: E402

from espnet_stacodec.demo import limits  # noqa: E402

INTERRUPTED = 130


def test_the_extra_is_not_installed(plain_experiment, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name)
    )
    with pytest.raises(SystemExit, match=r"uvicorn, which is not.*'espnet_stacodec\[demo\]'\.$"):
        main(["demo", str(plain_experiment)])


def test_ports_that_cannot_be_had(plain_experiment, monkeypatch):
    # It is said before the codec is loaded.
    monkeypatch.setattr(AudioCoding, "from_pretrained", None)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"port {port} of 127.0.0.1 cannot.*in use.*--port"):
            main(["demo", str(plain_experiment), "--port", str(port)])
    for wrong in ("-1", "65536"):
        with pytest.raises(SystemExit, match=f"--port {wrong} is no port"):
            main(["demo", str(plain_experiment), f"--port={wrong}"])


def test_there_is_no_such_model(tmp_path):
    with pytest.raises(SystemExit, match=r"stacodec: error: .*nowhere"):
        main(["demo", str(tmp_path / "nowhere"), "--port", "0"])


def test_a_codec_without_its_tokenizer_is_refused_at_the_start(sta_experiment):
    with pytest.raises(SystemExit, match=r"stacodec: error: .*token"):
        main(["demo", str(sta_experiment), "--port", "0"])


def test_other_commands_do_not_load_what_the_page_needs(plain_experiment):
    code = f"""
import sys
from espnet_stacodec.bin.stacodec import main
main(["info", {str(plain_experiment)!r}])
assert not {{"starlette", "uvicorn", "websockets", "espnet_stacodec.demo"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def process(streaming_experiment):
    """(process, HOST:PORT) of a page."""
    words = (sys.executable, "-m", "espnet_stacodec.bin.stacodec", "demo", "--port", "0")
    with subprocess.Popen(
        [*words, str(streaming_experiment)], stderr=subprocess.PIPE, text=True
    ) as started:
        assert started.stderr is not None
        for line in started.stderr:
            if found := re.search(r"http://(127\.0\.0\.1:\d+)/", line):
                break
        assert found, "it ended"
        yield started, found[1]
        started.kill()


def test_a_page_from_its_start_to_ctrl_c(process, streaming_experiment, toy_utterance):
    started, address = process
    with urllib.request.urlopen(f"http://{address}/") as answer:
        page = answer.read().decode()
    assert str(streaming_experiment) in page and "server" not in answer.headers
    # It is this machine's only.
    with socket.socket() as other, pytest.raises(OSError, match="refused"):
        other.connect(("127.0.0.2", int(address.rpartition(":")[2])))
    request = urllib.request.Request(f"http://{address}/", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)
    for foreign in (None, Origin("http://evil.example")):
        with pytest.raises(InvalidStatus, match="403"):
            connect(f"ws://{address}/stream", origin=foreign)
    origin = Origin(f"http://{address}")
    with connect(f"ws://{address}/stream", origin=origin) as page_socket:
        page_socket.send(bytes(limits.MAX_MESSAGE_BYTES + 2))
        with pytest.raises(ConnectionClosed):
            page_socket.recv()
    audio = (toy_utterance(5, 60)[0][:-11] * 2**15).round().astype("<i2")
    codes = []
    with connect(f"ws://{address}/stream", origin=origin) as page_socket:
        for piece in np.array_split(audio, 19):
            page_socket.send(piece.tobytes())
        page_socket.send(json.dumps({"end": True}))
        while "codes" in (news := json.loads(page_socket.recv())):
            codes.append(np.array(news["codes"]))
            page_socket.recv()
    assert news["samples"] == len(audio)
    codec = AudioCoding.from_pretrained(streaming_experiment)
    expected = codec.encode(audio.astype(np.int16), 16000)
    # Where two entries are as near, rounding decides: on some CPU a code may differ, not more.
    assert (np.concatenate(codes, 1) != expected.numpy()).sum() <= 1
    with connect(f"ws://{address}/stream", origin=origin) as page_socket:
        page_socket.send(audio.tobytes())  # a page that is still open
        started.send_signal(signal.SIGINT)
        assert started.wait(20) == INTERRUPTED
    assert started.stderr is not None
    said = started.stderr.read()
    assert "The page is closed." in said and "Traceback" not in said and "ERROR" not in said
