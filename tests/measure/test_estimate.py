"""An estimate from a run's first steps, and its text."""

from __future__ import annotations

import pytest

from gbench.measure.estimate import duration, estimate


def test_the_first_five_steps_are_left_out_and_twenty_measured() -> None:
    found = estimate([9.0] * 5 + [0.12] * 20 + [5.0] * 10, 80_000, 400)
    assert str(found) == "about 2 h 40 min of training for 200 epochs (80,000 steps), by 20 steps at 0.12 s"
    assert estimate([0.12] * 24, 80_000, 400) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3599.7, "1 h 0 min")],
)
def test_a_span_is_said_as_a_person_says_it(seconds: float, words: str) -> None:
    assert duration(seconds) == words
    assert duration(26.5 * 3600) == "26 h 30 min"
