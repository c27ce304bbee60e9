"""Every word of a verdict's files: JSON, Markdown and JUnit XML."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from drawn_records import drawn
from gbench.compare.comparison import Comparison, compare
from gbench.compare.formats import (
    as_json,
    as_junit,
    as_markdown,
    escaped,
    night_as_json,
    night_as_junit,
    night_as_markdown,
    night_failed,
)
from gbench.compare.nightly import Night, anchor_of, judge
from gbench.compare.sides import Run
from golden import check_golden


def run(name: str, day: int, throughput: float, driver: str = "570.1", busy: float = 5.0, **perf: Any) -> Run:
    figures = {"throughput": throughput, "throughput_unit": "img/s", "steady_state": True}
    extra = {"run_id": name, "driver": driver, "started_utc": f"2026-01-{day:02}T00:00:00+00:00"}
    host = {"cpu_percent": {"min": busy, "mean": busy, "max": busy}}
    gpu = {"sm_mhz": {"min": 1300.0, "mean": 14 * throughput, "max": 1410.0}}
    shares = {"data_share": 0.01, "step": {"p95_s": 36 / throughput}, "joules_per_image": 300 / throughput}
    perf_data = {**figures, **shares, "telemetry": {"gpus": [gpu], "host": host}, **perf}
    return Run(drawn(perf_data=perf_data, extra=extra), f"records/{name}.yaml")


BASE = [run(f"base{number}", 1, 100 + number) for number in range(4)]
SLOW = [run(f"new{number}", 2, 90 + number, "571|2", 40.0, data_share=0.08) for number in range(3)]
HELD_BACK = run("base3", 1, 103, throughput_clean_img_s=105, disturbance={"marked_share": 0.2})
COMPARISONS = {
    "regression": (BASE, [*SLOW, run("short", 2, 91, "571|2", steady_state=False, complete=False)]),
    "inconclusive": (BASE[:1], [run("new", 2, 97.5)]),
    "improved": (
        [*BASE[:3], HELD_BACK],
        [
            run(f"new{number}", 1, 110 + number, disturbance={"marked_share": 0.0}, throughput_clean_img_s=110 + number)
            for number in range(4)
        ],
    ),
}
NIGHTS = [run(f"night{day}", day, 100 + day % 3) for day in range(1, 13)]
TONIGHT = {
    "slower": [run("tonight", 20, 92, "571"), run("again", 20, 92.5, "571")],
    "as-fast": [run("tonight", 20, 101)],
    "early": [run("tonight", 20, 101)],
}


def comparison(name: str) -> Comparison:
    base, new = COMPARISONS[name]
    return compare(base, new, [], 0.03, names=["throughput", "latency-p95", "energy"])


def night(name: str) -> Night:
    anchor = anchor_of("nightly", NIGHTS[:2] if name == "early" else NIGHTS, [])
    return judge(anchor, TONIGHT[name], 0.03, (), ["throughput", "latency-p95"], 5)


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_comparison(name: str) -> None:
    found = comparison(name)
    check_golden(f"comparison-{name}.json", as_json(found))
    check_golden(f"comparison-{name}.md", as_markdown(found))
    check_golden(f"comparison-{name}.xml", as_junit(found))


@pytest.mark.parametrize("name", TONIGHT)
def test_a_night(name: str) -> None:
    found = night(name)
    check_golden(f"night-{name}.json", night_as_json(found))
    check_golden(f"night-{name}.md", night_as_markdown(found))
    check_golden(f"night-{name}.xml", night_as_junit(found))


@pytest.mark.parametrize("stage", ["launch", "compare"])
def test_a_night_that_failed(stage: str) -> None:
    page, suite = night_failed(stage, "the reason")
    check_golden(f"night-failed-{stage}.md", page)
    check_golden(f"night-failed-{stage}.xml", suite)


def test_text_from_elsewhere_breaks_no_page() -> None:
    assert escaped("a\\b|c<d>") == r"a\\b\|c&lt;d>"
    suite = ElementTree.fromstring(night_failed("launch", "why\n\tor\x1b how")[1].partition("?>")[2])
    error = suite.find(".//error")
    assert error is not None and error.get("message") == r"why\n\tor\x1b how"
    assert suite.findtext("system-out") == "why\n\tor\\x1b how"
