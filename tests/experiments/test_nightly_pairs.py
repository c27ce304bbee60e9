"""Runs in turn with a pinned image: their order, where their records go, and what they decide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from drawn_records import record
from gbench.cli.shared.output import Terminal
from gbench.cndb.record import Record
from gbench.compare.comparison import Comparison, compare
from gbench.compare.formats import night_as_junit
from gbench.compare.nightly import Anchor, anchor_of, in_nights, judge
from gbench.compare.sides import Run
from gbench.errors import UsageError
from gbench.experiments import nightly
from gbench.experiments.nightly import Measured, pinned_image
from gbench.measure.nights import RELEVANT
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]
# Each run prints the next of these figures.
SCRIPT = """
cd "$(dirname "$(readlink -f "{script}")")"
figure=$(head -n 1 figures); sed -i 1d figures
echo "network:mine, batch size:4, device count:1, dpf mode:DP, precision:FP32, throughput:$figure img/s, \\
device:Card X, dataset:facades" >> "$BENCHMARK_LOG"
"""


def of(day: int, throughput: float, **changes: Any) -> Run:
    extra = {"started_utc": f"2026-01-{day:02}T02:00:00Z"}
    made: Record = record(f"run {day} {throughput} {changes}", throughput, extra=extra, **changes)
    return Run(made, made.run_id or "")


@pytest.fixture
def measured(make_spec: MakeSpec, tmp_path: Path) -> Callable[..., Measured]:
    def make(*figures: float) -> Measured:
        script = tmp_path / "mine.sh"
        script.write_text(SCRIPT.format(script=script))
        (tmp_path / "figures").write_text("".join(f"{one}\n" for one in figures))
        spec = make_spec(run_model_file=str(script), database="embedded", steps=None, warmup=None)
        return Measured(spec, {}, Terminal(True), False)

    return make


def test_runs_of_the_pinned_image_go_to_no_database(measured: Callable[..., Measured]) -> None:
    night = measured(95.0, 95.2, 95.1, 95.3, 94.9, 95.0, 95.1)
    night.add(1)
    night.add_pairs(3, "sha256:" + 64 * "a")
    throughputs = [[one.record.perf_data["throughput"] for one in side] for side in (night.finished, night.pinned)]
    assert throughputs == [[95.0, 95.1, 95.3, 95.1], [95.2, 94.9, 95.0]]
    assert {one.stored is None for one in night.finished} == {False}
    assert {one.stored for one in night.pinned} == {None}
    assert {one.folder.path.parent.name for one in night.pinned} == {"results-pinned"}
    pairs = nightly._pairs(night, ())
    assert pairs is not None and (len(pairs.base), len(pairs.new)) == (3, 3)
    assert pairs.verdict == "no regression"


def anchor(figure: float = 100.0) -> Anchor:
    usual = [of(day, figure + 0.1 * (day % 3)) for day in range(1, 15)]
    return anchor_of("nightly", usual[:12], usual)


def paired(pinned: float, new: float) -> Comparison:
    """Three runs of each in one night."""
    sides = [[of(21, figure * factor) for factor in (1.0, 1.001, 0.9995)] for figure in (pinned, new + 1e-9)]
    return compare(*sides, [], 2 * RELEVANT, names=["throughput"])


def test_a_pinned_image_that_is_as_slow_blames_the_machine() -> None:
    tonight = [of(20, 95.0), of(20, 95.1), of(20, 95.2)]
    alone = judge(anchor(), tonight, 0.03, (), ["throughput"], 5)
    assert (alone.verdict, int(alone.exit_code)) == ("regression", 1)
    both = judge(anchor(), tonight, 0.03, (), ["throughput"], 5, paired(95.0, 95.0))
    assert (both.verdict, int(both.exit_code)) == ("no regression", 0)
    assert "the pinned image is as slow tonight: the machine changed" in both.sentence
    assert any(note.startswith("in turn with the pinned image: NO REGRESSION of 1%") for note in both.notes)
    assert ElementTree.fromstring(night_as_junit(both).partition("?>")[2]).get("failures") == "0"


def test_a_loss_against_the_pinned_image_is_a_regression() -> None:
    tonight = [of(20, 99.0), of(20, 101.0), of(20, 100.0)]
    assert judge(anchor(), tonight, 0.03, (), ["throughput"], 5).verdict != "regression"
    found = judge(anchor(), tonight, 0.03, (), ["throughput"], 5, paired(100.0, 97.0))
    assert found.verdict == "regression" and "slower than the pinned image tonight" in found.sentence


def test_a_loss_of_the_clocks_is_named() -> None:
    def at(day: int, throughput: float, mhz: float) -> Run:
        telemetry = {"gpus": [{"sm_mhz": {"mean": mhz}}]}
        return of(day, throughput, perf_data={"throughput": throughput, "telemetry": telemetry})

    pinned = [at(day, 100.0 + 0.1 * (day % 3), 1500.0) for day in range(1, 15)]
    tonight = [at(20, figure, 1425.0) for figure in (95.0, 95.1, 95.2)]
    found = judge(anchor_of("nightly", pinned, []), tonight, 0.03, (), ["throughput"], 5)
    assert found.verdict == "regression"
    assert any(note.startswith("slower in seconds, same in cycles of the GPU: clocks") for note in found.notes)


def test_a_gross_loss_is_an_alarm_on_a_slow_machine_too() -> None:
    found = judge(anchor(), [of(20, 14.0)], 0.03, (), ["throughput"], 5, paired(14.0, 14.0))
    assert found.verdict == "regression"


def test_the_image_of_a_record_is_its_id() -> None:
    known = of(1, 1.0, soft_info={"name": "gbench:1", "image_id": "sha256:12"})
    assert nightly._image_id(known) == "sha256:12"
    assert nightly._image_id(of(1, 1.0, soft_info={"name": "host"})) is None


def test_only_docker_has_a_pinned_image(make_spec: MakeSpec) -> None:
    assert pinned_image(make_spec(), anchor(), [of(20, 100.0)]) is None


def test_nights_are_told_apart_by_the_start_of_their_runs() -> None:
    runs = [of(2, 1.0), of(1, 1.0), of(1, 2.0), of(3, 1.0)]
    assert [len(night) for night in in_nights(runs)] == [2, 1, 1]
    assert in_nights([Run(record("undated"), "x")]) == []


def test_pinned_runs_are_no_nights_since() -> None:
    found = anchor()
    assert (found.pinned, len(found.nights), len(found.since)) == (True, 12, 2)
    unpinned = anchor_of("nightly", [], [of(day, 100.0) for day in range(1, 15)])
    assert (unpinned.pinned, len(unpinned.nights), len(unpinned.since)) == (False, 10, 4)


def test_a_figure_of_which_less_is_better() -> None:
    def timed(day: int, p95_s: float) -> Run:
        figures = {"throughput": 100.0, "throughput_unit": "img/s", "step": {"p95_s": p95_s}}
        return of(day, 100.0, perf_data=figures)

    found = anchor_of("nightly", [timed(day, 0.1 + 0.0001 * (day % 3)) for day in range(1, 13)], [])
    slow = judge(found, [timed(20, 0.11), timed(20, 0.1101)], 0.03, (), ["latency-p95"], 5)
    assert slow.verdict == "regression" and "p95 step time +" in slow.sentence
    with pytest.raises(UsageError, match="not every run has energy"):
        judge(found, [timed(20, 0.1)], 0.03, (), ["energy"], 5)


def test_nights_of_other_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="precision"):
        judge(anchor(), [of(20, 100.0, train_type="TF32")], 0.03, (), ["throughput"], 5)
