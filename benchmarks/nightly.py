"""False alarms a year of a nightly check, and after how many nights it finds a loss, on simulated nights.

    python benchmarks/nightly.py [--draws 1000]

Each rule judges the same kind of nights: three runs a night, 10 nights pinned, 50 before a loss begins, years of 365.
apache-otava is judged where it is installed (pip install apache-otava). The slow rules get fewer draws, as the table
says. It is the table of docs/nightly.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from command import at_least_one, parser_of, run
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import ttest_ind

from gbench.compare.change import change
from gbench.compare.metrics import THROUGHPUT, RunFigure
from gbench.compare.verdict import Kind, judge
from gbench.measure.nights import ALARM, EXCLUDED, MIN_NIGHTS, RELEVANT, SUSPICIOUS, shifts_of
from gbench.measure.trend import levels
from simulated import Floats, ar1

RUNS, RUN_SD = 3, 0.003
ADDED = 6  # further runs of a night in doubt, and as many of the pinned image
BEFORE, YEAR, FOUND_WITHIN = 50, 365, 30
FIXED = 0.07
THRESHOLD = 0.03

Truth = NDArray[np.bool_]
# Nights [draws, nights, runs] -> for each draw whether the last one is an alarm
Rule = Callable[[Floats], Truth]


def here(nights: Floats) -> Truth:
    """gbench nightly, on medians."""
    medians = np.log(np.median(nights, axis=-1))
    found = shifts_of(medians[:, :MIN_NIGHTS], medians[:, MIN_NIGHTS:])
    best = found.chance.argmin(axis=-1)[:, None]
    alarm = np.take_along_axis(found.chance, best, -1) < 2 * ALARM
    return np.asarray((alarm & (np.take_along_axis(found.shift, best, -1) < 0))[:, 0])


def in_turn(nights: Floats) -> Truth:
    """The same where a night in doubt gets runs in turn with the pinned image, which decide it if they can."""
    alarm = here(nights[..., :RUNS])
    medians = np.log(np.median(nights[..., :RUNS], axis=-1))
    found = shifts_of(medians[:, :MIN_NIGHTS], medians[:, MIN_NIGHTS:])
    suspicious = ((found.chance < 2 * SUSPICIOUS) & (found.shift < 0)).any(axis=-1)
    unsure = found.shift[:, 0] - stdtrit(found.dof, 1 - EXCLUDED) * found.error[:, 0] <= np.log1p(-THRESHOLD)
    for draw in np.flatnonzero(suspicious | unsure):
        new, pinned = np.split(nights[draw, -1, RUNS:], 2)
        for pairs in (RUNS, ADDED):
            decided = verdict(pinned[:pairs], new[:pairs], 2 * RELEVANT)
            if decided != "inconclusive":
                alarm[draw] = decided == "regression"
                break
    return alarm


def verdict(base: Floats, new: Floats, threshold: float) -> Kind:
    """Of gbench compare."""
    sides = [[RunFigure(float(value), 0.002) for value in side] for side in (base, new)]
    return judge([(THROUGHPUT, change(sides[0], sides[1], True, [], THROUGHPUT.unknown_sd))], threshold)[0].verdict


def pinned_night(nights: Floats) -> Truth:
    """gbench compare of the night with one pinned night, as the nightly script did until now."""
    return np.array([verdict(one[0], one[-1], THRESHOLD) == "regression" for one in nights])


def student(nights: Floats) -> Truth:
    """Student's t of the night's runs with the runs of the pinned nights, one-sided, at 1 %."""
    pinned = nights[:, :MIN_NIGHTS].reshape(len(nights), -1)
    return np.asarray(ttest_ind(nights[:, -1], pinned, axis=-1, alternative="less").pvalue < 0.01)


def fixed(nights: Floats) -> Truth:
    """A fixed limit on the night's median."""
    medians = np.median(nights, axis=-1)
    return np.asarray(medians[:, -1] < (1 - FIXED) * np.median(medians[:, :MIN_NIGHTS], axis=-1))


def page(nights: Floats) -> Truth:
    """The changes of level of a history's page."""

    def alarm(medians: Floats) -> bool:
        found = [level for level in levels(medians) if level.confirmed]
        return len(found) > 1 and found[-1].median < found[0].median

    return np.array([alarm(one) for one in np.median(nights, axis=-1)])


