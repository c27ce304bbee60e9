"""The change between two sets of runs: its variance and the source of that."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from gbench.compare.change import RESOLUTION, Change, change
from gbench.compare.metrics import RunFigure
from gbench.compare.verdict import A_LOOK

DRAWS = 400
REFUTED_SD = 0.001  # an assumed spread that the runs of a test exceed, so that theirs is the only reading


def runs(*logs: float, error: float = 0.0) -> list[RunFigure]:
    return [RunFigure(math.exp(log), error) for log in logs]


def between(
    base: list[RunFigure], new: list[RunFigure], history: list[RunFigure] | None = None, sd: float = 0.03
) -> Change:
    return change(base, new, True, history or [], sd)


def test_two_sides_alike_in_noise_are_students_pooled_test() -> None:
    """scipy.stats.ttest_ind([0, .02, .04], [-.03, -.01, .01]): t 1.8371, 4 degrees of freedom."""
    found = between(runs(0.0, 0.02, 0.04), runs(-0.03, -0.01, 0.01), sd=REFUTED_SD)
    assert (found.log, found.reading.dof, found.sources) == (pytest.approx(-0.03), 4, {"the runs"})
    error = found.error(found.reading)
    assert found.log / error == pytest.approx(-1.8371, abs=1e-4)
    low, high = found.interval(0.95)
    assert (high - found.log, found.log - low) == (pytest.approx(2.7764 * error, rel=1e-4),) * 2
    assert found.chance_above(0.0) == pytest.approx(0.0700, abs=1e-4)
    assert found.chance_above(0.0) + found.chance_below(0.0) == pytest.approx(1.0)


def test_a_side_that_is_noisier_keeps_its_own_variance() -> None:
    """Variances 2e-6 / 3 and 1e-2 with 3 and 2 degrees of freedom; the quieter side has that of both, 0.0040004."""
    found = between(runs(0.0, 0.001, 0.002, 0.001), runs(-0.1, 0.0, 0.1), sd=REFUTED_SD).reading
    assert found.new_variance == pytest.approx(0.01)
    assert found.base_variance == pytest.approx((2e-6 + 0.02) / 5)
    shares = found.base_variance / 4, found.new_variance / 3
    assert found.dof == pytest.approx(sum(shares) ** 2 / (shares[0] ** 2 / 5 + shares[1] ** 2 / 2))


def test_better_is_positive_whichever_way_the_figure_goes() -> None:
    base, new = runs(0.0, 0.01), runs(0.1, 0.11)
    assert change(base, new, True, [], 0.03).log == pytest.approx(0.1)
    assert change(base, new, False, [], 0.03).log == pytest.approx(-0.1)


def test_one_run_a_side_has_the_spread_of_its_history() -> None:
    rng = np.random.default_rng(0)
    logs = 0.01 * rng.standard_normal(400)
    found = between(runs(0.0), runs(-0.05), runs(*logs)).reading
    assert found.source == "history"
    assert found.base_variance == pytest.approx(1e-4, rel=0.15)
    assert found.dof == pytest.approx(2 * 399**2 / (3 * 400 - 4))


def test_a_step_in_the_history_hardly_counts() -> None:
    rng = np.random.default_rng(0)
    logs = 0.01 * rng.standard_normal(60)
    stepped = logs + np.where(np.arange(60) < 30, 0.0, 0.1)
    calm, changed = (between(runs(0.0), runs(0.0), runs(*some)).reading for some in (logs, stepped))
    assert changed.base_variance < 2.2 * calm.base_variance
    assert np.var(stepped) > 20 * np.var(logs)


def test_enough_runs_need_no_history() -> None:
    wild = runs(*np.random.default_rng(0).standard_normal(30))
    base, new = runs(0.0, 0.01, 0.02, 0.01, 0.0), runs(0.0, 0.01, 0.02, 0.01, 0.0)
    assert between(base, new, wild) == between(base, new)
    assert between(base, new).sources == {"the runs"}
    assert between(base[:3], new[:3], wild).sources == {"the runs", "history"}
    assert between(base[:2], new[:3], wild).sources == {"history"}


def test_without_two_runs_of_a_kind_the_spread_is_assumed() -> None:
    found = between(runs(0.0, error=0.01), runs(0.0), runs(0.0, 0.0, 0.0, 0.0)).reading
    assert (found.source, found.dof) == ("assumed", math.inf)
    assert found.base_variance == pytest.approx(0.03**2 + 0.01**2)
    assert found.new_variance == pytest.approx(0.03**2)


def test_a_run_with_noisy_steps_adds_what_its_interval_says() -> None:
    base = runs(0.0, 0.01, 0.02, 0.03, error=0.002)
    calm, noisy = (between(base, runs(0.0, error=error)).reading for error in (0.002, 0.05))
    assert noisy.new_variance - calm.new_variance == pytest.approx(0.05**2 - 0.002**2)
    assert noisy.base_variance == calm.base_variance


def test_what_steps_explain_is_weighted_by_degrees_of_freedom() -> None:
    """Three runs of BASE have 2 degrees of freedom, six earlier ones 25/7."""
    history = runs(0.0, 0.01, 0.0, 0.01, 0.0, 0.01, error=0.03)
    found = between(runs(0.0, 0.01, 0.02, error=0.01), runs(0.0, error=0.05), history).reading
    explained = (2 * 0.01**2 + 25 / 7 * 0.03**2) / (2 + 25 / 7)
    assert (found.source, found.dof) == ("history", pytest.approx(2 + 25 / 7))
    assert found.base_variance == pytest.approx((2 * 1e-4 + 25 / 7 * 0.5e-4) / (2 + 25 / 7))
    assert found.new_variance - found.base_variance == pytest.approx(0.05**2 - explained)


def test_runs_that_agree_by_luck_are_no_better_than_their_steps() -> None:
    found = between(runs(0.0, 0.0, error=0.01), runs(0.0, 0.0, error=0.01)).reading
    assert found.base_variance == pytest.approx(1e-4)
    assert between(runs(0.0, 0.0), runs(0.0, 0.0)).reading.base_variance == RESOLUTION**2


def test_enough_runs_need_no_limit_from_their_steps() -> None:
    """Runs of whole epochs vary less than intervals that take what returns in each for noise."""
    base, new = runs(0.0, 0.001, 0.002, error=0.02), runs(0.0, 0.001, 0.002, error=0.02)
    assert between(base, new).reading.base_variance == pytest.approx(1e-6)
    assert between(base[:2], new).reading.base_variance == pytest.approx(4e-4)  # 3 degrees of freedom


def test_few_runs_and_the_assumed_spread_share_the_level() -> None:
    """Two runs a side: 2 degrees of freedom, so a third of the level is that of the assumed 3 %."""
    found = between(runs(0.0, 0.02), runs(-0.1, -0.08))
    assert (found.sources, found.other_share) == ({"the runs", "assumed"}, pytest.approx(1 / 3))
    own, assumed = math.sqrt(2e-4), 0.03
    assert found.reach(0.005) == pytest.approx(stats.norm.isf(0.005 / 3) * assumed)
    assert found.reach(0.3) == pytest.approx(stats.t.isf(0.2, 2) * own)
    assert found.chance_above(0.0) == pytest.approx(3 * stats.norm.sf(0.1 / assumed))
    assert found.interval(0.9) == (found.log - found.reach(0.05), found.log + found.reach(0.05))
    assert found.without_assumption().chance_above(0.0) == pytest.approx(stats.t.sf(0.1 / own, 2))
    assert between(runs(0.0, 0.1), runs(0.0, 0.1)).sources == {"the runs"}  # they vary more than assumed


@pytest.mark.parametrize("known", ["nothing", "history", "calibration"])
@pytest.mark.parametrize("sd", [0.01, 0.03])
def test_more_runs_find_no_less(known: str, sd: float) -> None:
    """Of 400 pairs that vary as assumed or less, at a loss that one run a side finds in some."""
    loss, found = 6 * sd if known != "nothing" else 0.1, []
    for count in (1, 2, 3, 5):
        rng, alarms = np.random.default_rng(count), 0
        for _ in range(DRAWS):
            base, new, earlier = (runs(*sd * rng.standard_normal(many)) for many in (count, count, 30))
            new = [RunFigure(run.value * math.exp(-loss)) for run in new]
            history, calibrated = earlier * (known == "history"), earlier * (known == "calibration")
            alarms += change(base, new, True, history, 0.03, calibrated).chance_above(0.0) <= A_LOOK
        found.append(alarms / DRAWS)
    assert found[0] > 0.2
    assert all(more >= fewer - 0.05 for fewer, more in itertools.pairwise(found)), found
