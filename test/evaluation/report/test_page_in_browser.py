"""The page in a real browser: it plays, it fits, by keyboard and on a phone, light and dark."""

import pytest
from browsers import (
    SIZES,
    check_layout,
    errors,
    open_browser,
    picture,
    press,
    show,
    wait_until,
    webdriver,
)
from selenium.webdriver.common.keys import Keys

from espnet_stacodec.evaluation.report import media

STATE = """
const track = document.querySelector('.track.current'), audio = track.querySelector('audio');
return {card: track.closest('.card').id, name: track.querySelector('button').textContent,
        paused: audio.paused, time: audio.currentTime,
        playing: [...document.querySelectorAll('audio')].filter(a => !a.paused).length};
"""


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


def test_every_player_can_play(browser, pages):
    for page in pages:
        show(browser, page.as_uri())
        loaded = """
        const audio = [...document.querySelectorAll('audio')];
        return audio.every(a => a.readyState >= 3) && audio.map(a => [a.duration, a.error])"""
        for duration, error in wait_until(lambda code=loaded: browser.execute_script(code)):
            assert error is None and 0.1 < duration < 2
        assert errors(browser) == []


def test_the_keyboard_plays_and_steps(browser, pages):
    show(browser, pages[1].as_uri())
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
    wait_until(lambda: state()["paused"])
    # Where it was paused may be its beginning again.
    browser.execute_script("document.querySelector('.track.current audio').currentTime = 0.07")
    press(browser, Keys.ARROW_DOWN)
    assert state()["time"] == pytest.approx(0.07)  # the same place
    press(browser, Keys.ARROW_UP)
    press(browser, Keys.ARROW_RIGHT)
    assert state()["card"] == "card1" and state()["time"] == 0
    press(browser, Keys.ARROW_UP)
    assert state()["card"] == "card1" and state()["name"] == "original"
    press(browser, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert state()["card"] == "card5"
    assert errors(browser) == []


def test_space_presses_the_button_that_has_the_focus(browser, pages):
    show(browser, pages[0].as_uri())
    browser.execute_script("""
    document.querySelectorAll('audio').forEach(a => a.loop = true);
    document.querySelectorAll('#card1 button')[1].focus();""")
    press(browser, " ")
    now = wait_until(lambda: (now := browser.execute_script(STATE))["playing"] and now)
    assert now["card"] == "card1" and now["name"] != "original" and not now["paused"]
    press(browser, " ")  # the space key is the page's again
    wait_until(lambda: browser.execute_script(STATE)["paused"])
    assert errors(browser) == []


@pytest.mark.parametrize("seconds", [0.7, 1.5, 3.0])
@pytest.mark.parametrize("coding", [media.WAV, media.CODINGS[1]], ids=lambda coding: coding.name)
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
    show(browser, pages[0].as_uri())
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
        show(browser, page.as_uri(), size, scheme)
        check_layout(browser, "button, h1, h2, h3, .chips, .text, .axis span", scheme)
        picture(browser, f"{page.stem}_{size}_{scheme}", size)
