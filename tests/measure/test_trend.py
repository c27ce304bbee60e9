"""Levels of drawn histories: real changes are found, and a single outlier is not a change."""

from __future__ import annotations

import cProfile

import numpy as np
import pytest

from gbench.measure.trend import MIN_RUNS, Level, levels
from simulated import ar1

HISTORIES = 200


def drawn(runs: int, phi: float = 0.0, noise: float = 0.01) -> np.ndarray:
    return ar1(HISTORIES, runs, phi, noise, np.random.default_rng(1))


@pytest.mark.parametrize("runs", [10, 30, 120])
@pytest.mark.parametrize("phi", [0.0, 0.3])
def test_a_history_without_a_change_has_one_level(runs: int, phi: float) -> None:
    alarms = sum(len(levels(history)) > 1 for history in drawn(runs, phi))
    assert alarms <= 0.06 * HISTORIES


@pytest.mark.parametrize("runs", [20, 60, 365])
def test_a_fall_of_five_percent_is_found_where_it_begins(runs: int) -> None:
    found = 0
    for history in drawn(runs):
        history[runs // 2 :] *= 0.95
        starts = [level.start for level in levels(history)]
        found += len(starts) == 2 and abs(starts[1] - runs // 2) <= 1
    assert found >= 0.9 * HISTORIES


def test_five_runs_at_a_new_level_are_enough() -> None:
    found = 0
    for history in drawn(30):
        history[-5:] *= 0.95
        found += [level.start for level in levels(history)][1:] == [25]
    assert found >= 0.85 * HISTORIES


def test_one_odd_run_is_no_level() -> None:
    alarms = 0
    for history in drawn(30):
        history[12] *= 0.6
        alarms += len(levels(history)) > 1
    assert alarms <= 0.03 * HISTORIES


def test_one_odd_last_run_is_unconfirmed() -> None:
    for history in drawn(30)[:50]:
        history[-1] *= 0.9
        *before, last = levels(history)
        assert len(before) == 1 and (last.start, last.end, last.confirmed) == (29, 30, False)


def test_a_second_run_confirms_it() -> None:
    assert levels([100.0, 101.0] * 10 + [90.0, 90.5])[1:] == [Level(20, 22, 90.25)]


def test_a_level_says_where_it_is_and_how_high() -> None:
    assert levels([100.0] * 10 + [90.0] * 10) == [Level(0, 10, 100.0), Level(10, 20, 90.0)]


def test_levels_closer_than_a_percent_are_one() -> None:
    assert levels([100.0] * 20 + [99.5] * 20) == [Level(0, 40, 99.75)]
    assert len(levels([100.0] * 20 + [98.5] * 20)) == 2


@pytest.mark.parametrize("history", [[], [5.0], [100.0] * 3 + [50.0] * (MIN_RUNS - 4)])
def test_a_short_history_has_one_level_or_none(history: list[float]) -> None:
    assert [(level.start, level.end) for level in levels(history)] == [(0, len(history))] * bool(history)


def test_a_longer_history_takes_no_more_calls() -> None:
    """The neighbours of all runs are looked at together: a database has 100,000 runs."""

    def calls(runs: int) -> int:
        history = 100 + np.random.default_rng(1).normal(0, 1, runs)
        profile = cProfile.Profile()
        profile.runcall(levels, history)
        return sum(entry.callcount for entry in profile.getstats())

    assert calls(2_000) < 1.5 * calls(200)
