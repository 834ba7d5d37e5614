"""A headless browser for tests of pages."""

import contextlib
import os
import shutil
import time
from pathlib import Path

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Where the pictures of pages go, for people to look at.
PICTURES = os.environ.get("STACODEC_PICTURES")
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@contextlib.contextmanager
def open_browser(*arguments: str):
    """Yield a headless browser with its driver; skip the test where there is none."""
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no chromium with chromedriver (Debian: chromium, chromium-driver) is here")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--autoplay-policy=no-user-gesture-required", "--hide-scrollbars", "--mute-audio",
        *arguments,
    ):  # fmt: skip
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=driver)
    with webdriver.Chrome(options=options, service=service) as opened:
        opened.set_script_timeout(60)
        yield opened


def show(browser, address: str, size: str = "desktop", scheme: str = "light"):
    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(address)


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


def check_layout(browser, words: str, scheme: str):
    """Check that nothing is cut, `words` (a selector) least of all, and text can be read."""
    assert browser.execute_script(
        "return document.documentElement.scrollWidth <= window.innerWidth"
    )
    cut = """
    return [...document.querySelectorAll(arguments[0])]
        .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1
            || (e.matches('button') && e.scrollWidth > e.clientWidth + 1))
        .map(e => e.textContent)"""
    assert browser.execute_script(cut, words) == []
    lightness = """
    return ['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name]
        .match(/[0-9.]+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 765)"""
    ink, paper = browser.execute_script(lightness)
    assert abs(ink - paper) > 0.6 and (paper > 0.5) == (scheme == "light")


def picture(browser, name: str, size: str):
    """Save a picture of the whole page, if anyone wants it."""
    if not PICTURES:
        return
    height = browser.execute_script("return document.documentElement.scrollHeight")
    metrics = {"width": SIZES[size][0], "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    path = Path(PICTURES) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    browser.get_screenshot_as_file(str(path))
