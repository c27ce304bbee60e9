"""The gallery of an evaluation in a real browser: sorts, steps by keyboard, fits a phone, leaves the console silent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser import Browser
from evaluations import evaluation_of
from gbench.reports.gallery import write_gallery
from gbench.runfolder.folder import VISUALS

pytestmark = pytest.mark.system

COMPLAINTS = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
NAMES = "[...document.querySelectorAll('.pair')].map(pair => pair.dataset.name)"
CURRENT = "[...document.querySelectorAll('[aria-current]')].map(pair => pair.dataset.name)"
FIGURES = {
    "1": (0.3, 11.0, 0.2),
    "10": (0.1, None, 0.1),
    "a #b&<i>": (0.4, 12.0, 0.4),
    "x" * 120: (0.2, 10.0, 0.3),
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    (tmp_path / "images").mkdir()
    for name in FIGURES:
        for kind in VISUALS:
            Image.fromarray(np.full((16, 16, 3), 128, np.uint8)).save(tmp_path / "images" / f"{name}_{kind}.png")
    return write_gallery(evaluation_of(FIGURES), tmp_path / "gallery.html").as_uri()


def press(browser: Browser, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_it_loads_silently_and_never_scrolls_sideways(browser: Browser, url: str, width: int, dark: bool) -> None:
    browser.open(url, width, dark)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    browser.evaluate("for (const image of document.images) image.loading = 'eager'")
    load = "Promise.all([...document.images].map(image => image.decode())).then(() => document.images.length)"
    assert browser.call("Runtime.evaluate", expression=load, awaitPromise=True)["result"]["value"] == 12
    assert [event for event in browser.events if event["method"] in COMPLAINTS] == []


def test_only_the_page_and_its_images_are_loaded(browser: Browser, url: str) -> None:
    browser.open(url, 1280)
    requests = [event["params"]["request"]["url"] for event in browser.events if "request" in event.get("params", {})]
    base = url.removesuffix("gallery.html")
    assert requests and all(one == url or one.startswith(f"{base}images/") for one in requests)


@pytest.mark.parametrize(
    ("choice", "first_to_last"),
    [("mae -1", "a1x0"), ("mae 1", "0x1a"), ("psnr 1", "x1a0"), ("ssim -1", "ax10"), ("place 1", "10ax")],
)
def test_it_sorts_by_any_metric_either_way(browser: Browser, url: str, choice: str, first_to_last: str) -> None:
    browser.open(url, 1280)
    names = {"1": "1", "0": "10", "a": "a #b&<i>", "x": "x" * 120}
    assert browser.evaluate(NAMES) == [names[one] for one in "a1x0"]  # worst MAE first, as it is written
    browser.evaluate(f"order.value = {choice!r}; order.dispatchEvent(new Event('change')); order.value")
    assert browser.evaluate(NAMES) == [names[one] for one in first_to_last]
    assert browser.evaluate("document.querySelector('.rank').textContent").startswith("1 of 4, ")
    assert "4 images, " in browser.evaluate("position.textContent")


def test_it_is_stepped_through_by_keyboard_and_buttons(browser: Browser, url: str) -> None:
    browser.open(url, 390)
    names = browser.evaluate(NAMES)
    for key, place in (("ArrowRight", 0), ("j", 1), ("End", 3), ("ArrowRight", 3), ("k", 2), ("Home", 0)):
        press(browser, key)
        assert browser.evaluate(CURRENT) == [names[place]]
        assert browser.evaluate("document.activeElement.dataset.name") == names[place]
    assert browser.evaluate("position.textContent") == f"1 of 4: {names[0]}"
    browser.evaluate("document.getElementById('next').click()")
    assert browser.evaluate(CURRENT) == [names[1]]
    top = "document.querySelector('[aria-current]').getBoundingClientRect().top"
    bar = "document.querySelector('.bar').getBoundingClientRect().bottom"
    assert browser.evaluate(f"{top} >= {bar} - 1")  # the bar does not cover what was stepped to
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390


def test_images_have_texts_and_buttons_can_be_hit(browser: Browser, url: str) -> None:
    browser.open(url, 390)
    assert browser.evaluate("[...document.images].every(image => image.alt)")
    heights = browser.evaluate("[...document.querySelectorAll('.bar button, .bar select')].map(e => e.offsetHeight)")
    assert len(heights) == 3 and min(heights) >= 40
