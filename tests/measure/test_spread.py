"""Spread of step times, and where the variance of repeated runs comes from."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from gbench.measure.spread import RunMean, repeats_variance, spread, variance


def test_percentiles_interpolate_between_steps() -> None:
    found = spread([0.1 * step for step in range(101)])
    assert (found.p5_s, found.median_s, found.p95_s, found.p99_s) == pytest.approx((0.5, 5.0, 9.5, 9.9))
    assert found.mean_s == pytest.approx(5.0)
    assert found.std_s == pytest.approx(np.std(0.1 * np.arange(101), ddof=1))


def test_one_step_has_no_spread() -> None:
    assert (spread([0.3]).std_s, spread([0.3]).p95_s) == (0.0, 0.3)


def test_few_steps_have_no_99th_percentile() -> None:
    assert spread([0.1] * 99).p99_s is None
    assert spread([0.1] * 100).p99_s == spread([0.1] * 99, tail=1).p99_s == 0.1


def test_variance_components_of_a_textbook_layout() -> None:
    """Two runs of two steps, (1, 3) and (5, 9): MSW 5, MSB 25, between (25 - 5) / 2."""
    found = repeats_variance([RunMean(2.0, 2.0, 2), RunMean(7.0, 8.0, 2)])
    assert (found.mean, found.within_variance, found.between_variance) == (4.5, 5.0, pytest.approx(10.0))


def test_components_are_recovered_from_unequal_simulated_runs() -> None:
    rng = np.random.default_rng(1)
    runs = []
    for _ in range(400):
        steps = rng.normal(rng.normal(100.0, 2.0), 5.0, rng.integers(20, 60))
        runs.append(RunMean(float(steps.mean()), float(steps.var(ddof=1)), len(steps)))
    found = repeats_variance(runs)
    assert found.within_variance == pytest.approx(25.0, rel=0.05)
    assert found.between_variance == pytest.approx(4.0, rel=0.2)


def test_interval_over_runs_covers_and_of_steps_alone_would_not() -> None:
    """5 runs of 200 steps: pooled steps don't show the variance between runs."""
    rng, hits, pooled_hits = np.random.default_rng(2), 0, 0
    for _ in range(1000):
        steps = rng.normal(rng.normal(100.0, 2.0, (5, 1)), 5.0, (5, 200))
        found = repeats_variance([RunMean(run.mean(), run.var(ddof=1), 200) for run in steps])
        assert found.low is not None and found.high is not None
        hits += found.low <= 100.0 <= found.high
        pooled_hits += abs(steps.mean() - 100.0) <= 1.96 * steps.std() / 1000**0.5
    assert 0.93 <= hits / 1000 <= 0.97
    assert pooled_hits / 1000 < 0.6


def test_runs_explained_by_their_steps_have_no_variance() -> None:
    assert repeats_variance([RunMean(10.0, 4.0, 50), RunMean(10.01, 4.0, 50)]).between_variance == 0.0


def test_one_run_says_nothing_about_others() -> None:
    found = repeats_variance([RunMean(10.0, 4.0, 50)])
    assert (found.runs, found.mean, found.within_variance) == (1, 10.0, 4.0)
    assert (found.between_variance, found.low, found.high) == (None, None, None)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_variance_is_the_standard_librarys(scale: float) -> None:
    values = np.random.default_rng(1).lognormal(0, 2, 500) * scale
    for count in (2, 3, 500):
        assert variance(values[:count]) == statistics.variance(values[:count].tolist())
    assert variance(np.full(9, 0.1)) == 0.0
