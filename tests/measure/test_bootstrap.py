"""The interval of throughput on series whose true throughput is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gbench.measure.bootstrap import MIN_STEPS, next_check, precise_enough, throughput_interval
from gbench.measure.paired_ratio import t_quantile
from gbench.runfolder.run_result import BOOTSTRAP_OF_CYCLES, Interval
from simulated import Floats, ar1, lognormal

DRAWS = 1000


def interval_of(step_s: Floats, images: Floats | int = 8, level: float = 0.95, seed: int = 0) -> Interval:
    interval = throughput_interval(step_s, images, level, seed)
    assert interval is not None
    return interval


def covers(series: Floats, truth: float) -> float:
    """Share of the series whose interval holds the true throughput."""
    intervals = [interval_of(step_s) for step_s in series]
    return sum(interval.low <= truth <= interval.high for interval in intervals) / len(series)


def naive_covers(series: Floats) -> float:
    """The same for Student's t, which assumes independent steps."""
    steps = series.shape[1]
    half_width = t_quantile(0.975, steps - 1) * series.std(axis=1, ddof=1) / math.sqrt(steps)
    return float(np.mean(np.abs(series.mean(axis=1) - 1) <= half_width))


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6, 0.8])
def test_interval_covers_95_percent_and_the_naive_one_does_not(phi: float) -> None:
    series = ar1(DRAWS, 200, phi, 0.05, np.random.default_rng(1))
    assert 0.93 <= covers(series, 8.0) <= 0.97
    assert (0.93 <= naive_covers(series) <= 0.97) == (phi == 0.0)


def test_interval_covers_100_autocorrelated_skewed_steps() -> None:
    assert 0.93 <= covers(lognormal(DRAWS, 100, 0.8, 0.05, np.random.default_rng(2)), 8.0) <= 0.97


def test_interval_covers_the_ratio_of_unequal_steps() -> None:
    rng = np.random.default_rng(3)
    images = np.where(np.arange(130) % 13 == 12, 16.0, 32.0)  # an epoch's last batch is half full
    series = ar1(DRAWS, 130, 0.6, 0.05, rng) * images
    assert 0.93 <= np.mean([i.low <= 1.0 <= i.high for i in (interval_of(s, images) for s in series)]) <= 0.97


def test_half_full_batches_in_half_the_time_are_no_uncertainty() -> None:
    images = np.where(np.arange(130) % 13 == 12, 16.0, 32.0)
    exact = interval_of(images * 0.01, images)
    assert (exact.low, exact.high) == (pytest.approx(100.0), pytest.approx(100.0))
    assert exact.half_width_share < 1e-9


def test_constant_steps_have_an_interval_without_width() -> None:
    assert interval_of(np.full(50, 0.25)).low == interval_of(np.full(50, 0.25)).high == 32.0


@pytest.mark.parametrize("exact", [(0.125, 0.25), (0.1, 0.2), (0.1, 0.1, 0.1, 0.3)])
def test_a_repeating_pattern_is_told_more_exactly(exact: tuple[float, ...]) -> None:
    step_s = np.tile(exact, 50)
    interval = interval_of(step_s)
    truth = 8 / float(np.mean(exact))
    assert interval.low <= truth * (1 + 1e-8) and interval.high >= truth * (1 - 1e-8)
    assert interval.half_width_share < 1.96 * step_s.std() / step_s.mean() / math.sqrt(len(step_s))


def test_autocorrelation_widens_the_interval() -> None:
    rng = np.random.default_rng(4)
    independent, waves = ([interval_of(step_s) for step_s in ar1(50, 2000, phi, 0.05, rng)] for phi in (0.0, 0.8))
    widening = np.median([i.half_width_share for i in waves]) / np.median([i.half_width_share for i in independent])
    assert widening == pytest.approx(3, rel=0.15)  # sqrt(1.8 / 0.2)
    assert np.median([i.effective_steps for i in independent]) > 1900
    assert np.median([i.effective_steps for i in waves]) == pytest.approx(2000 / 9, rel=0.15)


def test_blocks_grow_with_what_prewhitening_leaves() -> None:
    rng = np.random.default_rng(5)
    noise = 0.05 * rng.standard_normal(256)
    plateaus = 0.05 * np.repeat(rng.standard_normal(8), 32)
    assert interval_of(1 + noise).block_length == 16  # at least the square root of the groups
    assert interval_of(1 + noise + plateaus).block_length > 20


