"""The page of a history, from a SQLite database with drawn results."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest
from sqlalchemy import Engine, text

from gbench.cndb.database import connect_or_create
from gbench.cndb.database_config import DatabaseConfig, embedded
from gbench.cndb.schema import prepared
from gbench.cndb.tables import METADATA
from gbench.errors import InfrastructureError, RecordError
from gbench.reports import history_page, trend_plot
from gbench.reports.history_data import read_history
from gbench.reports.history_page import write_history
from pages import Page
from view_data import NOW, Result, drawn, row, stored

NASTY = """<script>alert('$x$ & "y"')</script>"""


@pytest.fixture
def config(tmp_path: Path) -> DatabaseConfig:
    return embedded(tmp_path)


@pytest.fixture
def engine(config: DatabaseConfig) -> Engine:
    return prepared(config)[0]


def nightly(runs: int, level: float = 100.0, until_days_ago: float = 0.5, **changes: object) -> list[Result]:
    """One run per day at a level, with a variation of 0.5 %; the interval is 0.5 % on each side."""
    draw = random.Random(runs)
    return [
        Result(until_days_ago + runs - 1 - place, level * draw.gauss(1, 0.005), 0.005 * level, **changes)  # type: ignore[arg-type]
        for place in range(runs)
    ]


def trend_of(config: DatabaseConfig) -> Element:
    """The plot of the only configuration."""
    history = read_history(config, None, None)
    (one,) = history.configurations
    return fromstring(trend_plot.trend(one, {item.result.id for item in history.regressions}).svg)


def page_of(config: DatabaseConfig, path: Path, model: str | None = None) -> Page:
    return Page(write_history(config, path / "history.html", model, None).read_text(encoding="utf-8"))


def test_a_fall_is_a_regression_that_names_what_differs(config: DatabaseConfig, engine: Engine, tmp_path: Path) -> None:
    before = nightly(30, until_days_ago=6.5)
    after = [Result(5.5 - day, 90.0, 0.5, driver="550.54.15") for day in range(6)]
    stored(engine, [*before, *after, *nightly(12, device="A100-SXM4-40GB")])
    history = read_history(config, None, None)
    assert [len(one.results) for one in history.configurations] in ([36, 12], [12, 36])
    (slower,) = history.regressions
    assert slower.configuration.latest.throughput < 92 and slower.loss_share == pytest.approx(0.1, abs=0.02)
    (change,) = slower.configuration.changes
    assert change.at.id == slower.result.id
    assert change.share == pytest.approx(-0.1, abs=0.02)
    assert change.differs == ["driver 535.104.05 → 550.54.15"]
    page = page_of(config, tmp_path)
    assert "1 of 2 slower" in page.text
    assert page.text.count("driver 535.104.05 → 550.54.15") == 1
    trends = [text for text in page.all("aria-label") if text.startswith("Throughput of ")]
    assert len(trends) == 2
    assert "pix2pix-resnet_9blocks, FP32, 8 × V100-PCIE-32GB, batch 32, facades, DDP" in trends[0]  # the slower first
    assert "36 runs" in trends[0] and "last change of level −" in trends[0]


def test_a_trend_shows_every_run_and_what_is_slower(config: DatabaseConfig, engine: Engine, tmp_path: Path) -> None:
    after = [Result(5.5 - day, 90.0, 0.5) for day in range(6)]
    stored(engine, [*nightly(30, until_days_ago=6.5), *after, Result(0.1, 99.0, None)])
    drawn = trend_of(config)
    dots = drawn.findall("circle")
    assert [dot.get("fill") for dot in dots] == ["var(--series-1)"] * 36 + ["var(--surface)"]
    assert [float(dot.get("cx", "")) for dot in dots] == sorted(float(dot.get("cx", "")) for dot in dots)
    assert float(dots[33].get("cy", "")) > float(dots[3].get("cy", ""))  # 90 lies below 100
    assert len(drawn.findall("rect")) >= 1
    texts = ["".join(text.itertext()) for text in drawn.findall("text")]
    assert texts[0] == "img/s" and "slower" in texts and {"90", "95", "100"} <= set(texts)
    numbers = [float(value) for one in drawn for name in ("x", "x1", "x2", "cx") if (value := one.get(name))]
    assert min(numbers) >= 0 and max(numbers) <= trend_plot.WIDTH


def test_a_trend_of_many_runs_is_a_line_in_a_band(config: DatabaseConfig, engine: Engine) -> None:
    stored(engine, nightly(400))
    drawn = trend_of(config)
    assert len(drawn.findall("path")) == 2 and not drawn.findall("circle")


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        ("2026-01-01T00:00", "2026-01-01T00:01", ["00:00:00", "00:00:30", "00:01:00"]),
        ("2026-01-01T09:05", "2026-01-01T10:40", ["09:30", "10:00", "10:30"]),
        ("2026-01-01T09:05", "2026-01-02T10:40", ["01-01 12:00", "01-02 00:00"]),
        ("2026-01-01", "2026-01-25", ["01-01", "01-08", "01-15", "01-22"]),
        ("2025-10-26", "2026-11-29", ["2026-01", "2026-04", "2026-07", "2026-10"]),
        ("2019-03-01", "2026-11-29", ["2020", "2022", "2024", "2026"]),
    ],
)
def test_times_on_the_axis_are_round(low: str, high: str, labels: list[str]) -> None:
    ends = [datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp() for text in (low, high)]
    assert [label for _, label in trend_plot._round_times(*ends)] == labels


@pytest.mark.parametrize(
    ("low", "high", "values"),
    [(0.9, 2.3, [1.0, 1.5, 2.0]), (97, 103, [98, 100, 102]), (1e5, 5e5, [1e5, 2e5, 3e5, 4e5, 5e5])],
)
def test_values_on_the_axis_are_round(low: float, high: float, values: list[float]) -> None:
    assert trend_plot._round_values(low, high) == pytest.approx(values)


def test_a_history_is_drawn_without_matplotlib(config: DatabaseConfig, engine: Engine, tmp_path: Path) -> None:
    stored(engine, nightly(12))
    program = (
        "import sys; from pathlib import Path; from gbench.cndb.database_config import embedded;"
        "from gbench.reports.history_page import write_history;"
        "write_history(embedded(Path(sys.argv[1])), Path(sys.argv[1]) / 'h.html', None, None);"
        "sys.exit('matplotlib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True)


def test_another_rule_of_the_statistics_is_named(config: DatabaseConfig, engine: Engine, tmp_path: Path) -> None:
    def measured(rule: dict[str, int], throughput: float) -> dict[str, object]:
        return {"perf_data": {"throughput": throughput, "throughput_unit": "img/s", "data_share": 0.1, **rule}}

    runs = [Result(20.0 - day, 100.0, None, changes=measured({}, 100.0 + day % 2)) for day in range(10)]
    stored(engine, runs)
    assert "first rule" in page_of(config, tmp_path).text
    later = [Result(8.0 - day, 90.0, None, changes=measured({"statistics": 2}, 90.0)) for day in range(6)]
    stored(engine, [*runs, *later])
    (one,) = read_history(config, None, None).configurations
    assert one.changes[0].differs == ["statistics first rule → now"]


def test_a_quiet_history_says_that_nothing_became_slower(
    config: DatabaseConfig, engine: Engine, tmp_path: Path
) -> None:
    stored(engine, nightly(12))
    page = page_of(config, tmp_path)
    assert "0 of 1 slower" in page.text
    assert "No result of the last 30 days is slower than those before it." in page.text
    assert "No configuration changed its level." in page.text
    assert "Every configuration was measured since." in page.text


def test_what_was_not_measured_for_long_is_stale(config: DatabaseConfig, engine: Engine, tmp_path: Path) -> None:
    stored(engine, [*nightly(3), *nightly(4, until_days_ago=45.2, device="T4")])
    text = page_of(config, tmp_path).text
    assert "Stale1 configuration, not measured for 30 days" in text
    assert "8 × T4" in text[text.index("Not measured for 30 days") :]
    assert "V100" not in text[text.index("Not measured for 30 days") :]


def test_records_without_an_interval_are_hollow_points(config: DatabaseConfig, engine: Engine, tmp_path: Path) -> None:
    without = [Result(day, 70.0 + day, None) for day in range(5)]
    stored(engine, [*without, *nightly(3, model="pix2pix-unet_256")])
    text = page_of(config, tmp_path).text
    assert "5 runs" in text and text.count("hollow: without an interval") == 1
    assert "hollow" not in page_of(config, tmp_path, "pix2pix_unet_256").text


def test_model_and_since_choose(config: DatabaseConfig, engine: Engine) -> None:
    stored(engine, [*nightly(5), *nightly(4, model="resnet50")])
    assert [one.name for one in read_history(config, "pix2pix_resnet_9blocks", None).configurations] == [
        "pix2pix-resnet_9blocks, FP32, 8 × V100-PCIE-32GB"
    ]
    since = read_history(config, None, NOW - timedelta(days=2))
    assert since.results == 4 and since.filters.startswith("since ")
    with pytest.raises(RecordError, match=r"no result with a throughput \(model bert\); leave out"):
        read_history(config, "bert", None)


def test_configurations_of_one_name_are_told_apart(config: DatabaseConfig, engine: Engine) -> None:
    settings = [{"hyper_params": {"ngf": width}} for width in (32, 64)]
    stored(engine, [Result(1, 50.0, 0.1, changes=changes) for changes in settings])
    details = {one.details for one in read_history(config, None, None).configurations}
    assert len(details) == 2 and all(", settings " in one for one in details)


def test_many_records_stay_a_page_of_sensible_size(
    config: DatabaseConfig, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_page, "TRENDS", 2)  # a plot takes a tenth of a second
    monkeypatch.setattr(history_page, "ROWS", 20)
    runs = [Result(day / 8, 100.0 + day % 3, 0.5) for day in range(400)]
    stored(engine, [*runs, *(Result(1, 9.0, 0.1, device=f"card {number}") for number in range(40))])
    page = page_of(config, tmp_path)
    assert "2 of 41: those with a regression or a change of level first" in page.text
    assert "21 more are not shown" in page.text
    assert "each point of the line is the mean of a stretch of runs" in page.text
    assert (tmp_path / "history.html").stat().st_size < 100_000


def test_the_page_needs_nothing_and_runs_its_own_script_alone(
    config: DatabaseConfig, engine: Engine, tmp_path: Path
) -> None:
    stored(engine, [Result(1, 3.0, 0.1, model=NASTY, device=NASTY), *nightly(3)])
    page = page_of(config, tmp_path)
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 1
    assert page.all("src") == [] and NASTY in page.text
    assert any(key.startswith(f"{NASTY}, FP32") for key in page.all("data-value"))
    assert all(link.startswith("#") for link in page.all("href"))
    (policy,) = [content for content in page.all("content") if "default-src 'none'" in content]
    assert "script-src 'sha256-" in policy and "unsafe-inline'" not in policy.partition("script-src")[2]
    ids = page.all("id")
    assert len(ids) == len(set(ids))


def test_rows_of_other_tools_do_not_stop_it(config: DatabaseConfig, engine: Engine, tmp_path: Path) -> None:
    row(engine, performance={"throughput": "22.9 img/s"}, md5="460.73.01")
    row(engine, performance={"throughput": "N/A"})
    page = page_of(config, tmp_path)
    assert "1 with a throughput" in page.text and "unknown model, no precision, 1 × A100" in page.text


def test_an_empty_history_is_one_sentence(config: DatabaseConfig, engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no result with a throughput; gbench cndb submit RECORD stores one"):
        write_history(config, tmp_path / "history.html", None, None)
    assert not (tmp_path / "history.html").exists()


def test_a_database_without_views_is_one_sentence(config: DatabaseConfig) -> None:
    METADATA.create_all(connect_or_create(config))
    with pytest.raises(InfrastructureError, match="lacks gbench's views; gbench cndb submit RECORD creates them"):
        read_history(config, None, None)


def test_machines_are_apart_unless_asked_for_together(config: DatabaseConfig, engine: Engine, tmp_path: Path) -> None:
    there, here = ({"extra": {"machine": {"host_name": name, "key": name[0] * 16}}} for name in ("zoe", "ann"))
    stored(engine, [*nightly(12, 100.0, 1.5, changes=there), Result(0.5, 90.0, 0.5, changes=here), *nightly(2)])
    history = read_history(config, None, None)
    machines = sorted(one.details.partition("DDP, ")[2] for one in history.configurations)
    assert machines == ["a machine not said", "ann (aaaaaaaa)", "zoe (zzzzzzzz)"]
    assert history.regressions == [] and len(page_of(config, tmp_path).all("aria-label")) >= 3
    together = read_history(config, None, None, all_machines=True)
    assert [len(one.results) for one in together.configurations] == [15]
    assert [one.result.throughput for one in together.regressions] == [90.0]


def test_what_says_no_machine_is_of_the_only_one(config: DatabaseConfig, engine: Engine) -> None:
    here = {"extra": {"machine": {"host_name": "ann", "key": "a" * 16}}}
    stored(engine, [*nightly(3, until_days_ago=2.5), *nightly(2, changes=here)])
    (one,) = read_history(config, None, None).configurations
    assert (len(one.results), one.details) == (5, "batch 32, facades, DDP")


def test_slower_results_are_those_of_the_view(config: DatabaseConfig, engine: Engine) -> None:
    stored(engine, drawn(seed=0))
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id, previous_mean, previous_results FROM gbench_regressions")).all()
    found = read_history(config, None, None).regressions
    assert {(one.result.id, one.previous_results) for one in found} == {(row[0], row[2]) for row in rows} and rows
    means = {row[0]: row[1] for row in rows}
    assert all(one.previous_mean == pytest.approx(means[one.result.id]) for one in found)


def test_one_odd_last_run_is_called_unconfirmed(config: DatabaseConfig, engine: Engine, tmp_path: Path) -> None:
    stored(engine, [*nightly(20, until_days_ago=1.5), Result(0.5, 90.0, 0.5)])
    assert read_history(config, None, None).configurations[0].changes == []
    page = page_of(config, tmp_path)
    assert "No configuration changed its level." in page.text
    assert "off its level: unconfirmed, it is one run" in page.text
