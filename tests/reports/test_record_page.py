"""The page of a record, of gbench or of the original: its content, and the list of what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from drawn_records import drawn, of_run
from gbench.cndb.from_run import record_of
from gbench.cndb.record import Record
from gbench.cndb.record_file import read_record
from gbench.reports.record_page import write_record_page
from gbench.settings.spec import RunSpec
from pages import Page
from run_folders import write_run

NASTY = "<script>alert('$x$ & y')</script>"


def page_of(record: Record, tmp_path: Path) -> Page:
    return Page(write_record_page(record, "record.yaml", tmp_path / "page.html").read_text(encoding="utf-8"))


def test_a_record_of_a_run_shows_the_figures_of_its_page(make_spec: Callable[..., RunSpec], tmp_path: Path) -> None:

    from gbench.measure.summary import summarize_folder

    folder = write_run(make_spec(batch_size=8, device_count=2), steps=40, planned_steps=40)
    summary = summarize_folder(folder)
    assert summary is not None
    page = page_of(record_of(folder, summary), tmp_path)
    assert "80.00 img/s" in page.text and "95 % interval 80.00 to 80.00" in page.text
    assert "Without waiting for data100.0 img/s" in page.text
    assert "Data wait20.00 %" in page.text and "Measured steps38" in page.text
    assert "G_L1" in page.text and "Devices2 × CPU 9000" in page.text
    assert f"they are in the run folder, of run {folder.path.name}" in page.text
    assert any(label.startswith("Dot plot of throughputs") for label in page.all("aria-label"))
    assert page.all("src") == []


def test_what_a_record_lacks_is_said(tmp_path: Path) -> None:
    page = page_of(drawn(perf_data={"throughput": "22.9 img/s"}, soft_info=None, hard_info=None), tmp_path)
    assert "22.90 img/s" in page.text
    assert "the record has no interval" in page.text
    assert "The software it ran on: the record does not say" in page.text
    assert "a record that is not of a gbench run keeps none" in page.text
    page = page_of(of_run("r1", perf_data=None), tmp_path)
    assert "no throughput reported" in page.text
    assert "A throughput: the record has none" in page.text
    assert "interval" not in page.text


def test_a_run_that_was_not_steady_says_so_at_the_headline(tmp_path: Path) -> None:
    perf = {"throughput": 2.0, "throughput_interval": {"low": 1.5, "high": 2.5}, "steady_state": False}
    assert (
        "95 % interval 1.500 to 2.500 of the run's steps; not steady" in page_of(drawn(perf_data=perf), tmp_path).text
    )


def test_a_99th_percentile_of_few_steps_is_not_shown(tmp_path: Path) -> None:
    for steps, shown in ((99, False), (100, True)):
        perf = {"throughput": 2.0, "count": steps, "step": {"p95_s": 0.1, "p99_s": 0.125}}
        assert (
            "125.0 ms" in page_of(drawn(perf_data=perf), tmp_path).text
            or "0.1250" in page_of(drawn(perf_data=perf), tmp_path).text
        ) is shown


def test_a_record_is_escaped_and_no_oddity_stops_the_page(tmp_path: Path) -> None:
    odd = {NASTY: [NASTY, {"deep": [1, {NASTY: None}]}], "throughput": [1], "throughput_interval": NASTY, "limits": [2]}
    page = page_of(drawn(model=NASTY, perf_data=odd, extra={"warnings": NASTY, "command_line": 7}), tmp_path)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert page.text.count(NASTY) >= 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pix2pix_v100_8.yaml", "71.40 img/s"),
        ("pix2pix_v100_1.yaml", "22.90 img/s"),
        ("pix2pix_convergency.yaml", "G_L1 = 18.4075"),
        ("resnet50.yaml", "Mean56.97"),
    ],
)
def test_records_of_the_original_have_a_page(
    name: str, said: str, shared: Callable[[str], Path], tmp_path: Path
) -> None:
    assert said in page_of(read_record(shared("cndb-legacy") / name), tmp_path).text
