"""The page in a real browser: microphone, files, players, refusals; phone, light and dark."""

import numpy as np
import pytest
import soundfile
from browsers import SIZES, check_layout, errors, open_browser, picture, press, show, wait_until
from causal_codecs import speech
from selenium.webdriver.common.keys import Keys
from serving import serving

STATE = """
return {
    frames: take && take.codes[0].length, heard: take && take.original.length,
    sounding: take && take.resynthesis.length, growing: take && take.growing,
    current, paused: tracks[current].audio.paused, time: tracks[current].audio.currentTime,
    duration: tracks[1].audio.duration, ready: !tracks[1].button.disabled,
    version: tracks[1].audio.src, chips: $("chips").textContent, ids: $("ids").textContent,
    status: $("status").textContent, error: $("error").textContent,
    off: !recording && !$("file").disabled,
};"""
CONTENT = """
const wave = (samples) => samples.pieces.flatMap((piece) => [...piece]);
return [take.codes, wave(take.original), wave(take.resynthesis), take.samples];"""


@pytest.fixture(scope="module")
def audio_file(tmp_path_factory):
    """Four seconds at the rate of a microphone, as real ones have, and no silence in them."""
    path = tmp_path_factory.mktemp("microphone") / "a <i>voice & more.wav"
    soundfile.write(path, 0.5 * speech(192_000, 8), 48000, "PCM_16")
    return path


@pytest.fixture(scope="module")
def browser(audio_file, tmp_path_factory):
    """A browser with that file as microphone; it takes it without asking."""
    voice = tmp_path_factory.mktemp("voice") / "voice.wav"
    voice.write_bytes(audio_file.read_bytes())
    with open_browser(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={voice}",
    ) as opened:
        yield opened


@pytest.fixture(params=["streaming", "whole"])
def kind(request):
    return request.param


def visit(browser, address, size="desktop", scheme="light"):
    """Open a page, and forget what others have logged."""
    show(browser, f"http://{address}/", size, scheme)
    errors(browser)


def state(browser):
    return browser.execute_script(STATE)


def click(browser, selector):
    browser.find_element("css selector", selector).click()


def open_file(browser, path):
    browser.find_element("id", "file").send_keys(str(path))


def wait_for(browser, condition):
    """Wait until condition(state), and return that state."""
    return wait_until(lambda: (now := state(browser)) and condition(now) and now, 60)


def content(browser):
    """Return codes (n, T), and the int16 samples that were heard and those that are played."""
    codes, heard, played, samples = browser.execute_script(CONTENT)
    assert samples == len(heard) == len(played)
    return np.array(codes), np.array(heard, np.int16), np.array(played, np.int16)


def check_audio(played, codec, codes):
    decoded = codec.decode(codes, len(played)).numpy()
    assert np.abs(played / 2**15 - decoded.clip(-1, 1)).max() < 2 / 2**15


def check_content(browser, codec):
    """Check that the codes are those of what was heard, and the audio is theirs; return codes."""
    codes, heard, played = content(browser)
    np.testing.assert_array_equal(codes, codec.encode(heard, codec.sample_rate))
    check_audio(played, codec, codes)
    # It is the microphone, or the file.
    assert 0.01 < np.std(heard[8000:] / 2**15) < 0.5
    return codes


def test_what_is_spoken_is_encoded(browser, addresses, coders, kind):
    visit(browser, addresses[kind])
    click(browser, "#record")
    if kind == "streaming":  # codes, ids and audio come while one speaks
        now = wait_for(browser, lambda now: "behind the voice" in now["chips"])
        assert now["growing"] and now["ids"] and "frames/s" in now["chips"]
        # The audio of the last codes may be on its way.
        assert 0 <= now["frames"] - now["sounding"] / 320 < 50
        wait_until(lambda: browser.execute_script("return recording.free > 0.5"))  # it is played
    wait_for(browser, lambda now: (now["heard"] or 0) > 24000)
    click(browser, "#record")
    now = wait_for(browser, lambda now: now["off"] and now["ready"])
    assert now["error"] == "" and not now["growing"] and "ready" in now["status"]
    check_content(browser, coders[kind].codec)
    now = wait_for(browser, lambda now: now["duration"])
    assert now["duration"] == pytest.approx(now["heard"] / 16000, abs=0.02)
    assert errors(browser) == []


def test_a_file_is_encoded_and_played_from_fewer_codebooks(
    browser, addresses, coders, kind, audio_file
):
    codec = coders[kind].codec
    visit(browser, addresses[kind])
    open_file(browser, audio_file)
    now = wait_for(browser, lambda now: now["off"] and now["ready"])
    codes = check_content(browser, codec)
    assert now["status"] == f"{audio_file.name}: ready." and "encoded in" in now["chips"]
    assert f"{codec.bits_per_second() / 1000:.2f} kbit/s" in now["chips"]
    all_of_them = now["version"]
    # It plays on, whatever the machine does meanwhile.
    browser.execute_script("tracks.forEach((track) => { track.audio.loop = true; })")
    press(browser, " ")
    wait_for(browser, lambda now: not now["paused"] and now["time"] > 0)
    press(browser, "1")  # another bitrate, played on
    wait_for(browser, lambda now: now["version"] != all_of_them and not now["paused"])
    check_audio(content(browser)[2], codec, codes[:1])
    press(browser, " ")
    before = wait_for(browser, lambda now: now["paused"])
    assert f"{codec.bits_per_second(1) / 1000:.2f} kbit/s" in before["chips"]
    press(browser, Keys.ARROW_UP)  # the other version, and another bitrate, at the same place
    now = wait_for(browser, lambda now: now["current"] == 0)
    assert now["time"] == pytest.approx(before["time"], abs=1e-3) and now["time"] > 0
    press(browser, Keys.ARROW_DOWN, "2")
    now = wait_for(browser, lambda now: now["version"] != before["version"])
    assert now["time"] == pytest.approx(before["time"], abs=1e-3) and now["current"] == 1
    assert errors(browser) == []


