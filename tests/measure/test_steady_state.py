"""Where warm-up ends, on simulated runs whose truth is known; 500 draws where a rate is claimed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gbench.measure.steady_state import MIN_STEPS, SteadyState, find_steady_state
from simulated import Floats, ar1

DRAWS = 500


def share(series: Floats, judge: Callable[[SteadyState], bool]) -> float:
    return sum(judge(find_steady_state(step_s)) for step_s in series) / len(series)


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.8])
def test_a_run_that_is_steady_from_the_start_has_no_warm_up(phi: float) -> None:
    series = ar1(DRAWS, 200, phi, 0.05, np.random.default_rng(1))
    assert share(series, lambda steady: steady.settled and steady.warmup_steps == 0) >= 0.95


@pytest.mark.parametrize(("slow", "phi"), [(1, 0.6), (3, 0.0), (3, 0.8), (20, 0.0), (20, 0.8)])
def test_slow_first_steps_are_found_within_two_steps(slow: int, phi: float) -> None:
    series = ar1(DRAWS, 200, phi, 0.03, np.random.default_rng(2))
    series[:, :slow] += 0.3
    assert share(series, lambda steady: steady.settled and abs(steady.warmup_steps - slow) <= 2) >= 0.95


def test_a_decaying_warm_up_ends_when_little_of_it_is_left() -> None:
    series = ar1(DRAWS, 500, 0.3, 0.03, np.random.default_rng(3))
    series += 0.5 * np.exp(-np.arange(500) / 20)
    left = 0.5 * np.exp(-np.arange(501) / 20)
    assert share(series, lambda steady: steady.settled and 0.001 < left[steady.warmup_steps] < 0.08) >= 0.95


@pytest.mark.parametrize(("phi", "drift"), [(0.0, -0.1), (0.6, 0.1)])
def test_a_drift_to_the_end_is_not_settled(phi: float, drift: float) -> None:
    series = ar1(DRAWS, 500, phi, 0.02, np.random.default_rng(4)) + np.linspace(0, drift, 500)
    assert share(series, lambda steady: not steady.settled) >= 0.95


def test_a_drift_too_small_for_levels_to_show_is_named() -> None:
    series = ar1(DRAWS, 2000, 0.3, 0.01, np.random.default_rng(5)) + np.linspace(0, 0.03, 2000)
    assert share(series, lambda steady: not steady.settled) >= 0.95
    steady = find_steady_state(ar1(1, 2000, 0.0, 0.02, np.random.default_rng(5))[0] + np.linspace(0, 0.03, 2000))
    assert "drifts: +" in steady.reason


def test_a_drift_that_nobody_would_notice_is_settled() -> None:
    series = ar1(DRAWS, 2000, 0.3, 0.01, np.random.default_rng(6)) + np.linspace(0, 0.005, 2000)
    assert share(series, lambda steady: steady.settled and steady.warmup_steps == 0) >= 0.95


@pytest.mark.parametrize("phi", [0.0, 0.6])
def test_a_late_change_of_level_is_not_settled_and_named(phi: float) -> None:
    series = ar1(DRAWS, 300, phi, 0.02, np.random.default_rng(7))
    series[:, 210:] += 0.1
    assert share(series, lambda steady: not steady.settled) >= 0.95
    exact = find_steady_state(np.repeat([0.1, 0.11], [210, 90]))
    assert (exact.warmup_steps, exact.settled) == (150, False)
    assert exact.reason == (
        "not steady before step 211 of 300, where warm-up may take 150 steps; "
        "the last change of level was +10.0% at step 211"
    )


def test_a_short_disturbance_does_not_end_the_steady_state() -> None:
    series = ar1(DRAWS, 500, 0.3, 0.02, np.random.default_rng(8))
    series[:, 300:312] += 0.5
    assert share(series, lambda steady: steady.settled and steady.warmup_steps == 0) >= 0.95


def test_a_change_in_the_last_few_steps_is_reported() -> None:
    steady = find_steady_state(np.repeat([0.1, 0.11], [480, 20]))
    assert steady == SteadyState(0, True, "steady from step 1 on; 20 steps since were at another level")


@pytest.mark.parametrize("phi", [0.0, 0.6])
def test_single_slow_steps_do_not_matter(phi: float) -> None:
    rng = np.random.default_rng(9)
    series = ar1(DRAWS, 200, phi, 0.02, rng)
    series += rng.choice([0.0, 0.5, 5.0], series.shape, p=[0.97, 0.02, 0.01])
    series[:, 0] = 1.0
    assert share(series, lambda steady: steady.settled and steady.warmup_steps <= 1) >= 0.95


def test_single_slow_steps_do_not_hide_a_warm_up() -> None:
    series = ar1(DRAWS, 300, 0.3, 0.02, np.random.default_rng(14))
    series[:, :30] += 0.1
    series[:, 40::25] += 5.0
    assert share(series, lambda steady: steady.settled and abs(steady.warmup_steps - 30) <= 2) >= 0.95


def test_warm_up_before_steps_without_any_noise_is_exact() -> None:
    steady = find_steady_state(np.repeat([0.5, 0.2, 0.1], [1, 6, 93]))
    assert (steady.warmup_steps, steady.settled) == (7, True)
    assert steady.reason == "steady from step 8 on; the steps before differed by +100.0%"


def test_constant_steps_are_steady() -> None:
    assert find_steady_state(np.full(100, 0.1)) == SteadyState(0, True, "steady from step 1 on")


def test_an_exact_ramp_is_not_settled() -> None:
    assert not find_steady_state(np.linspace(0.1, 0.2, 100)).settled


def test_minimum_is_left_out_whatever_it_looks_like() -> None:
    times = ar1(1, 200, 0.3, 0.02, np.random.default_rng(10))[0]
    assert find_steady_state(times, minimum=7) == SteadyState(7, True, "steady from step 8 on")
    times[:7] = 9.0
    assert find_steady_state(times, minimum=7).warmup_steps == 7
    times[:12] = 9.0
    assert find_steady_state(times, minimum=7).warmup_steps == 12


def test_warm_up_beyond_the_maximum_is_not_settled() -> None:
    times = ar1(1, 200, 0.0, 0.02, np.random.default_rng(11))[0]
    times[:40] += 0.5
    assert find_steady_state(times).warmup_steps == 40
    steady = find_steady_state(times, maximum=30)
    assert (steady.warmup_steps, steady.settled) == (30, False)
    assert "warm-up may take 30 steps" in steady.reason


def test_a_first_outlier_counts_against_the_maximum_too() -> None:
    times = ar1(1, 100, 0.0, 0.01, np.random.default_rng(13))[0]
    times[0] = 1.05
    assert find_steady_state(times).warmup_steps == 1
    steady = find_steady_state(times, maximum=0)
    assert steady == SteadyState(0, False, "not steady before step 2 of 100, where warm-up may take 0 steps")


@pytest.mark.parametrize("steps", range(MIN_STEPS))
def test_too_few_steps_are_said_to_be_too_few(steps: int) -> None:
    steady = find_steady_state(np.linspace(0.2, 0.1, steps), minimum=3)
    assert (steady.warmup_steps, steady.settled) == (min(3, steps), False)
    assert "too few to tell" in steady.reason


def test_twenty_steps_are_enough_to_see_a_compile() -> None:
    times = ar1(1, MIN_STEPS, 0.0, 0.02, np.random.default_rng(12))[0]
    times[:3] = [30.0, 2.0, 1.5]
    assert find_steady_state(times).warmup_steps == 3


def test_maximum_below_minimum_is_refused() -> None:
    with pytest.raises(ValueError, match=r"maximum \(2\) is below minimum \(3\)"):
        find_steady_state([0.1] * 30, minimum=3, maximum=2)


@pytest.mark.parametrize(
    ("times", "bounds", "reason"),
    [
        ([0.1] * 19, (2, None), "17 steps after the first 2 are too few to tell; 20 are needed"),
        ([0.1] * 22, (2, None), "steady from step 3 on"),
        (
            [0.2] * 60 + [0.1] * 40,
            (0, 50),
            (
                "not steady before step 61 of 100, where warm-up may take 50 steps; "
                "the last change of level was -50.0% at step 61"
            ),
        ),
        ([0.2] * 30 + [0.1] * 70, (0, None), "steady from step 31 on; the steps before differed by +100.0%"),
        ([*np.linspace(0.1, 0.104, 100)], (0, None), "step time still drifts: +2.4% over the last 63 steps"),
    ],
)
def test_the_reason_is_a_whole_sentence(times: list[float], bounds: tuple[int, int | None], reason: str) -> None:
    assert find_steady_state(times, *bounds).reason == reason


def test_a_bound_below_the_minimum_is_refused() -> None:
    find_steady_state([0.1] * 30, 5, 5)
    with pytest.raises(ValueError, match=r"^maximum \(4\) is below minimum \(5\)$"):
        find_steady_state([0.1] * 30, 5, 4)
