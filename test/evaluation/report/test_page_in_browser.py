"""The page in a real browser: it plays, it fits, by keyboard and on a phone, light and dark."""

import os
import shutil
import time
from pathlib import Path

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.keys import Keys  # noqa: E402

from espnet_stacodec.evaluation.report import media  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Where the pictures of the page go, for people to look at.
PICTURES = os.environ.get("STACODEC_PICTURES")
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
STATE = """
const track = document.querySelector('.track.current'), audio = track.querySelector('audio');
return {card: track.closest('.card').id, name: track.querySelector('button').textContent,
        paused: audio.paused, time: audio.currentTime,
        playing: [...document.querySelectorAll('audio')].filter(a => !a.paused).length};
"""


@pytest.fixture(scope="module")
def browser():
    """A headless browser with its driver."""
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no chromium with chromedriver (Debian: chromium, chromium-driver) is here")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--autoplay-policy=no-user-gesture-required", "--hide-scrollbars", "--mute-audio",
    ):  # fmt: skip
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=driver)
    with webdriver.Chrome(options=options, service=service) as opened:
        opened.set_script_timeout(60)
        yield opened


def show(browser, page: Path, size: str = "desktop", scheme: str = "light"):
    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(page.as_uri())


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


def errors(browser):
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def press(browser, *keys):
    for key in keys:
        webdriver.ActionChains(browser).send_keys(key).perform()


def test_every_player_can_play(browser, pages):
    for page in pages:
        show(browser, page)
        loaded = """
        const audio = [...document.querySelectorAll('audio')];
        return audio.every(a => a.readyState >= 3) && audio.map(a => [a.duration, a.error])"""
        for duration, error in wait_until(lambda code=loaded: browser.execute_script(code)):
            assert error is None and 0.1 < duration < 2
        assert errors(browser) == []


def test_the_keyboard_plays_and_steps(browser, pages):
    show(browser, pages[1])
    # It plays on, whatever the machine does meanwhile.
    browser.execute_script("document.querySelectorAll('audio').forEach(a => a.loop = true)")

    def state():
        return browser.execute_script(STATE)

    assert state()["paused"] and state()["name"] == "original"
    press(browser, " ")
    wait_until(lambda: state()["time"] > 0 and not state()["paused"])
    press(browser, Keys.ARROW_DOWN)  # it goes on playing, another version
    now = wait_until(lambda: (now := state())["playing"] == 1 and not now["paused"] and now)
    assert now["card"] == "card0" and now["name"].endswith("all layers")
    press(browser, " ")
    now = wait_until(lambda: (now := state())["paused"] and now)
    press(browser, Keys.ARROW_DOWN)
    assert state()["time"] == pytest.approx(now["time"]) and now["time"] > 0  # the same place
    press(browser, Keys.ARROW_UP)
    press(browser, Keys.ARROW_RIGHT)
    assert state()["card"] == "card1" and state()["time"] == 0
    press(browser, Keys.ARROW_UP)
    assert state()["card"] == "card1" and state()["name"] == "original"
    press(browser, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert state()["card"] == "card5"
    assert errors(browser) == []


@pytest.mark.parametrize("seconds", [0.7, 1.5, 3.0])
@pytest.mark.parametrize("coding", [media.WAV, media.OPUS], ids=lambda coding: coding.name)
def test_every_place_of_what_is_embedded_can_be_played(browser, noise, coding, seconds):
    """Chromium cannot seek in every file that it plays."""
    content = media.encode_audio(noise(round(seconds * 16000)), 16000, coding)
    places = [share * seconds for share in (0.04, 0.3, 0.6, 0.8, 0.95)]
    play = """
    const [address, place, done] = arguments, audio = new Audio(address);
    audio.addEventListener('loadedmetadata', () => {
        audio.currentTime = place;
        audio.play().then(() => done(null), error => done(String(error)));
    }, { once: true });"""
    address = media.data_uri(content, coding.mime)
    assert [browser.execute_async_script(play, address, place) for place in places] == [None] * 5


def test_a_click_plays_and_a_click_on_the_spectrogram_seeks(browser, pages):
    show(browser, pages[0])
    second = browser.find_elements("css selector", "#card1 .track")[1]
    second.find_element("css selector", "button").click()
    wait_until(lambda: browser.execute_script(STATE)["card"] == "card1")
    first = browser.find_elements("css selector", "#card0 .picture")[0]
    webdriver.ActionChains(browser).move_to_element(first).click().perform()
    state = browser.execute_script(STATE)
    assert state["card"] == "card0" and state["time"] > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_cut_and_all_is_readable(browser, pages, size, scheme):
    """No sideways scrolling but inside tables; text is told from what is behind it."""
    for page in pages:
        show(browser, page, size, scheme)
        assert browser.execute_script(
            "return document.documentElement.scrollWidth <= window.innerWidth"
        )
        cut = """
        return [...document.querySelectorAll('button, h1, h2, h3, .chips, .text, .axis span')]
            .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1
                || (e.matches('button') && e.scrollWidth > e.clientWidth + 1))
            .map(e => e.textContent)"""
        assert browser.execute_script(cut) == []
        lightness = """
        return ['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name]
            .match(/[0-9.]+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 765)"""
        ink, paper = browser.execute_script(lightness)
        assert abs(ink - paper) > 0.6 and (paper > 0.5) == (scheme == "light")
        if PICTURES:
            picture(browser, Path(PICTURES) / f"{page.stem}_{size}_{scheme}.png", size)


def picture(browser, path, size):
    height = browser.execute_script("return document.documentElement.scrollHeight")
    metrics = {"width": SIZES[size][0], "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    path.parent.mkdir(parents=True, exist_ok=True)
    browser.get_screenshot_as_file(str(path))