def test_what_is_refused_is_said(browser, addresses, kind, audio_file, tmp_path):
    visit(browser, addresses[kind])
    wrong = tmp_path / "<img src=x onerror=alert(1)>.wav"
    wrong.write_text("no audio")
    open_file(browser, wrong)
    now = wait_for(browser, lambda now: now["error"])
    assert "cannot be read as audio" in now["error"] and now["off"]
    assert browser.execute_script("return document.images.length") == 0
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(20_000_001)
    open_file(browser, large)
    wait_for(browser, lambda now: "larger than 20 MB" in now["error"])
    long = tmp_path / "long.flac"
    soundfile.write(long, np.zeros(61 * 16000), 16000)
    open_file(browser, long)
    wait_for(browser, lambda now: "longer than 60 s" in now["error"])
    open_file(browser, audio_file)  # it goes on after that
    now = wait_for(browser, lambda now: now["ready"])
    assert now["error"] == ""


def test_a_microphone_that_cannot_be_had(browser, addresses, kind, audio_file):
    visit(browser, addresses[kind])
    for broken, said in (
        ("navigator.mediaDevices.getUserMedia = async () => { throw Error('denied'); }", "denied"),
        (
            "delete navigator.mediaDevices.getUserMedia; AudioContext.prototype"
            ".createMediaStreamSource = () => { throw Error('rates differ'); }",
            "cannot bring a microphone to 16000 Hz (rates differ)",
        ),
    ):
        browser.execute_script(broken)
        click(browser, "#record")
        wait_for(browser, lambda now, said=said: now["off"] and said in now["error"])
    open_file(browser, audio_file)
    assert wait_for(browser, lambda now: now["ready"])["error"] == ""
    assert errors(browser) == []


def test_what_ends_before_the_microphone_is_there_stays_ended(browser, addresses, audio_file):
    """The server has another codec now, which it says while a person allows the microphone."""
    visit(browser, addresses["streaming"])
    browser.execute_script("""
    const devices = navigator.mediaDevices, ask = devices.getUserMedia.bind(devices);
    devices.getUserMedia = async (what) => {
        await new Promise((resolve) => { setTimeout(resolve, 1500); });
        return window.microphone = await ask(what);
    };
    codec.fingerprint = "of another codec";""")
    click(browser, "#record")
    wait_for(browser, lambda now: now["off"] and "has another codec than this" in now["error"])
    live = "return window.microphone ? microphone.getTracks()[0].readyState : ''"
    wait_until(lambda: browser.execute_script(live) == "ended")
    now = state(browser)
    assert now["off"] and "has another codec than this" in now["error"] and not now["heard"]
    assert browser.find_element("id", "record").text == "Record"
    assert errors(browser) == []


def test_while_one_speaks_bitrate_and_loudness_can_be_chosen(browser, addresses, coders):
    visit(browser, addresses["streaming"])
    press(browser, "r")
    wait_for(browser, lambda now: now["frames"])
    gain = "return recording.loudness.gain.value"
    assert browser.execute_script(gain) == 1
    click(browser, "#live")
    wait_until(lambda: browser.execute_script(gain) == 0)
    click(browser, "#books label")
    now = wait_for(browser, lambda now: now["sounding"] > 16000)
    assert "0.15 kbit/s" in now["chips"]
    click(browser, "#record")
    wait_for(browser, lambda now: now["off"] and now["ready"])
    codes, _, played = content(browser)
    assert len(codes) == 3  # all are kept
    check_audio(played, coders["streaming"].codec, codes[:1])
    assert errors(browser) == []


def test_a_file_can_be_dropped(browser, addresses, kind, audio_file):
    visit(browser, addresses[kind])
    drop = """
    const file = new File([new Samples().wav(), new Int16Array(3200)], "a.wav");
    const data = new DataTransfer();
    data.items.add(file);
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));"""
    browser.execute_script(drop)
    wait_for(browser, lambda now: now["off"] and (now["ready"] or now["error"]))


def test_a_recording_ends_at_its_limit(browser, addresses, kind):
    visit(browser, addresses[kind])
    browser.execute_script("codec.max_seconds = 1")
    click(browser, "#record")
    now = wait_for(browser, lambda now: now["off"] and now["ready"])
    assert now["heard"] == 16000 and "ends after 1 s" in now["status"]


def test_the_server_is_gone(browser, apps, audio_file):
    with serving(apps["streaming"]) as address:
        visit(browser, address)
        click(browser, "#record")
        wait_for(browser, lambda now: now["frames"])
    wait_for(browser, lambda now: now["off"] and "does not answer" in now["error"])
    open_file(browser, audio_file)
    wait_for(browser, lambda now: now["off"] and "does not answer" in now["error"])
    click(browser, "#record")
    wait_for(browser, lambda now: now["off"] and "does not answer" in now["error"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_cut_and_all_is_readable(browser, addresses, kind, size, scheme, audio_file):
    visit(browser, addresses[kind], size, scheme)
    for name in ("empty", "full"):
        if name == "full":
            open_file(browser, audio_file)
            wait_for(browser, lambda now: now["ready"])
            click(browser, "#resynthesis .picture")
        check_layout(browser, "button, h1, p, .file, .check, .chips, fieldset, .axis span", scheme)
        picture(browser, f"{kind}_{name}_{size}_{scheme}", size)
