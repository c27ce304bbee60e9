"""When a run ends by its precision or its time, on a fake clock and simulated steps."""

from __future__ import annotations

import numpy as np

from gbench.measure.bootstrap import throughput_interval
from gbench.measure.measured_steps import Periods, measured_steps
from gbench.measure.stopping_rule import StoppingRule
from gbench.settings.model_config import ScheduleConfig


def feed(rule: StoppingRule, times: list[float], at_once: int = 10) -> tuple[int, str | None]:
    """The number of steps until the run should end, and the reason."""
    for start in range(0, len(times), at_once):
        if reason := rule.reason((seconds, 4) for seconds in times[start : start + at_once]):
            return start + at_once, reason
    return len(times), None


def noisy(count: int, share: float) -> list[float]:
    return list(0.1 * (1 + share * np.random.default_rng(3).standard_normal(count)))


def test_it_ends_once_the_interval_is_narrow_enough() -> None:
    times = noisy(20_000, 0.10)
    steps, reason = feed(StoppingRule(ScheduleConfig(until_ci=0.01)), times)
    assert reason == "--until-ci of 0.01 is reached"
    interval = throughput_interval(times[:steps], 4)
    assert interval is not None and interval.half_width_share <= 0.01
    assert 250 < steps < 1000  # 1.96 * 10 % / sqrt(n) = 1 % at n = 384


def test_a_tighter_interval_takes_longer() -> None:
    times = noisy(20_000, 0.10)
    assert (
        feed(StoppingRule(ScheduleConfig(until_ci=0.005)), times)[0]
        > feed(StoppingRule(ScheduleConfig(until_ci=0.01)), times)[0]
    )


def test_the_time_counts_from_the_start() -> None:
    now_s = [0.0]
    rule = StoppingRule(ScheduleConfig(max_time_s=10), now=lambda: now_s[0])
    now_s[0] = 100.0  # until then, the loop was built
    rule.start()
    assert rule.reason([(1.0, 4)]) is None
    now_s[0] = 110.0
    assert rule.reason([(1.0, 4)]) is not None


def test_the_warm_up_does_not_count() -> None:
    times = [5.0] * 30 + noisy(20_000, 0.01)
    steps, reason = feed(StoppingRule(ScheduleConfig(until_ci=0.01, warmup_steps=30)), times)
    assert reason is not None and steps <= 150


def test_the_slowest_rank_decides_and_all_ask_at_the_same_steps() -> None:
    """This rank's steps are all equal; the other's are slower and noisy."""
    other = [1.1 * seconds for seconds in noisy(20_000, 0.10)]
    asked: list[int] = []

    def gather(own: list[float]) -> list[list[float]]:
        asked.append(len(own))
        return [own, other[: len(own)]]

    steps, reason = feed(StoppingRule(ScheduleConfig(until_ci=0.01), gather), [0.1] * 20_000)
    assert reason is not None
    interval = throughput_interval(other[:steps], 4)
    assert interval is not None and interval.half_width_share <= 0.01
    assert asked[0] == 100 and asked[-1] == steps
    alone, _ = feed(StoppingRule(ScheduleConfig(until_ci=0.01)), other)
    assert steps == alone


def test_a_run_that_settles_too_late_is_never_precise_enough() -> None:
    times = [0.2] * 300 + noisy(700, 0.01)
    assert (
        feed(StoppingRule(ScheduleConfig(until_ci=0.01, max_warmup_steps=400)), times[:900], at_once=900)[1] is not None
    )
    assert feed(StoppingRule(ScheduleConfig(until_ci=0.01, max_warmup_steps=200)), times[:900], at_once=900)[1] is None


def test_the_time_ends_it_however_wide_the_interval_is() -> None:
    clock = iter([100.0, 101.0, 159.0, 160.0])
    rule = StoppingRule(ScheduleConfig(until_ci=0.001, max_time_s=60.0), now=lambda: next(clock))
    assert [rule.reason([(0.1, 4)]) for _ in range(3)] == [None, None, "--max-time of 60 s is up"]


def test_without_either_it_never_ends() -> None:
    assert feed(StoppingRule(ScheduleConfig()), noisy(1000, 0.001)) == (1000, None)


def test_it_measures_two_whole_epochs_at_least() -> None:
    """A slow step at the end of each epoch of 150: at step 100 none was seen, and the interval is narrow."""
    times = noisy(2000, 0.01)
    times[149::150] = [1.0] * len(times[149::150])
    early, _ = feed(StoppingRule(ScheduleConfig(until_ci=0.01)), times)
    steps, reason = feed(StoppingRule(ScheduleConfig(until_ci=0.01), steps_per_epoch=150), times)
    assert early == 100 and reason is not None and 300 <= steps < 500
    found = measured_steps([times[:steps]], 0, None, Periods(150))
    interval = throughput_interval(times[found.first : steps], 4, cycle=found.cycle)
    truth = 4 / (0.1 + 0.9 / 150)
    assert interval is not None and interval.low <= truth <= interval.high and interval.half_width_share <= 0.01


def test_it_measures_two_checkpoint_periods_at_least() -> None:
    schedule = ScheduleConfig(until_ci=0.01, checkpoint_every=3)
    assert feed(StoppingRule(schedule, steps_per_epoch=100), noisy(2000, 0.01))[0] >= 600
