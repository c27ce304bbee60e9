"""Throughput arithmetic on fake clocks and written streams; never on real time."""

from __future__ import annotations

import itertools

import pytest

from gbench.measure.summary import summarize
from gbench.runfolder import Step


def stream(times_s: list[float], images: int = 4, warmup: int = 0, data_s: float = 0.0, **losses: float) -> list[Step]:
    ends = itertools.accumulate(times_s)
    return [
        Step(n, 1, images, data_s, seconds, end, 0.0, warmup=n <= warmup, losses=losses)
        for n, (seconds, end) in enumerate(zip(times_s, ends, strict=True), 1)
    ]


def test_ten_steps_of_a_tenth_of_a_second_on_two_devices_of_batch_four_are_80_images_a_second() -> None:
    summary = summarize([stream([0.1] * 10)] * 2, expected_steps=10)
    assert summary is not None
    assert summary.throughput_img_s == pytest.approx(80.0)
    assert (summary.images, summary.steps, summary.complete) == (80, 10, True)


def test_the_slowest_ranks_clock_counts() -> None:
    summary = summarize([stream([0.1] * 4), stream([0.2] * 4)], expected_steps=4)
    assert summary is not None
    assert summary.wall_s == pytest.approx(0.8)
    assert summary.throughput_img_s == pytest.approx(32 / 0.8)


def test_warm_up_is_left_out() -> None:
    summary = summarize([stream([9.0, 9.0, 0.1, 0.1], warmup=2)], expected_steps=4)
    assert summary is not None
    assert (summary.warmup_steps, summary.steps) == (2, 2)
    assert summary.throughput_img_s == pytest.approx(40.0)


def test_data_wait_is_inside_the_headline_and_told_apart() -> None:
    summary = summarize([stream([0.1] * 10, data_s=0.02)], expected_steps=10)
    assert summary is not None
    assert summary.throughput_img_s == pytest.approx(40.0)
    assert summary.throughput_without_data_img_s == pytest.approx(50.0)
    assert summary.data_share == pytest.approx(0.2)


def test_spread_is_the_sample_variance_of_the_step_times() -> None:
    summary = summarize([stream([0.1, 0.2, 0.3])], expected_steps=3)
    assert summary is not None
    assert (summary.step_mean_s, summary.step_median_s) == (pytest.approx(0.2), pytest.approx(0.2))
    assert summary.step_variance_s2 == pytest.approx(0.01)


def test_a_run_that_ended_early_counts_as_far_as_all_ranks_got_and_says_so() -> None:
    summary = summarize([stream([0.1] * 7), stream([0.1] * 5)], expected_steps=10)
    assert summary is not None
    assert (summary.steps, summary.complete) == (5, False)


@pytest.mark.parametrize("ranks", [[], [[]], [stream([0.1], warmup=1)], [stream([0.1]), []]])
def test_nothing_measured_is_no_summary(ranks: list[list[Step]]) -> None:
    assert summarize(ranks, expected_steps=1) is None


def test_losses_are_means_over_steps_and_ranks_and_over_the_last_epoch() -> None:
    first, second = Step(1, 1, 1, 0, 0.1, 0.1, 0, False, {"L": 1.0}), Step(2, 2, 1, 0, 0.1, 0.2, 0, False, {"L": 3.0})
    other = [Step(1, 1, 1, 0, 0.1, 0.1, 0, False, {"L": 2.0}), Step(2, 2, 1, 0, 0.1, 0.2, 0, False, {"L": 6.0})]
    summary = summarize([[first, second], other], expected_steps=2)
    assert summary is not None
    assert summary.losses == {"L": pytest.approx(3.0)}
    assert summary.last_epoch_losses == {"L": pytest.approx(4.5)}
