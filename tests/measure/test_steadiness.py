"""Warm-up, speeds and drift of a run, on simulated runs with known truth; the large tables: benchmarks/cycles.py."""

from __future__ import annotations

import numpy as np
import pytest

from gbench.measure.bootstrap import MIN_STEPS
from gbench.measure.steadiness import HIDDEN, judge_steadiness
from gbench.measure.steady_state import find_steady_state
from gbench.runfolder.run_result import Drift, Speed
from simulated import ar1, two_states

DRAWS = 150


def test_a_faster_level_at_the_start_is_measured_and_not_steady() -> None:
    times = np.repeat([0.10, 0.11], [100, 400])
    assert find_steady_state(times).warmup_steps == 100  # the first rule left it out
    found = judge_steadiness(times)
    assert (found.warmup_steps, found.settled) == (0, False)
    assert found.reason == (
        "the speed changed, and not as a warm-up does: nothing but the minimum is left out; "
        "speeds seen: 0.1 s in 100 steps, 0.11 s in 400 steps"
    )


def test_a_slower_level_that_returns_is_measured_and_not_steady() -> None:
    found = judge_steadiness(np.repeat([0.11, 0.10, 0.11, 0.10], [50, 200, 50, 200]))
    assert (found.warmup_steps, found.settled) == (0, False)
    assert found.speeds == [Speed(0.11, 100), Speed(0.10, 400)]


def test_a_slower_level_that_does_not_return_is_warm_up() -> None:
    found = judge_steadiness(np.repeat([0.5, 0.12, 0.10], [3, 37, 460]))
    assert (found.warmup_steps, found.settled) == (40, True)
    assert found.reason == "steady from step 41 on; the steps before differed by +20.0%"
    assert found.speeds == [Speed(0.12, 40), Speed(0.10, 460)]


def test_two_clock_states_are_rarely_called_one_speed() -> None:
    """Of 500 steps with a mean dwell of 100: the first rule called 35 % steady, of which 40 % covered the truth."""
    rng = np.random.default_rng(1)
    runs = [two_states(500, 100, 0.1, rng) for _ in range(DRAWS)]
    found = [judge_steadiness(step_s) for step_s, state in runs if 0.1 <= state.mean() <= 0.9]
    assert len(found) > 0.85 * DRAWS
    assert sum(one.settled and len(one.speeds) < 2 for one in found) <= 0.1 * len(found)


@pytest.mark.parametrize(("noise", "phi"), [(0.02, 0.6), (0.05, 0.3)])
def test_a_drift_in_a_short_run_is_never_plainly_steady(noise: float, phi: float) -> None:
    series = ar1(DRAWS, 60, phi, noise, np.random.default_rng(2)) + np.linspace(-0.05, 0.05, 60)
    assert np.mean([find_steady_state(step_s).settled for step_s in series]) > 0.3
    found = [judge_steadiness(step_s) for step_s in series]
    plain = [one for one in found if one.settled and one.drift is not None and one.drift.reach <= HIDDEN]
    assert len(plain) <= 0.05 * DRAWS
    assert all("the noise would hide a drift of" in one.reason for one in found if one.settled and one not in plain)


def test_the_interval_of_the_drift_covers_it() -> None:
    series = ar1(DRAWS, 100, 0.6, 0.02, np.random.default_rng(3)) + np.linspace(-0.05, 0.05, 100)
    drifts = [judge_steadiness(step_s, maximum=0).drift for step_s in series]
    assert np.mean([drift is not None and drift.low <= 0.1 <= drift.high for drift in drifts]) >= 0.9


def test_a_sure_drift_is_named_with_its_interval() -> None:
    times = ar1(1, 100, 0.0, 0.01, np.random.default_rng(4))[0] + np.linspace(0, 0.03, 100)
    found = judge_steadiness(times)
    assert found.drift is not None and not found.settled and found.drift.text in found.reason
    assert Drift(0.09, 0.07, 0.11).text == "+9.0 %, +7.0 to +11.0 %"


@pytest.mark.parametrize("phi", [0.0, 0.8])
def test_a_steady_run_is_steady(phi: float) -> None:
    found = [judge_steadiness(step_s) for step_s in ar1(DRAWS, 200, phi, 0.02, np.random.default_rng(5))]
    assert np.mean([one.settled and one.warmup_steps == 0 for one in found]) >= 0.95


def test_a_noisy_run_is_never_plainly_steady() -> None:
    found = judge_steadiness(ar1(1, 25, 0.0, 0.5, np.random.default_rng(6))[0].clip(0.1))
    assert found.settled and found.reason.startswith("no change seen from step 1 on, but the noise would hide a drift")


def test_few_and_constant_steps() -> None:
    few = judge_steadiness(np.full(MIN_STEPS - 1, 0.1))
    assert (few.settled, few.drift, few.speeds) == (False, None, []) and "too few to tell" in few.reason
    constant = judge_steadiness(np.full(100, 0.1))
    assert constant.reason == "steady from step 1 on" and constant.speeds == [Speed(0.1, 100)]
    late = judge_steadiness(np.repeat([0.2, 0.1], [60, 40]), minimum=5, maximum=50)
    assert (late.warmup_steps, late.settled) == (50, False) and "warm-up may take 50 steps" in late.reason


def test_a_drift_in_the_last_few_steps_has_no_figure() -> None:
    found = judge_steadiness([*[0.3] * 15, *np.linspace(0.2, 0.1, 5)], maximum=20)
    assert (found.reason, found.drift, found.settled) == ("step time drifts to the end", None, False)


def test_a_steady_tail_of_few_steps_is_said_to_be_short() -> None:
    found = judge_steadiness(np.repeat([0.2, 0.1], [25, 5]), maximum=28)
    assert found.settled and found.reason.startswith("no change seen from step 26 on, in only 5 steps")
    assert found.drift is None