def otava(nights: Floats) -> Truth:
    """apache-otava's change points, with its own defaults: the last one is a fall."""
    from otava.analysis import compute_change_points

    def alarm(medians: Floats) -> bool:
        points, _ = compute_change_points(list(medians))
        return bool(points) and points[-1].stats.mean_2 < points[-1].stats.mean_1

    return np.array([alarm(one) for one in np.median(nights, axis=-1)])


@dataclass(frozen=True)
class Judge:
    title: str
    rule: Rule
    fewer: int
    """Divides the draws."""
    runs: int = RUNS
    """Of a night, that it judges."""


JUDGES = [
    Judge("`gbench nightly`", here, 1),
    Judge("`gbench nightly`, in turn with the pinned image", in_turn, 1, RUNS + 2 * ADDED),
    Judge("until now: one pinned night", pinned_night, 4),
    Judge("changes of level of the history's page", page, 20),
    Judge("Student's t, 1 %", student, 1),
    Judge("a fixed 7 %", fixed, 1),
    Judge("apache-otava", otava, 100),
]
LOSSES: dict[str, Callable[[Floats], Floats]] = {
    "1 %": lambda night: np.full_like(night, 0.01),
    "2 %": lambda night: np.full_like(night, 0.02),
    "5 %": lambda night: np.full_like(night, 0.05),
    "0.1 % more each night": lambda night: 0.001 * (night + 1),
}


def drawn(draws: int, nights: int, sd: float, phi: float, seed: int) -> Floats:
    """Throughputs [draws, nights, runs] without a loss; the last ADDED are those of the pinned image."""
    rng, more = np.random.default_rng(seed), np.random.default_rng(seed + 100)
    levels_of_nights = ar1(draws, nights, phi, sd, rng)[..., None]
    noise = [rng.standard_normal((draws, nights, RUNS)), more.standard_normal((draws, nights, 2 * ADDED))]
    return 100 * (levels_of_nights + RUN_SD * np.concatenate(noise, axis=-1))


def alarms(one: Judge, nights: Floats, first: int) -> Truth:
    """Whether each night from `first` on is an alarm, judged on that night [draws, nights]."""
    return np.stack([one.rule(nights[:, : last + 1, : one.runs]) for last in range(first, nights.shape[1])], axis=1)


def false_alarms(one: Judge, draws: int, sd: float, phi: float) -> float:
    """Alarms a year: nights with one after a night without."""
    found = alarms(one, drawn(draws, MIN_NIGHTS + YEAR, sd, phi, 1), MIN_NIGHTS)
    begun = found & ~np.pad(found, ((0, 0), (1, 0)))[:, :-1]
    return float(begun.sum() / draws)


def nights_until_found(one: Judge, draws: int, sd: float, loss: Callable[[Floats], Floats]) -> Floats:
    """Nights until the first alarm after a loss begins, 1 for the first night; infinite if later than FOUND_WITHIN."""
    begins = MIN_NIGHTS + BEFORE
    nights = drawn(draws, begins + FOUND_WITHIN, sd, 0.0, 2)
    nights[:, begins:, :-ADDED] *= 1 - loss(np.arange(float(FOUND_WITHIN)))[None, :, None]
    found = alarms(one, nights, begins)
    return np.where(found.any(axis=1), found.argmax(axis=1) + 1.0, np.inf)


def row(one: Judge, draws: int, sd: float) -> list[str]:
    cells = [f"{false_alarms(one, draws, sd, phi):.1f}" for phi in (0.0, 0.3)]
    for loss in LOSSES.values():
        nights = nights_until_found(one, draws, sd, loss)
        late = f"{np.median(nights):.0f}" if np.isfinite(np.median(nights)) else f"> {FOUND_WITHIN}"
        cells.append(f"{late} ({100 * np.mean(nights == 1):.0f} %)")
    return cells


def main() -> None:
    """The table."""
    parser = parser_of(__doc__)
    parser.add_argument("--draws", type=at_least_one, default=1000)
    draws = parser.parse_args().draws
    heads = ["nights differ by", "rule", "years", "false alarms a year", "at autocorrelation 0.3", *LOSSES]
    print("Nights until a loss is found, median (found in the first night)\n")
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for sd in (0.005, 0.01):
        for one in JUDGES:
            own = max(2, draws // one.fewer)
            try:
                cells = row(one, own, sd)
            except ImportError:
                cells = ["not installed: left out"]
            print("| " + " | ".join([f"{100 * sd:g} %", one.title, str(own), *cells]) + " |", flush=True)


if __name__ == "__main__":
    run(main)
