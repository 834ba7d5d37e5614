"""`stacodec encode --stream | stacodec decode --stream`: real pipes, and how they end."""

import fcntl
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from espnet_stacodec import AudioCoding
from espnet_stacodec.bin.stacodec import main
from espnet_stacodec.inference.pipes import decode_pipe, encode_pipe

COMMAND = (sys.executable, "-m", "espnet_stacodec.bin.stacodec")
READER_GONE = 141
INTERRUPTED = 130


def start(work: str, model: Path, **pipes) -> subprocess.Popen[bytes]:
    words = (*COMMAND, work, "--stream", "--model", str(model), "-")
    return subprocess.Popen(words, stderr=subprocess.PIPE, **pipes)


@pytest.fixture(scope="module")
def audio(toy_utterance) -> np.ndarray:
    """(N,) int16, of no whole frames."""
    samples, _ = toy_utterance(5, 60)
    return (samples[:-11] * 2**15).round().astype("<i2")


@pytest.fixture(scope="module")
def codec(streaming_experiment) -> AudioCoding:
    return AudioCoding.from_pretrained(streaming_experiment)


def test_both_commands_in_a_row(streaming_experiment, codec, audio):
    """A slow microphone with an odd byte at its end; the codes and audio are those of files."""
    encoder = start("encode", streaming_experiment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    first_read, first_write = os.pipe()
    decoder = start("decode", streaming_experiment, stdin=first_read, stdout=subprocess.PIPE)
    os.close(first_read)
    codes: list[bytes] = []

    def pass_on() -> None:
        """Copy what the encoder writes to the decoder, and keep it."""
        assert encoder.stdout is not None
        while came := os.read(encoder.stdout.fileno(), 4096):
            codes.append(came)
            os.write(first_write, came)
        os.close(first_write)

    thread = threading.Thread(target=pass_on)
    thread.start()
    assert encoder.stdin is not None and decoder.stdout is not None
    data = audio.tobytes() + b"\x7f"
    for begin in range(0, len(data), 7001):
        encoder.stdin.write(data[begin : begin + 7001])
        encoder.stdin.flush()
        time.sleep(0.05)
    encoder.stdin.close()
    played = np.frombuffer(decoder.stdout.read(), "<i2")
    thread.join()
    assert encoder.wait() == decoder.wait() == 0
    assert encoder.stderr is not None
    assert b"its last byte was left out" in encoder.stderr.read()
    expected = codec.encode(audio.astype(np.int16), 16000)
    frames = np.frombuffer(b"".join(codes)[32:], "<u2")
    frames = np.delete(frames, slice(-5, -3))  # the end mark, before the last frame
    np.testing.assert_array_equal(frames.reshape(-1, 3).T, expected.numpy())
    decoded = codec.decode(expected, len(audio)).numpy()
    np.testing.assert_allclose(played / 2**15, decoded.clip(-1, 1), rtol=0, atol=0.6 / 2**15)


def test_a_reader_that_goes_away_and_a_stalled_pipe(streaming_experiment, audio):
    """The encoder waits for more audio, and ends clearly once nobody reads its codes."""
    encoder = start("encode", streaming_experiment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert encoder.stdin is not None and encoder.stdout is not None and encoder.stderr is not None
    encoder.stdin.write(audio[:3200].tobytes())
    encoder.stdin.flush()
    # All that can be known of it arrives, while the input stalls.
    wanted = 32 + 6 * (10 - 2)
    assert len(encoder.stdout.read(wanted)) == wanted
    with pytest.raises(subprocess.TimeoutExpired):
        encoder.wait(0.3)
    encoder.stdout.close()
    encoder.stdin.write(audio[3200:].tobytes())
    encoder.stdin.close()
    assert encoder.wait(20) == READER_GONE
    said = encoder.stderr.read().decode()
    assert "was not read to the end" in said and "Traceback" not in said


def test_pipes_that_do_not_wait(streaming_experiment, codec, audio):
    """As programs make them, before or later, that wait for several things: a stall is no end."""
    samples_read, samples_write = os.pipe()
    played_read, played_write = os.pipe()
    fcntl.fcntl(played_write, fcntl.F_SETPIPE_SZ, 4096)
    not_waiting = (samples_read, played_write)
    for pipe in not_waiting:
        os.set_blocking(pipe, False)
    encoder = start("encode", streaming_experiment, stdin=samples_read, stdout=subprocess.PIPE)
    assert encoder.stdout is not None and encoder.stderr is not None
    decoder = start("decode", streaming_experiment, stdin=encoder.stdout, stdout=played_write)
    encoder.stdout.close()
    with os.fdopen(played_read, "rb") as speaker:
        os.write(samples_write, audio[:3200].tobytes())
        played = speaker.read(640)  # the encoder has read all that there is
        for pipe in not_waiting:
            os.set_blocking(pipe, False)
            os.close(pipe)
        for begin, end in ((3200, 6400), (6400, len(audio))):
            os.write(samples_write, audio[begin:end].tobytes())
            time.sleep(0.3)
        os.close(samples_write)
        time.sleep(1)  # the speaker stalls: what it has not played fills the pipe
        played += speaker.read()
    assert (encoder.wait(), decoder.wait()) == (0, 0)
    decoded = codec.decode(codec.encode(audio.astype(np.int16), 16000), len(audio)).numpy()
    heard = np.frombuffer(played, "<i2") / 2**15
    np.testing.assert_allclose(heard, decoded.clip(-1, 1), rtol=0, atol=0.6 / 2**15)


@pytest.mark.parametrize("reader", ["reads", "stalls", "is gone"])
def test_ctrl_c_ends_a_microphone(streaming_experiment, codec, audio, reader):
    """The first one gives the stream its end; a second one does not wait for who reads it."""
    codes_read, codes_write = os.pipe()
    encoder = start("encode", streaming_experiment, stdin=subprocess.PIPE, stdout=codes_write)
    assert encoder.stdin is not None and encoder.stderr is not None
    encoder.stdin.write(audio[:3300].tobytes())
    encoder.stdin.flush()
    codes = b""
    while len(codes) < 32 + 6 * (10 - 2):
        codes += os.read(codes_read, 4096)
    if reader == "stalls":
        os.set_blocking(codes_write, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(codes_write, bytes(4096))
    os.close(codes_write)
    if reader == "is gone":
        os.close(codes_read)
    encoder.send_signal(signal.SIGINT)
    if reader == "stalls":
        with pytest.raises(subprocess.TimeoutExpired):
            encoder.wait(0.5)
        encoder.send_signal(signal.SIGINT)
    assert encoder.wait(20) == INTERRUPTED
    said = encoder.stderr.read().decode()
    if reader == "reads":
        with os.fdopen(codes_read, "rb") as rest:
            codes += rest.read()
        sink = io.BytesIO()
        assert decode_pipe(codec, io.BytesIO(codes), sink) == 3300
        assert said.endswith("interrupted; the stream ends here, complete with what was read.\n")
    else:
        assert said.endswith("interrupted; the stream breaks off here.\n")
    assert "go on" not in said and "Traceback" not in said


@pytest.fixture
def begun(streaming_experiment, codec, audio) -> tuple[subprocess.Popen, bytes]:
    """A decoder that was given ten frames, and what follows them."""
    sink = io.BytesIO()
    encode_pipe(codec, io.BytesIO(audio.tobytes()), sink)
    decoder = start("decode", streaming_experiment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert decoder.stdin is not None
    given = 32 + 6 * 10
    decoder.stdin.write(sink.getvalue()[:given])
    decoder.stdin.flush()
    return decoder, sink.getvalue()[given:]


def test_ctrl_c_stops_the_decoder(begun):
    decoder, _ = begun
    assert len(decoder.stdout.read(6400)) == 6400
    decoder.send_signal(signal.SIGINT)
    assert decoder.wait(20) == INTERRUPTED
    assert decoder.stderr.read().endswith(b"interrupted; the stream breaks off here.\n")


def test_nobody_hears_the_decoder(begun):
    decoder, rest = begun
    assert len(decoder.stdout.read(640)) == 640
    decoder.stdout.close()
    decoder.stdin.write(rest)
    decoder.stdin.close()
    assert decoder.wait(20) == READER_GONE
    said = decoder.stderr.read().decode()
    assert "was not read to the end" in said and "Traceback" not in said


@pytest.mark.parametrize("work", ["encode", "decode"])
def test_a_full_disk(streaming_experiment, codec, audio, work):
    sink = io.BytesIO()
    encode_pipe(codec, io.BytesIO(audio.tobytes()), sink)
    given = audio.tobytes() if work == "encode" else sink.getvalue()
    with Path("/dev/full").open("wb") as full:
        command = start(work, streaming_experiment, stdin=subprocess.PIPE, stdout=full)
    _, said = command.communicate(given, timeout=50)
    assert command.returncode == 1
    assert said.endswith(b"error: No space left on device; free some space and run it again.\n")
    assert b"Traceback" not in said


@pytest.mark.parametrize(("closed", "name"), [("<&-", "input"), (">&-", "output")])
@pytest.mark.parametrize("work", ["encode", "decode"])
def test_streams_that_a_shell_closed(streaming_experiment, work, closed, name):
    words = (*COMMAND, work, "--stream", "--model", str(streaming_experiment), "-")
    ended = subprocess.run(
        ["bash", "-c", f'"$@" {closed}', "bash", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.decode().endswith(f"standard {name} is closed; give it a pipe or a file.\n")
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["encode", "--stream", "a.wav"], "--stream reads standard input: give - as the only"),
        (["encode", "--stream", "-", "--nj", "2"], "--stream takes no --nj, which is for files"),
        (["decode", "--stream", "-", "--format", "flac"], "--stream takes no --format"),
        (["encode", "--stream", "-"], "cannot stream.*causal: true"),
        (["decode", "--stream", "-"], "cannot stream.*causal: true"),
    ],
)
def test_what_cannot_be_a_stream(plain_experiment, words, message, monkeypatch):
    with Path(os.devnull).open("r+") as nothing:
        for name in ("stdin", "stdout"):
            monkeypatch.setattr(sys, name, nothing)
        with pytest.raises(SystemExit, match=message):
            main([*words, "--model", str(plain_experiment)])


def test_info_says_latency_and_state(streaming_experiment, plain_experiment, capsys):
    for model, said in (
        (
            streaming_experiment,
            r"yes: latency 20 ms \+ lookahead 40 ms; encoder state \d",
        ),
        (plain_experiment, "no: the networks see later frames"),
    ):
        main(["info", str(model)])
        assert re.search(rf"^streaming +{said}", capsys.readouterr().out, re.MULTILINE)
