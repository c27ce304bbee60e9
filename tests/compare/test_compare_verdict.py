"""The rule: intervals that exclude no change, the threshold, both or neither."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gbench.compare.change import Change, Reading
from gbench.compare.metrics import METRICS, THROUGHPUT
from gbench.compare.verdict import A_LOOK, MOST_RUNS, Judged, judge, overall

MEMORY = METRICS[2]
LIMIT = -math.log(0.97)  # of the threshold in the tests


def varying(sd: float, dof: float, runs: int, log: float = 0.0) -> Change:
    return Change(1.0, math.exp(log), runs, runs, log, 0.03, Reading(sd**2, sd**2, dof, "the runs"))


def known(log: float, half_width: float, runs: int = 5) -> Change:
    """A change whose bounds at level 1 - A_LOOK are `log` -+ `half_width`."""
    error = half_width / 2.575829
    return varying(error * math.sqrt(runs / 2), math.inf, runs, log)


def one(log: float, half_width: float) -> Judged:
    (judged,) = judge([(THROUGHPUT, known(log, half_width))], 0.03)
    return judged


@pytest.mark.parametrize(
    ("log", "half_width", "verdict"),
    [
        (-0.05, 0.01, "regression"),  # beyond the threshold as a whole
        (-0.03, 0.02, "regression"),  # no change is excluded, the threshold is not
        (-0.02, 0.001, "regression"),  # both are excluded, and it is nearer to the threshold
        (-0.016, 0.001, "regression"),
        (-0.014, 0.001, "no regression"),  # both are excluded, and it is nearer to no change
        (-0.005, 0.02, "no regression"),  # the threshold is excluded, no change is not
        (0.0, 0.0301, "no regression"),
        (0.0, 0.0309, "inconclusive"),  # neither is
        (-0.015, 0.016, "inconclusive"),
        (-0.05, 0.06, "inconclusive"),
        (0.05, 0.01, "no regression"),
        (0.05, 0.2, "inconclusive"),
    ],
)
def test_an_interval_is_judged_by_what_it_excludes(log: float, half_width: float, verdict: str) -> None:
    assert one(log, half_width).verdict == verdict


def test_gains_and_small_losses_are_told() -> None:
    assert (one(0.02, 0.01).improved, one(0.02, 0.03).improved, one(0.01, 0.001).improved) == (True, False, False)
    assert (one(-0.005, 0.001).surely_worse, one(-0.005, 0.02).surely_worse) == (True, False)


def test_ratios_are_in_the_figures_own_direction() -> None:
    """0.1 worse in the logarithm: less throughput, but more memory."""
    change = known(-0.1, 0.01)
    more_memory = replace(change, new=math.exp(0.1))
    throughput, memory = judge([(THROUGHPUT, change), (MEMORY, more_memory)], 0.03)
    assert throughput.ratio == pytest.approx(math.exp(-0.1))
    assert throughput.low < throughput.ratio < throughput.high < 1
    assert memory.ratio == pytest.approx(math.exp(0.1))
    assert 1 < memory.low < memory.ratio < memory.high
    assert memory.verdict == throughput.verdict == "regression"


def at(chance: float) -> Change:
    """A change that is worse than nothing with a one-sided p-value."""
    from scipy.special import ndtri

    return known(-0.1, 0.1 * 2.575829 / -float(ndtri(chance)))


def test_alarms_of_several_figures_share_alpha() -> None:
    """Holm with weights 0.8, 0.2: 0.45 % is an alarm alone, not with another figure, but again if the other alarms."""
    assert judge([(THROUGHPUT, at(0.9 * A_LOOK))], 0.03)[0].verdict == "regression"
    together = judge([(THROUGHPUT, at(0.9 * A_LOOK)), (MEMORY, at(0.4))], 0.03)
    assert [each.verdict for each in together] == ["inconclusive", "inconclusive"]
    after = judge([(THROUGHPUT, at(0.9 * A_LOOK)), (MEMORY, at(0.1 * A_LOOK))], 0.03)
    assert [each.verdict for each in after] == ["regression", "regression"]


def test_only_the_headline_or_named_figures_must_be_decided() -> None:
    passed, failed, opened = one(0.0, 0.01), one(-0.1, 0.01), one(0.0, 0.1)
    assert overall([passed, failed, opened], named=False) == "regression"
    assert overall([passed, opened], named=False) == "no regression"
    assert overall([passed, opened], named=True) == "inconclusive"
    assert overall([opened, passed], named=False) == "inconclusive"


def test_more_runs_are_as_many_as_the_formula_says() -> None:
    """At no change seen, known spread s: (t_99.5(dof) + t_80(dof)) s sqrt(2 / n) must be within the threshold."""
    from scipy.special import stdtrit

    spread = 0.015
    change = varying(spread, 8.0, 5)
    (judged,) = judge([(THROUGHPUT, change)], 0.03)
    assert judged.more is not None
    count = judged.more.each
    assert count is not None

    def reach(total: int) -> float:
        dof = 2 * total - 2
        return float(stdtrit(dof, 0.995) + stdtrit(dof, 0.8)) * spread * math.sqrt(2 / total)

    assert reach(5 + count) <= LIMIT < reach(5 + count - 1)
    assert judged.more.new is not None and judged.more.new > count
    wild = varying(0.04, 8.0, 5)
    (judged,) = judge([(THROUGHPUT, wild)], 0.03)
    assert judged.more is not None and judged.more.each is not None
    assert judged.more.new is None  # however many there are, BASE's five leave too much open


def test_a_number_of_runs_that_nobody_would_do_is_not_said() -> None:
    change = varying(1.0, math.inf, 1)
    (judged,) = judge([(THROUGHPUT, change)], 0.03)
    assert judged.more is not None
    assert judged.more.each is None
    assert MOST_RUNS == 1000
