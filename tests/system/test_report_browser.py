"""A run's page in a real browser: loads without a word on the console, fits a phone, follows light and dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import Browser

from gbench.reports.run_page import write_report
from gbench.settings.spec import RunSpec
from run_folders import write_run

pytestmark = pytest.mark.system

COMPLAINTS = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
LONG = "x" * 200  # a word that has no place to break
COMMAND = "gbench launch pix2pix_resnet_9blocks 32 8 FP32 --device cpu --set data.load_size=72 --results /a/b"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def url(make_spec: Callable[..., RunSpec], tmp_path: Path) -> str:
    """The page of a run on eight ranks with long and hostile words in it."""
    spec = make_spec(batch_size=32, device_count=8, command_line=COMMAND)
    spec = spec.model_copy(update={"dataset": f"<script>document.title = 'broken'</script>{LONG}"})
    host = {"warnings": [LONG], "where": {"runner": "docker", "image": LONG}}
    folder = write_run(spec, steps=50, planned_steps=50, step_s=lambda step: 12.5 + step % 3, host=host)
    return write_report(folder, tmp_path / "report.html").as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_the_page_loads_silently_and_never_scrolls_sideways(browser: Browser, url: str, width: int, dark: bool) -> None:
    browser.open(url, width, dark)
    assert browser.evaluate("window.innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert [event for event in browser.events if event["method"] in COMPLAINTS] == []
    assert "img/s" in browser.evaluate("document.title")
    # nothing sticks out of the page, bar what scrolls within its own box
    outside = """[...document.querySelectorAll('main *, header *')].filter(e => !e.closest('.scroll, svg')
        && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML)"""
    assert browser.evaluate(outside) == []


def test_only_the_page_itself_is_loaded(browser: Browser, url: str) -> None:
    browser.open(url, 1280)
    requests = [event["params"]["request"]["url"] for event in browser.events if "request" in event.get("params", {})]
    assert requests == [url]


def test_plots_follow_light_and_dark_and_print_is_light(browser: Browser, url: str) -> None:
    colours = []
    for dark, media in ((False, ""), (True, ""), (True, "print")):
        browser.open(url, 1280, dark, media)
        colours.append(
            browser.evaluate(
                """(() => { const text = document.querySelector('svg text');
                return [getComputedStyle(document.body).backgroundColor, getComputedStyle(text).fill] })()"""
            )
        )
    light, dark, printed = colours
    assert light[0] != dark[0] and light[1] != dark[1]
    assert printed[1] == light[1]
    boxes = (
        "[...document.querySelectorAll('svg *')].filter(e => getComputedStyle(e).fill === 'rgb(255, 255, 255)').length"
    )
    browser.open(url, 1280, dark=True)
    assert browser.evaluate(boxes) == 0


def test_text_of_plots_is_readable_on_a_phone(browser: Browser, url: str) -> None:
    browser.open(url, 390)
    heights = browser.evaluate("[...document.querySelectorAll('svg text')].map(e => e.getBoundingClientRect().height)")
    assert heights and min(heights) >= 9


def test_the_command_line_can_be_copied(browser: Browser, url: str) -> None:
    browser.open(url, 390)
    browser.evaluate("getSelection().selectAllChildren(document.querySelector('pre'))")
    assert browser.evaluate("getSelection().toString()") == COMMAND
