"""Verdicts on nights: the rate of false alarms, losses that are found, and what is always or never an alarm."""

from __future__ import annotations

import numpy as np
import pytest

from gbench.measure.nights import ALARM, MIN_NIGHTS, RESOLUTION, judge_night, shifts_of
from simulated import ar1

ANCHOR = [[100.0, 100.2, 99.9], [99.6, 99.8, 99.5], [100.4, 100.5, 100.1], [100.1, 99.9, 100.0], [99.8, 99.7, 99.9]] * 2
THRESHOLD = 0.03


def found(draws: int, nights: int, sd: float, phi: float, losses: np.ndarray | float) -> np.ndarray:
    """Whether each night after 10 pinned and 50 usual ones is an alarm [draws, nights]; losses: of each night."""
    medians = np.log(ar1(draws, MIN_NIGHTS + 50 + nights, phi, sd, np.random.default_rng(1)))
    medians[:, -nights:] += np.log1p(-np.broadcast_to(losses, nights))
    alarms = []
    for last in range(MIN_NIGHTS + 51, medians.shape[1] + 1):
        one = shifts_of(medians[:, :MIN_NIGHTS], medians[:, MIN_NIGHTS:last])
        alarms.append(((one.chance < 2 * ALARM) & (one.shift < 0)).any(axis=1))
    return np.stack(alarms, axis=1)


@pytest.mark.parametrize("sd", [0.005, 0.01])
def test_false_alarms_are_below_one_a_year(sd: float) -> None:
    alarms = found(100, 365, sd, 0.0, 0.0)
    assert (alarms & ~np.pad(alarms, ((0, 0), (1, 0)))[:, :-1]).sum() / 100 < 0.7


def test_false_alarms_of_nights_that_go_together() -> None:
    alarms = found(100, 365, 0.005, 0.3, 0.0)
    assert (alarms & ~np.pad(alarms, ((0, 0), (1, 0)))[:, :-1]).sum() / 100 < 1.2


def test_losses_are_found() -> None:
    assert found(300, 1, 0.005, 0.0, 0.05).mean() > 0.99
    assert found(300, 1, 0.005, 0.0, 0.02).mean() > 0.45
    assert found(300, 4, 0.005, 0.0, 0.02).any(axis=1).mean() > 0.9
    assert found(300, 3, 0.01, 0.0, 0.05).any(axis=1).mean() > 0.9


def test_a_creep_is_found_before_it_is_two_percent() -> None:
    creep = 0.001 * np.arange(1, 21)
    assert found(300, 20, 0.005, 0.0, creep).any(axis=1).mean() > 0.95


def test_a_night_like_the_others_is_no_regression() -> None:
    night = judge_night(ANCHOR, [[99.9, 100.3, 100.0]], THRESHOLD)
    assert night.verdict == "no regression" and night.change == pytest.approx(0, abs=0.005)


def test_a_loss_lasts_until_it_is_mended() -> None:
    usual, slow = [100.0, 100.1, 99.9], [95.0, 95.1, 94.9]
    assert judge_night(ANCHOR, [usual, slow], THRESHOLD).verdict == "regression"
    night = judge_night(ANCHOR, [usual, slow, slow, slow], THRESHOLD)
    assert (night.verdict, night.nights) == ("regression", 3)
    assert judge_night(ANCHOR, [usual, slow, slow, slow, usual], THRESHOLD).verdict == "no regression"


def test_one_run_alone_is_unconfirmed() -> None:
    night = judge_night(ANCHOR, [[100.0], [90.0]], THRESHOLD)
    assert night.verdict == "inconclusive" and "unconfirmed" in night.reason
    assert judge_night(ANCHOR, [[100.0], [90.0, 90.1]], THRESHOLD).verdict == "regression"


def test_one_odd_run_of_three_is_no_regression() -> None:
    assert judge_night(ANCHOR, [[100.0, 90.0, 100.1]], THRESHOLD).verdict != "regression"


def test_an_improvement_is_none_until_it_is_relevant() -> None:
    assert judge_night(ANCHOR, [[105.0, 105.1, 105.2]], THRESHOLD).verdict == "improved"
    assert judge_night([[100.0]] * 10, [[100.3]] * 50, THRESHOLD).verdict == "no regression"


@pytest.mark.parametrize("anchor", [ANCHOR, ANCHOR[:1], [[100.0], [20.0], [180.0]]])
def test_a_fall_by_86_percent_is_always_an_alarm(anchor: list[list[float]]) -> None:
    assert judge_night(anchor, [[14.0]], THRESHOLD).verdict == "regression"


def test_few_nights_and_none() -> None:
    assert judge_night(ANCHOR[:9], [[90.0] * 3], THRESHOLD).verdict == "too few nights"
    assert judge_night([], [[90.0] * 3], THRESHOLD).change is None


def test_runs_that_disagree_are_inconclusive() -> None:
    night = judge_night(ANCHOR, [[100.0, 92.0, 108.0]], THRESHOLD)
    assert night.verdict == "inconclusive" and "a loss of 3%" in night.reason


def test_a_noisy_night_counts_less_in_longer_levels() -> None:
    """Nights without a spread have RESOLUTION; what tonight's own 5 % add is divided by the nights of a level."""
    found = shifts_of(np.zeros(MIN_NIGHTS), np.zeros(4), 0.05)
    between = RESOLUTION**2 * (1 / np.arange(1, 5) + 1 / MIN_NIGHTS)
    own = (0.05**2 - RESOLUTION**2) / np.arange(1, 5) ** 2
    assert found.error == pytest.approx(np.sqrt(between + own))
    assert found.dof == pytest.approx(2 / 3 * (MIN_NIGHTS + 3 - 1))


def test_nights_that_do_not_differ_at_all_are_judged() -> None:
    same = [[100.0]] * 12
    assert judge_night(same[:10], same, THRESHOLD).verdict == "no regression"
    assert judge_night(same[:10], [*same, [96.0, 96.0]], THRESHOLD).verdict == "regression"
