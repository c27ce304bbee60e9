"""A record that was changed, or belongs to another run, is detected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest

from drawn_records import record
from gbench.cndb.from_run import record_of
from gbench.cndb.identity import sealed
from gbench.cndb.record import RECORD_SCHEMA, Record
from gbench.cndb.record_file import parse_record, to_yaml
from gbench.cndb.verify import _compared as compared
from gbench.cndb.verify import verify
from gbench.measure.summary import summarize_folder, with_losses_as_before
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import RunSpec
from run_folders import write_run


@pytest.fixture
def run(make_spec: Callable[..., RunSpec]) -> RunFolder:
    folder = write_run(make_spec())
    summary = summarize_folder(folder)
    assert summary is not None
    folder.write("result.json", asdict(summary))
    return folder


def changed(made: Record, old: str, new: str) -> Record:
    text = to_yaml(made)
    assert old in text
    return parse_record(text.replace(old, new, 1), "record")


def test_an_untouched_record_holds_with_and_without_its_run(run: RunFolder) -> None:
    made = parse_record(to_yaml(record_of(run)), "record")
    assert verify(made, None).holds is True
    assert verify(made, run).differences == []


def test_an_edited_number_is_caught_by_hash_and_run(run: RunFolder) -> None:
    made = record_of(run)
    assert made.perf_data is not None
    figure = f"throughput: {made.perf_data['throughput']}"
    edited = changed(made, figure, "throughput: 999.5")
    assert verify(edited, None).seal == "broken"
    verdict = verify(edited, run)
    assert verdict.holds is False
    assert verdict.differences == [
        f"perf_data.throughput: the record says 999.5, the run {made.perf_data['throughput']!r}"
    ]


def test_a_forged_hash_is_caught_by_the_run(run: RunFolder) -> None:
    made = record_of(run)
    assert made.perf_data is not None
    forged = sealed(made.model_copy(update={"perf_data": {**made.perf_data, "throughput": 999.5}}))
    assert verify(forged, None).holds is True
    assert verify(forged, run).holds is False


def test_losses_over_the_measured_steps_hold_as_before(make_spec: Callable[..., RunSpec]) -> None:
    run = write_run(make_spec(), steps=100, planned_steps=100, step_s=lambda step: 0.2 if step <= 10 else 0.1)
    summary = summarize_folder(run)
    assert summary is not None
    run.write("result.json", asdict(summary))
    before = record_of(run, with_losses_as_before(run, summary))
    assert before.metric_data != record_of(run).metric_data
    assert verify(before, run).differences == []
    (said,) = verify(changed(before, "G_L1: ", "G_L1: 1"), run).differences or []
    assert said.startswith("metric_data.G_L1: the record says 1")


def test_figures_are_recomputed_not_read_from_result_json(run: RunFolder) -> None:
    made = record_of(run)
    path = run.path / "steps-rank0.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert verify(made, run).holds is False


def test_a_record_without_a_hash_decides_nothing() -> None:
    verdict = verify(record(), None)
    assert (verdict.seal, verdict.holds) == ("none", None)


def test_each_value_that_differs_is_named_by_its_place() -> None:
    recorded = {"a": [1, {"b": 2.0}], "c": [1], "d": "x" * 80, "e": 1.0, "f": None, "g": {"h": True}}
    assert list(compared(recorded, {**recorded, "e": 1.0 + 1e-12, "more": 1}, "")) == []
    there = {"a": [1, {"b": 2.1}], "c": [1, 2], "d": "y", "e": 1.001, "g": {"h": False}}
    assert list(compared(recorded, there, "")) == [
        "a[1].b: the record says 2.0, the run 2.1",
        "c: the record says [1], the run [1, 2]",
        f"d: the record says '{'x' * 59}, the run 'y'",
        "e: the record says 1.0, the run 1.001",
        "f: the record says None, the run 'nothing'",
        "g.h: the record says True, the run False",
    ]


def test_a_record_holds_by_the_rule_it_was_made_by(make_spec: Callable[..., RunSpec]) -> None:
    """A faster start, which only the first rule left out: two readings of one run, both verified."""
    folder = write_run(make_spec(), steps=100, planned_steps=100, step_s=lambda step: 0.1 if step <= 40 else 0.11)
    records = []
    for rule in (1, 2, 3):
        made = record_of(folder, summarize_folder(folder, rule))
        records.append(parse_record(to_yaml(made), "record"))
        assert verify(records[-1], folder).holds is True
    first, second, now = records
    assert second.perf_data is not None and second.perf_data["step"]["p99_s"] == 0.11
    assert first.perf_data is not None and now.perf_data is not None and now.extra is not None
    assert first.perf_data["warmup_steps"] == 40 != now.perf_data["warmup_steps"]
    assert now.perf_data["step"]["p99_s"] is None
    assert now.extra["record_schema"] == RECORD_SCHEMA
    assert now.extra["first_reading"]["throughput_img_s"] == first.perf_data["throughput"]
    lacks = {key: value for key, value in first.perf_data.items() if key not in ("statistics", "drift", "speeds")}
    assert verify(sealed(first.model_copy(update={"perf_data": lacks})), folder).holds is True