def test_slow_waves_of_a_long_run_are_seen_as_in_a_short_one() -> None:
    rng = np.random.default_rng(6)
    wave = np.repeat(ar1(1, 500, 0.6, 0.05, rng)[0], 40)  # a wave 40 steps long
    truth = 0.05 * math.sqrt(4 / 500) * 1.96
    assert interval_of(wave + 0.05 * rng.standard_normal(20_000)).half_width_share == pytest.approx(truth, rel=0.25)


def test_interval_is_a_pure_function_of_data_and_seed() -> None:
    step_s = ar1(1, 300, 0.5, 0.05, np.random.default_rng(7))[0]
    assert interval_of(step_s) == interval_of(step_s.copy())
    assert interval_of(step_s, seed=1) != interval_of(step_s)
    assert interval_of(step_s, seed=1).half_width_share == pytest.approx(interval_of(step_s).half_width_share, rel=0.1)


def test_level_orders_the_widths_and_a_rate_is_never_negative() -> None:
    step_s = np.random.default_rng(8).pareto(1.1, 30) + 0.01  # as wild as it gets
    widths = [interval_of(step_s, level=level) for level in (0.5, 0.9, 0.99)]
    assert widths[0].high < widths[1].high < widths[2].high
    assert 0 < widths[2].low < widths[1].low < widths[0].low


@pytest.mark.parametrize("steps", [0, 1, 2, MIN_STEPS - 1])
def test_too_few_steps_have_no_interval(steps: int) -> None:
    assert throughput_interval(np.linspace(0.1, 0.2, steps), 8) is None


def test_fewest_steps_have_one() -> None:
    step_s = ar1(1, MIN_STEPS, 0.0, 0.05, np.random.default_rng(9))[0]
    interval = interval_of(step_s)
    assert interval.low < 8 / step_s.mean() < interval.high


def test_precise_enough_waits_for_the_half_width_asked_for() -> None:
    step_s = ar1(1, 20_000, 0.6, 0.05, np.random.default_rng(10))[0]
    checked, steps = [], next_check(0)
    while not precise_enough(step_s[:steps], 8, 0.005):
        checked.append(steps)
        steps = next_check(steps)
    assert interval_of(step_s[:steps]).half_width_share <= 0.005 < interval_of(step_s[: checked[-1]]).half_width_share
    assert 800 < steps < 3000  # (1.96 * 0.05 / 0.005)^2 * 4 = 1537
    assert len(checked) < 40


def test_precise_enough_does_not_trust_the_first_steps() -> None:
    assert not precise_enough(np.full(99, 0.1), 8, 0.01)
    assert precise_enough(np.full(100, 0.1), 8, 0.01)


def test_what_returns_in_every_cycle_is_no_uncertainty() -> None:
    """A slow step in each of 4 epochs of 50: with the cycle known, at least 5 times as narrow, and still right."""
    series = ar1(200, 200, 0.3, 0.02, np.random.default_rng(10))
    series[:, 49::50] += 5.0
    known = [throughput_interval(step_s, 1, cycle=50) for step_s in series]
    widths = [np.median([one.half_width_share for one in some if one]) for some in (known, map(interval_of, series))]
    assert widths[1] > 5 * widths[0]
    assert np.mean([one is not None and one.low <= 1 / 1.1 <= one.high for one in known]) >= 0.92
    assert known[0] is not None and known[0].method == BOOTSTRAP_OF_CYCLES


def test_a_step_that_varies_between_cycles_is_uncertain() -> None:
    rng = np.random.default_rng(11)
    series = ar1(200, 200, 0.3, 0.02, rng)
    series[:, 49::50] += 5.0 * np.exp(0.1 * rng.standard_normal((200, 4)) - 0.005)
    found = [throughput_interval(step_s, 1, cycle=50) for step_s in series]
    assert np.mean([one is not None and one.low <= 1 / 1.1 <= one.high for one in found]) >= 0.88


def test_where_nothing_returns_the_cycle_changes_nothing() -> None:
    step_s = ar1(1, 200, 0.3, 0.05, np.random.default_rng(12))[0]
    assert throughput_interval(step_s, 8, cycle=50) == throughput_interval(step_s, 8)


def test_an_exact_cycle_has_no_width() -> None:
    interval = throughput_interval(np.tile([0.1, 0.1, 0.1, 0.3], 50), 8, cycle=4)
    assert interval is not None and interval.half_width_share < 1e-9
