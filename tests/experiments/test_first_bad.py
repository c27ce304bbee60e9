"""Which commit changed a figure, from blocks that are drawn here."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest

from gbench.experiments.first_bad import SURE, next_place, probabilities, suspects, told_apart

CHANGE = math.log(0.97)


def found(commits: int, culprit: int, noise: float, seed: int) -> tuple[bool, int]:
    """Whether the answer of a search is right, and the number of commits that it measured."""
    rng = np.random.default_rng(seed)
    of_bad = [float(value) for value in rng.normal(CHANGE, noise, 4)]
    blocks: dict[int, list[float]] = defaultdict(list)
    while True:
        chances = probabilities(commits, of_bad, blocks)
        answer = suspects(chances, ())
        if answer.probability >= SURE:
            return list(answer.places) == [culprit], len(blocks)
        place = next_place(chances, ())
        assert place is not None
        blocks[place].append(float(rng.normal(CHANGE if place >= culprit else 0.0, noise)))


def test_of_64_commits_six_or_seven_are_measured() -> None:
    results = [found(64, culprit, 0.003, culprit) for culprit in (0, 1, 31, 32, 62, 63)]
    assert all(right for right, _ in results)
    assert max(measured for _, measured in results) <= 7


def test_a_stated_probability_of_95_percent_holds_with_noise() -> None:
    results = [found(16, seed % 16, 0.01, seed)[0] for seed in range(64)]
    assert sum(results) >= 58  # of 64 at 95 %: fewer have a chance of 5 in 1,000


def test_commits_that_nothing_separates_are_one_answer() -> None:
    chances = probabilities(4, [CHANGE, CHANGE * 1.01], {0: [0.0, 0.0001]})
    assert next_place(chances, {1, 2}) == 0
    answer = suspects(chances, {1, 2})
    assert list(answer.places) == [1, 2, 3]
    assert answer.probability > SURE


@pytest.mark.parametrize(
    ("logs", "enough"),
    [
        ([CHANGE] * 3, False),
        ([CHANGE, CHANGE * 1.1, CHANGE * 0.9, CHANGE], True),
        ([-CHANGE, -CHANGE * 1.1, -CHANGE * 0.9, -CHANGE], True),
        ([CHANGE, -CHANGE, CHANGE, -CHANGE], False),
        ([CHANGE * 1.8, CHANGE * 0.2, CHANGE, CHANGE], False),  # below 1, but not known to a half
    ],
)
def test_bad_has_to_be_known_before_others_are_judged(logs: list[float], enough: bool) -> None:
    assert told_apart(logs) is enough
