"""The rates of the gates are those of their verdicts on the same draws; a calibration is used where it belongs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn_records import record
from gbench.cndb.record import Record
from gbench.compare import gate
from gbench.compare.change import change
from gbench.compare.comparison import compare
from gbench.compare.differences import configuration
from gbench.compare.gate import calibration_of, compare_rates, figures_of, key_of, night_rates
from gbench.compare.metrics import THROUGHPUT
from gbench.compare.nightly import anchor_of
from gbench.compare.nightly import judge as judge_of_night
from gbench.compare.sides import Run
from gbench.compare.verdict import judge
from gbench.machine.calibration import CalibratedRun, Calibration, GateRates, calibrations
from gbench.measure.nights import judge_night

MACHINE = {"machine": {"host_name": "here", "key": "a" * 16}}
SPEC = {"spec": {"config": {"schedule": {"max_steps": 50}}}}
DRAWS = 60


def drawn(count: int, sd: float, seed: int = 1) -> tuple[CalibratedRun, ...]:
    noise = np.random.default_rng(seed).standard_normal(count)
    return tuple(CalibratedRun(throughput=float(100 * np.exp(sd * one)), error_share=0.001) for one in noise)


def run(name: str, throughput: float, **extra: Any) -> Record:
    perf = {"throughput": throughput, "throughput_unit": "img/s"}
    return record(run_id=name, perf_data=perf, extra={**MACHINE, **SPEC, **extra})


def calibration(sd: float = 0.004, **changes: Any) -> Calibration:
    values = {"key": key_of(run("a", 1.0)), "title": "t", "host_name": "here", "made_utc": "2026-01-01T00:00:00Z"}
    return Calibration(**{**values, "runs": drawn(24, sd), **changes})


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("sd", [0.004, 0.02])
def test_compares_rates_are_those_of_its_verdicts(count: int, sd: float) -> None:
    runs = drawn(24, sd)
    rates = compare_rates(runs, count, count, 0.03, DRAWS)
    assert rates is not None
    figures, places = figures_of(runs), gate._places(len(runs), [count, count], DRAWS)

    def found(loss: float) -> float:
        alarms = 0
        for base, new in zip(*places, strict=True):
            slow = [CalibratedRun(throughput=runs[one].throughput * (1 - loss), error_share=0.001) for one in new]
            both = change([figures[one] for one in base], figures_of(slow), True, [], 0.03, figures)
            alarms += judge([(THROUGHPUT, both)], 0.03)[0].verdict == "regression"
        return alarms / DRAWS

    assert found(0.0) == rates.false_alarms
    assert found(rates.finds * 1.01) >= 0.8 > found(rates.finds * 0.97)


def test_nightlys_rates_are_those_of_its_verdicts() -> None:
    runs = drawn(24, 0.01)
    rates = night_rates(runs, 3, DRAWS)
    assert rates is not None
    tonight, *pinned = gate._places(len(runs), [3] * 11, DRAWS)

    def found(loss: float) -> float:
        alarms = 0
        for draw in range(DRAWS):
            anchor = [[runs[place].throughput for place in night[draw]] for night in pinned]
            last = [runs[place].throughput * (1 - loss) for place in tonight[draw]]
            alarms += judge_night(anchor, [last], 0.03).verdict == "regression"
        return alarms / DRAWS

    assert found(0.0) == rates.false_alarms
    assert found(rates.finds * 1.01) >= 0.8 > found(rates.finds * 0.97)


def test_too_few_runs_give_no_rate() -> None:
    assert compare_rates(drawn(8, 0.01), 5, 5, 0.03, DRAWS) is None
    assert night_rates(drawn(8, 0.01), 5, DRAWS) is None
    assert compare_rates(drawn(8, 0.01), 4, 4, 0.03, DRAWS) is not None
    assert night_rates(drawn(8, 0.01), 4, DRAWS) is not None
    assert compare_rates(drawn(8, 0.01), 1, 4, 0.03, DRAWS) is not None
    many = compare_rates(drawn(8, 0.01), 30, 2, 0.03, DRAWS)  # BASE is then cut to what was measured
    assert many is not None and many.runs == 2


def test_rates_in_words() -> None:
    words = str(GateRates(runs=5, false_alarms=0.004, finds=0.0182))
    assert words == "on this machine: 0.4 % false alarms, finds 1.8 % with 5 runs"
    assert "below 0.1 % false alarms" in str(GateRates(runs=1, false_alarms=0, finds=0.02))


def test_it_is_used_in_place_of_the_assumed_spread() -> None:
    sides = [Run(run("a", 100.0), "a")], [Run(run("b", 97.0), "b")]
    assumed = compare(*sides, [], 0.03, names=["throughput"])
    known = compare(*sides, [], 0.03, names=["throughput"], calibration=calibration())
    assert (assumed.verdict, known.verdict) == ("inconclusive", "regression")
    assert known.judged[0].change.reading.source == "calibration"
    assert "; on this machine: " in known.sentence and known.sentence.endswith(" with 1 run")
    given = compare(*sides, [], 0.03, names=["throughput"], run_sd=0.05, calibration=calibration())
    assert given.judged[0].change.reading.source == "assumed"


def test_a_night_of_one_run_varies_as_measured() -> None:
    nights = [
        Run(run(f"{day}", 100.0 + day % 3 / 10, started_utc=f"2026-01-{day:02}T00:00:00Z"), "") for day in range(1, 13)
    ]
    tonight = [Run(run("tonight", 96.0, started_utc="2026-02-01T00:00:00Z"), "")]
    anchor = anchor_of("nightly", nights, [])
    alone = judge_of_night(anchor, tonight, 0.03, (), ["throughput"], 5)
    known = judge_of_night(anchor, tonight, 0.03, (), ["throughput"], 5, calibration=calibration(0.02))
    widths = [night.figures[0].judged.high - night.figures[0].judged.low for night in (alone, known)]  # type: ignore[operator]
    assert widths[1] > 3 * widths[0]
    assert "; on this machine: " in known.sentence and "on this machine" not in alone.sentence


def test_only_one_of_this_machine_and_configuration_is_used(tmp_path: Path) -> None:
    path, warned = calibration().write(tmp_path), list[str]()
    own = [run("a", 1.0), run("b", 2.0)]
    assert calibration_of(own, tmp_path, warned.append) is not None
    same_length = run("b", 2.0, spec={"config": {"schedule": {"max_steps": 50}, "data": {"workers": 2}}})
    assert calibration_of([own[0], same_length], tmp_path, warned.append) is not None
    others: list[dict[str, Any]] = [
        {"machine": {"host_name": "there", "key": "b" * 16}},
        {"machine": None},
        {"spec": {"config": {"schedule": {"max_steps": 60}}}},
        {"env": {"OMP_NUM_THREADS": "1"}},
    ]
    for other in others:
        assert calibration_of([own[0], run("b", 2.0, **other)], tmp_path, warned.append) is None
        assert calibration_of([run("b", 2.0, **other)], tmp_path, warned.append) is None
    assert warned == []
    foreign = calibration(key={**(key_of(own[0]) or {}), "machine": "b" * 16})
    path.write_text(foreign.model_dump_json())
    assert calibration_of(own, tmp_path, warned.append) is None
    path.write_text("{")
    assert calibration_of(own, tmp_path, warned.append) is None
    assert "is the calibration of another machine or configuration; remove it, and run" in warned[0]
    assert "is not a calibration that this gbench reads" in warned[1]
    assert [str(one) for one in calibrations(tmp_path)] == [warned[1].partition("left out: ")[2]]


def test_the_key_is_machine_configuration_length_and_variables() -> None:
    one = run("a", 1.0, env={"A": "1"})
    common = {"machine": "a" * 16, "configuration": configuration(one), "schedule": {"max_steps": 50}}
    assert key_of(one) == {**common, "env": {"A": "1"}}
    assert key_of(run("a", 2.0)) == {**common, "env": {}}
    for unsaid in ({"machine": None}, {"machine": {"key": 5}}, {"spec": None}, {"spec": {"config": {"schedule": 50}}}):
        assert key_of(run("a", 1.0, **unsaid)) is None


def test_a_variable_makes_another_configuration(tmp_path: Path) -> None:
    own, other = (run("a", 1.0, env={"OMP_NUM_THREADS": count}) for count in "12")
    calibration(key=key_of(own)).write(tmp_path)
    found = [calibration_of(runs, tmp_path, print) is not None for runs in ([own, own], [other], [run("a", 1.0)])]
    assert found == [True, False, False]
