"""The pages in a real browser: no console output, fit on a phone, light and dark mode, sorting."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from browser import Browser
from drawn_records import drawn
from gbench.cndb.database_config import embedded
from gbench.cndb.schema import prepared
from gbench.reports.history_page import write_history
from gbench.reports.record_page import write_record_page
from gbench.reports.run_page import write_report
from gbench.settings.spec import RunSpec
from run_folders import write_run, write_telemetry
from view_data import Result, stored

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
COMPLAINTS = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
LONG = "x" * 200  # a word that has no place to break
HOSTILE = f"<script>document.title = 'broken'</script>{LONG}"
# what sticks out of the page, bar what scrolls within its own box
OUTSIDE = """[...document.querySelectorAll('main *, header *')].filter(e => !e.closest('.scroll, svg')
    && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML)"""
SORTED = """(() => { const rows = [...document.querySelector('#latest tbody').rows];
    return rows.map(row => row.cells[COLUMN].dataset.value ?? row.cells[COLUMN].textContent) })()"""
COMMAND = "gbench launch pix2pix_resnet_9blocks 32 8 FP32 --device cpu --set data.load_size=72 --results /a/b"


@pytest.fixture
def url(make_spec: Callable[..., RunSpec], tmp_path: Path) -> str:
    """The page of a run on eight ranks with long and hostile words in it, telemetry and pictures."""
    spec = make_spec(batch_size=32, device_count=8, command_line=COMMAND)
    spec = spec.model_copy(update={"dataset": HOSTILE})
    check = {"id": LONG, "severity": "warning", "found": LONG, "mend": LONG}
    host = {"warnings": [LONG], "where": {"runner": "docker", "image": LONG}, "checks": [check]}
    folder = write_run(spec, steps=50, planned_steps=50, step_s=lambda step: 12.5 + step % 3, host=host)
    write_telemetry(folder, 675, gpus=8, held_back=lambda t_s: 100 < t_s < 200, hz=1)
    (folder.path / "images").mkdir()
    for kind in ("real_A", "fake_B", "real_B"):
        Image.new("RGB", (256, 256), "navy").save(folder.path / "images" / f"1_{kind}.png")
    return write_report(folder, tmp_path / "report.html").as_uri()


@pytest.fixture
def history_url(tmp_path: Path) -> str:
    """The page of a history: a change of level, a regression, something stale, long and hostile words."""
    draw = random.Random(1)
    levels = {"V100-PCIE-32GB": 70.0, "A100-SXM4-80GB": 240.0, "T4": 9.0, HOSTILE[:290]: 100.0}
    results = []
    for device, level in levels.items():
        for day in range(30):
            age = day + (40 if device == "T4" else 0.5)
            fallen = 0.9 if day < 6 else 1.0
            results.append(Result(age, level * fallen * draw.gauss(1, 0.004), 0.004 * level, device=device))
    config = embedded(tmp_path)
    stored(prepared(config)[0], results)
    return write_history(config, tmp_path / "history.html", None, None).as_uri()


@pytest.fixture
def record_url(tmp_path: Path) -> str:
    """The page of a record with a long word in it."""
    return write_record_page(drawn(dataset=HOSTILE, tags=[LONG]), "record.yaml", tmp_path / "record.html").as_uri()


@pytest.mark.parametrize(("page", "title"), [("url", "img/s"), ("history_url", "History"), ("record_url", "22.50")])
def test_a_page_loads_silently_and_never_scrolls_sideways(
    page: str, title: str, browser: Browser, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(page)
    for width, dark in product((390, 820, 1280), (False, True)):
        browser.open(url, width, dark)
        assert browser.evaluate("window.innerWidth") == width
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert [event for event in browser.events if event["method"] in COMPLAINTS] == []
        assert title in browser.evaluate("document.title")
        assert browser.evaluate(OUTSIDE) == []
        assert browser.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_tables_sort_by_click_and_by_keyboard(browser: Browser, history_url: str) -> None:
    browser.open(history_url, 1280)
    throughputs = SORTED.replace("COLUMN", "1")
    before = [float(value) for value in browser.evaluate(throughputs)]
    assert before != sorted(before)
    browser.evaluate("document.querySelectorAll('#latest thead button')[1].click()")
    assert [float(value) for value in browser.evaluate(throughputs)] == sorted(before)
    state = "document.querySelectorAll('#latest thead th')[1].getAttribute('aria-sort')"
    assert browser.evaluate(state) == "ascending"
    browser.evaluate("document.querySelectorAll('#latest thead button')[1].focus()")
    key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
    browser.call("Input.dispatchKeyEvent", type="keyDown", **key)
    browser.call("Input.dispatchKeyEvent", type="keyUp", **key)
    assert browser.evaluate(state) == "descending"
    assert [float(value) for value in browser.evaluate(throughputs)] == sorted(before, reverse=True)
    # words sort as words; the head that sorted before says so no more
    browser.evaluate("document.querySelectorAll('#latest thead button')[0].click()")
    names = browser.evaluate(SORTED.replace("COLUMN", "0"))
    assert names == sorted(names, key=str.lower) and browser.evaluate(state) is None


def test_without_scripts_tables_stand_as_they_are(browser: Browser, history_url: str) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(history_url, 1280)
        assert browser.evaluate("document.querySelectorAll('#latest tbody tr').length") == 4
        assert browser.evaluate("document.querySelectorAll('button').length") == 0
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("page", ["url", "history_url"])
def test_only_the_page_itself_is_loaded(page: str, browser: Browser, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(page)
    browser.open(url, 1280)
    requests = [event["params"]["request"]["url"] for event in browser.events if "request" in event.get("params", {})]
    assert [found for found in requests if not found.startswith("data:")] == [url]


@pytest.mark.parametrize("page", ["url", "history_url"])
def test_plots_follow_light_and_dark_and_print_is_light(
    page: str, browser: Browser, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(page)
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


@pytest.mark.parametrize("page", ["url", "history_url"])
def test_text_of_plots_is_readable_on_a_phone(page: str, browser: Browser, request: pytest.FixtureRequest) -> None:
    browser.open(request.getfixturevalue(page), 390)
    heights = browser.evaluate("[...document.querySelectorAll('svg text')].map(e => e.getBoundingClientRect().height)")
    assert heights and min(heights) >= 9


def test_the_command_line_can_be_copied(browser: Browser, url: str) -> None:
    browser.open(url, 390)
    browser.evaluate("getSelection().selectAllChildren(document.querySelector('pre'))")
    assert browser.evaluate("getSelection().toString()") == COMMAND


def test_the_script_draws_the_picture_of_a_page(make_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    folder = write_run(make_spec(), steps=50, planned_steps=50)
    write_report(folder, folder.path / "report.html")
    out = tmp_path / "page.png"
    command = [sys.executable, str(ROOT / "docs/images/draw_run_page.py"), str(folder.path), "--out", str(out)]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT / "tests/helpers")}, check=True)
    assert out.stat().st_size <= 200_000
    with Image.open(out) as picture:
        assert picture.width == 1180 and picture.height > 1000
