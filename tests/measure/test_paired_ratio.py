"""The ratio of two kinds of blocks, from alternating rounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gbench.measure.bootstrap import tabled_t_quantile
from gbench.measure.paired_ratio import ratio_of_rounds, t_quantile


def test_rounds_that_agree_give_an_interval_of_no_width() -> None:
    found = ratio_of_rounds([(1.2, 1.0), (2.4, 2.0), (0.6, 0.5)])
    assert (found.ratio, found.low, found.high, found.rounds) == pytest.approx((1.2, 1.2, 1.2, 3))


def test_the_ratio_is_geometric_and_its_interval_students() -> None:
    found = ratio_of_rounds([(1.0, 2.0), (2.0, 1.0), (4.0, 1.0)])  # logarithms in base 2: -1, 1, 2
    half = 4.302653 * np.std([-1, 1, 2], ddof=1) / math.sqrt(3)  # 97.5 % point of Student's t with 2 degrees of freedom
    assert found.ratio == pytest.approx(2 ** (2 / 3))
    assert (found.low, found.high) == pytest.approx((2 ** (2 / 3 - half), 2 ** (2 / 3 + half)), rel=1e-3)


def test_the_interval_covers_the_true_ratio_as_often_as_it_says() -> None:
    draws = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        noise = np.exp(draws.normal(0, 0.05, (2, 6)))
        found = ratio_of_rounds(list(zip(1.1 * noise[0], noise[1], strict=True)))
        covered += found.low < 1.1 < found.high
    assert 930 <= covered <= 968


@pytest.mark.parametrize(
    ("probability", "dof", "quantile"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 5, 2.571),
        (0.95, 10, 1.812),
        (0.995, 30, 2.75),
        (0.975, 1000, 1.962),
    ],
)
def test_quantiles_of_students_t_are_those_of_the_tables(probability: float, dof: float, quantile: float) -> None:
    assert t_quantile(probability, dof) == pytest.approx(quantile, abs=6e-4)
    assert tabled_t_quantile(probability, dof) == pytest.approx(quantile, abs=6e-4)


def test_quantiles_between_whole_degrees_of_freedom_are_between() -> None:
    assert t_quantile(0.975, 4) < t_quantile(0.975, 3.5) < t_quantile(0.975, 3)
    assert tabled_t_quantile(0.975, 4) < tabled_t_quantile(0.975, 3.5) < tabled_t_quantile(0.975, 3)
