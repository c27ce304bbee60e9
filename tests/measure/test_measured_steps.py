"""Which steps are measured: whole epochs or checkpoint periods after the warm-up."""

from __future__ import annotations

import numpy as np
import pytest

from gbench.measure.measured_steps import Periods, measured_steps


@pytest.mark.parametrize(
    ("steps", "warmup", "periods", "first", "cycle"),
    [
        (100, 10, Periods(), 10, None),
        (100, 10, Periods(30), 10, 30),
        (105, 10, Periods(30), 15, 30),
        (100, 10, Periods(50), 10, None),  # 1.8 epochs: all is measured
        (100, 0, Periods(10, 40), 20, 40),
        (100, 0, Periods(10, 60), 0, 10),
        (25, 0, Periods(6), 1, 6),
        (23, 0, Periods(10), 3, 10),
        (25, 0, Periods(13), 0, None),
        (21, 0, Periods(8), 0, None),  # 16 whole ones would be too few for an interval
    ],
)
def test_whole_cycles_are_measured(steps: int, warmup: int, periods: Periods, first: int, cycle: int | None) -> None:
    found = measured_steps([np.full(steps, 0.1)], warmup, None, periods)
    assert (found.first, found.cycle) == (first, cycle)


def test_the_steps_left_out_for_it_are_named() -> None:
    found = measured_steps([np.full(105, 0.1)] * 2, 10, None, Periods(30))
    assert found.reason == "steady from step 11 on; 5 more left out, to measure whole cycles of 30"


def test_checkpoints_come_every_so_many_epochs() -> None:
    assert Periods.of(20, 0) == Periods(20, None)
    assert Periods.of(20, 5) == Periods(20, 100)
    assert Periods.of(None, 5) == Periods()
