"""Recordings over a websocket: the codes of the whole, and what cannot be used."""

import time

import numpy as np
import pytest
from causal_codecs import cut, cuts
from starlette.testclient import TestClient

from espnet_stacodec.demo import live

BASE, STREAM = "http://127.0.0.1:7860", "ws://127.0.0.1:7860/stream"


@pytest.fixture
def client(apps):
    return TestClient(apps["streaming"], BASE, headers={"origin": BASE})


def read(socket):
    """Return (codes (n, T), samples (N,), the last message) until the end."""
    codes: list[np.ndarray] = []
    audio: list[bytes] = []
    while True:
        news = socket.receive_json()
        if "codes" not in news:
            lists = np.concatenate(codes, 1) if codes else None
            return lists, np.frombuffer(b"".join(audio), "<i2"), news
        codes.append(np.array(news["codes"]))
        audio.append(socket.receive_bytes())
        assert len(audio[-1]) == 2 * 320 * codes[-1].shape[1] > 0


def push(socket, samples, seed=0, longest=900):
    for piece in cut(samples, cuts(len(samples), seed, longest)):
        socket.send_bytes(piece.tobytes())


def test_codes_and_audio_are_those_of_the_whole(client, streaming_codec, spoken):
    for seed, number in ((0, 3), (1, 1)):
        with client.websocket_connect(STREAM) as socket:
            socket.send_json({"codebooks": number})
            push(socket, spoken, seed)
            socket.send_json({"end": True})
            codes, audio, last = read(socket)
        assert last == {"end": True, "samples": len(spoken), "note": ""}
        expected = streaming_codec.encode(spoken.astype(np.int16), 16000)
        np.testing.assert_array_equal(codes, expected)
        decoded = streaming_codec.decode(expected[:number]).numpy()
        np.testing.assert_allclose(audio / 2**15, decoded.clip(-1, 1), rtol=0, atol=0.6 / 2**15)


def test_codes_come_while_one_speaks(client, spoken):
    with client.websocket_connect(STREAM) as socket:
        socket.send_bytes(spoken[: 10 * 320].tobytes())
        got = 0
        while got < 10 - 3:  # all but those that the codec looks ahead at
            got += len(socket.receive_json()["codes"][0])
            socket.receive_bytes()
        socket.send_json({"end": True})
        codes, _, _ = read(socket)
        assert got + codes.shape[1] == 10


def test_a_codec_that_has_fallen_behind_takes_all_that_has_come(
    client, streaming_codec, spoken, monkeypatch
):
    push_once, sizes = live.LiveCoding.push, []

    def slow(self, data, n_codebooks):
        sizes.append(len(data))
        time.sleep(0.2)
        return push_once(self, data, n_codebooks)

    monkeypatch.setattr(live.LiveCoding, "push", slow)
    with client.websocket_connect(STREAM) as socket:
        push(socket, spoken, longest=300)
        socket.send_json({"end": True})
        codes, _, _ = read(socket)
    assert sum(sizes) == 2 * len(spoken) and len(sizes) < 10
    expected = streaming_codec.encode(spoken.astype(np.int16), 16000)
    np.testing.assert_array_equal(codes, expected)


def test_two_recordings_at_once_do_not_touch_each_other(client, streaming_codec, spoken):
    recordings = [spoken, spoken[::-1].copy()]
    with (
        client.websocket_connect(STREAM) as first,
        client.websocket_connect(STREAM) as second,
    ):
        sockets = [first, second]
        for pieces in zip(*(cut(samples, [1000] * 16) for samples in recordings), strict=True):
            for socket, piece in zip(sockets, pieces, strict=True):
                socket.send_bytes(piece.tobytes())
        for socket, samples in zip(sockets, recordings, strict=True):
            socket.send_json({"end": True})
            codes, _, _ = read(socket)
            expected = streaming_codec.encode(samples[:16000].astype(np.int16), 16000)
            np.testing.assert_array_equal(codes, expected)


def test_a_recording_that_is_too_long_is_ended(client, spoken, monkeypatch):
    monkeypatch.setattr(live, "MAX_STREAM_SECONDS", 1)
    with client.websocket_connect(STREAM) as socket:
        push(socket, np.tile(spoken, 2))
        codes, _, last = read(socket)
    assert codes.shape == (3, 50)
    assert last == {"end": True, "samples": 16000, "note": "A recording ends after 1 s."}


def test_nothing_said(client):
    with client.websocket_connect(STREAM) as socket:
        socket.send_json({"end": True})
        assert read(socket)[2] == {"end": True, "samples": 0, "note": ""}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"\0\0\0", "no whole samples"),
        ("no json", "not understood"),
        ('{"codebooks": 0}', "in 1..3"),
        ('{"codebooks": 4}', "in 1..3"),
        ('{"codebooks": true}', "not understood"),
        ('{"codebooks": "2"}', "not understood"),
        ('{"end": false}', "not understood"),
        ("[]", "not understood"),
        ("[" * 100_000, "not understood"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_messages_that_are_refused(client, spoken, message, said):
    with client.websocket_connect(STREAM) as socket:
        socket.send_bytes(spoken[:1000].tobytes())
        (socket.send_bytes if isinstance(message, bytes) else socket.send_text)(message)
        _, _, last = read(socket)
        assert said in last["error"] and last["error"].endswith(".")
        assert socket.receive()["code"] == live.POLICY_VIOLATION


def test_a_page_that_goes_away_and_a_codec_that_cannot_stream(client, apps, spoken):
    with client.websocket_connect(STREAM) as socket:
        socket.send_bytes(spoken.tobytes())
    whole = TestClient(apps["whole"], BASE, headers={"origin": BASE})
    with whole.websocket_connect(STREAM) as socket:
        assert "cannot stream" in read(socket)[2]["error"]
    with client.websocket_connect(STREAM) as socket:  # the codec is free again
        socket.send_json({"end": True})
        assert "end" in read(socket)[2]
