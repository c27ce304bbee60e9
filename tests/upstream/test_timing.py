"""Figures from upstream's lines: the arithmetic, on lines with known times."""

from __future__ import annotations

import pytest

from gbench.runfolder.loss_line import LossLine, loss_line, read_loss_line
from gbench.upstream.timing import figures
from gbench.upstream.watch import TimedLine

LOSSES = {"G_GAN": 0.7, "G_L1": 40.0, "D_real": 0.6, "D_fake": 0.65}


def lines(step_s: list[float], batch_size: int, compute_s: float, data_s: float) -> list[TimedLine]:
    """Lines that end `step_s` apart, the first after one such step."""
    found, end_s = [], 100.0
    for number, one_s in enumerate(step_s, 1):
        end_s += one_s
        found.append(TimedLine(LossLine(1, number * batch_size, compute_s / batch_size, data_s, LOSSES), end_s))
    return found


def test_ten_steps_of_a_tenth_of_a_second_are_40_img_s() -> None:
    found = figures(lines([0.1] * 11, 4, 0.08, 0.02), 4, 1, None)
    assert (found.steps, found.warmup_steps) == (10, 1)
    assert found.throughput_img_s == pytest.approx(40)
    assert found.without_data_img_s == pytest.approx(50)
    assert found.data_share == pytest.approx(0.2)
    assert found.step_p95_s == pytest.approx(0.1)
    assert (found.step_mean_s, found.step_variance_s2) == (pytest.approx(0.1), pytest.approx(0))


def test_what_no_line_has_is_in_the_headline_figure_alone() -> None:
    """The start of an epoch between lines 5 and 6 takes a second, which upstream's own times don't include."""
    found = figures(lines([0.1] * 5 + [1.1] + [0.1] * 5, 4, 0.08, 0.02), 4, 1, None)
    assert found.throughput_img_s == pytest.approx(40 / 2.0)
    assert found.legacy_img_s == pytest.approx(50)


def test_launch_shs_figure_is_of_lines_3_to_7() -> None:
    timed = lines([0.1] * 11, 4, 0.08, 0.02)
    others = [0, 1, *range(7, 11)]
    slow = [
        TimedLine(LossLine(1, 4, 9.0, 0.02, LOSSES), one.end_s) if n in others else one for n, one in enumerate(timed)
    ]
    assert figures(slow, 4, 1, None).legacy_img_s == pytest.approx(50)
    assert figures(timed[:6], 4, 1, None).legacy_img_s is None


def test_times_that_upstream_rounds_to_nothing_make_no_figure() -> None:
    assert figures(lines([0.001] * 11, 4, 0.0, 0.0), 4, 1, None).legacy_img_s is None


def test_the_first_line_and_slow_ones_after_it_never_count() -> None:
    assert figures(lines([0.1] * 3, 4, 0.08, 0.02), 4, 0, None).steps == 2
    found = figures(lines([0.1] * 5 + [0.5] * 5 + [0.1] * 40, 4, 0.08, 0.02), 4, 1, None)
    assert found.warmup_steps == 10 and found.steady_state
    assert found.throughput_img_s == pytest.approx(40)


def test_a_line_is_read_as_it_was_written() -> None:
    written = loss_line(2, 96, 0.043, 0.233, LOSSES)
    assert (
        written
        == "(epoch: 2, iters: 96, time: 0.043, data: 0.233) G_GAN: 0.700 G_L1: 40.000 D_real: 0.600 D_fake: 0.650 "
    )
    assert read_loss_line(written) == LossLine(2, 96, 0.043, 0.233, LOSSES)
    assert read_loss_line("End of epoch 2 / 200") is None
    with pytest.raises(ValueError, match="x"):
        read_loss_line("(epoch: 2, iters: 96, time: x, data: 0.233) G_GAN: 0.700")
