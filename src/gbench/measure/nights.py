"""Is tonight slower? Changes of level in the medians of nights, against a pinned anchor.

The night is the unit: runs of one night share its temperature, neighbours and driver, so they agree better with each
other than with another night. Each night is the median of its runs, as a logarithm.

1. The spread between nights is that of successive nights, so that an earlier change of level does not count; a
   difference above 3 robust standard deviations is cut to that. That of nights two apart gives the autocorrelation.
2. For every place at which a level that includes tonight can begin, the mean of the nights from there on is compared
   with that of the anchor (Page 1954; Siegmund, Venkatraman 1995). The shortest such level is tonight alone.
3. It is a change if its chance is below ALARM, it is at least RELEVANT, and tonight is at least half as far off: one
   odd night, or a loss that has been repaired, raises no alarm on the nights after it.
4. Otherwise the night is inconclusive if a loss of the threshold tonight can't be excluded.

A fall by GROSS is an alarm whatever is known of the spread. Pure functions of their arguments. False alarms a year,
and after how many nights a loss is found, in simulations: docs/nightly.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from gbench.measure.steady_state import CLIP, Floats

MIN_NIGHTS = 10  # of an anchor
ALARM = 3e-4  # chance of one comparison; the resulting false alarms a year are in docs/nightly.md
RELEVANT = 0.005  # smaller changes of level are not reported
GROSS = 0.25  # a loss that is no noise
SUSPICIOUS = 1e-2  # chance from which a loss is worth more runs
EXCLUDED = 0.05  # chance at which a loss tonight is excluded
LONGEST = 60  # nights of a level that are compared
REMEMBERED = 250  # nights that the spread is taken from
CUT = 3.0  # robust standard deviations, of a difference between nights
CUT_LOSS = 0.985  # share of a normal variance that is left after the cut
FEW = 20  # nights that the autocorrelation is shrunk by
MOST_PHI = 0.8
RESOLUTION = 1e-3  # relative spread that is there at least
MEDIAN_ERROR = 1.2533  # of a median, over that of a mean

Kind = Literal["regression", "improved", "no regression", "inconclusive", "too few nights"]


@dataclass(frozen=True)
class NightJudged:
    """The verdict on a night. Changes are shares of the anchor: -0.02 is a loss of 2 %."""

    verdict: Kind
    change: float | None = None
    """Of the level that the verdict rests on, tonight's own if it is no change; None without an earlier night."""
    low: float | None = None
    """Lower end of the change's 95 % interval, up to `high`; None below MIN_NIGHTS."""
    high: float | None = None
    nights: int = 1
    """Nights of that level, tonight included."""
    reason: str = ""
    """Why the night is inconclusive, or what else decided it."""
    suspicious: bool = False
    """Whether a loss is likely that is no alarm yet."""

    @property
    def gross(self) -> bool:
        return self.change is not None and self.change <= -GROSS


@dataclass(frozen=True)
class Shifts:
    """The possible levels that end tonight, by length [..., nights], as logarithms of their ratio to the anchor."""

    shift: Floats
    error: Floats
    """Standard errors."""
    dof: float

    @property
    def chance(self) -> Floats:
        """Of a change, two-sided; 1 for one that is not relevant, or of which tonight shows less than half."""
        seen = self.shift[..., :1] * np.sign(self.shift) >= abs(self.shift) / 2
        relevant = abs(self.shift) >= -math.log1p(-RELEVANT)
        return np.where(seen & relevant, 2 * stdtr(self.dof, -abs(self.shift) / self.error), 1.0)


def judge_night(
    anchor: Sequence[Sequence[float]],
    since: Sequence[Sequence[float]],
    threshold: float,
    run_sd: float | None = None,
) -> NightJudged:
    """The verdict on the last of the nights since the anchor.

    Args:
        anchor: the runs' throughputs, above 0, by night, oldest first.
        since: the same of the nights after it; tonight is the last.
        threshold: the loss in a night that must be excluded, as a share of 1.
        run_sd: how much runs of this machine vary, as a share of 1, where it was measured; one run doesn't show it.
    """
    if not anchor:
        return NightJudged("too few nights")
    medians = [np.array([math.log(np.median(runs)) for runs in nights]) for nights in (anchor, since)]
    plain = math.expm1(medians[1][-1] - np.median(medians[0]))
    if plain <= -GROSS:
        return NightJudged("regression", plain)
    if len(anchor) < MIN_NIGHTS:
        return NightJudged("too few nights", plain)
    own = own_error(np.array(since[-1])) if len(since[-1]) > 1 or run_sd is None else run_sd
    shifts = shifts_of(medians[0], medians[1], own)
    chance = shifts.chance
    nights = int(chance.argmin()) + 1
    changed = bool(chance[nights - 1] < 2 * ALARM)
    nights = nights if changed else 1
    shift, error = float(shifts.shift[nights - 1]), float(shifts.error[nights - 1])
    half = float(stdtrit(shifts.dof, 0.975)) * error
    change, low, high = (math.expm1(end) for end in (shift, shift - half, shift + half))
    verdict: Kind = "no regression"
    reason = ""
    if changed and nights == 1 and len(since[-1]) == 1:
        verdict, reason = "inconclusive", "unconfirmed: one run alone shows it"
    elif changed:
        verdict = "improved" if shift > 0 else "regression"
    elif shift - float(stdtrit(shifts.dof, 1 - EXCLUDED)) * error <= math.log1p(-threshold):
        verdict, reason = "inconclusive", f"a loss of {100 * threshold:.3g}% in this night can't be excluded"
    losing = bool((chance[shifts.shift < 0] < 2 * SUSPICIOUS).any())
    return NightJudged(verdict, change, low, high, nights, reason, losing)


def shifts_of(anchor: Floats, since: Floats, own_error: float | Floats = 0.0) -> Shifts:
    """All levels that end with the last night.

    Args:
        anchor: logarithms of the medians of at least three nights [..., nights], since: of the nights after it.
        own_error: standard error of the last night's median by its own runs [..., 1].
    """
    width = CLIP * 1.4826 * np.median(abs(anchor - _median(anchor)), axis=-1, keepdims=True)
    anchor = np.clip(anchor, _median(anchor) - width, _median(anchor) + width)
    before = np.concatenate([anchor, since[..., :-1]], axis=-1)[..., -REMEMBERED:]
    known = before.shape[-1]
    one, two = (np.maximum(_variance(before, apart), RESOLUTION**2) for apart in (1, 2))
    phi = np.clip((two / one - 1) * known / (known + FEW), 0, MOST_PHI)
    variance = one / (1 - phi)
    lengths = np.arange(1, min(since.shape[-1], LONGEST) + 1)
    means = np.cumsum(since[..., ::-1][..., : len(lengths)], axis=-1) / lengths
    excess = np.maximum(own_error**2 - variance, 0) / lengths**2
    error = np.sqrt(variance * (_of_mean(phi, lengths) + _of_mean(phi, np.array([anchor.shape[-1]]))) + excess)
    return Shifts(means - anchor.mean(axis=-1, keepdims=True), error, 2 / 3 * (known - 1))


def _median(values: Floats) -> Floats:
    return np.asarray(np.median(values, axis=-1, keepdims=True))


def _variance(nights: Floats, apart: int) -> Floats:
    """Half the mean square difference of nights that far apart (von Neumann and others 1941), less that of odd ones."""
    differences = abs(nights[..., apart:] - nights[..., :-apart])
    kept = np.minimum(differences, CUT * 1.4826 * _median(differences))
    return np.asarray((kept**2).mean(axis=-1, keepdims=True) / 2 / CUT_LOSS)


def _of_mean(phi: Floats, nights: Floats) -> Floats:
    """Variance of the mean of so many nights with autocorrelation phi, over that of one."""
    return ((1 + phi) / (1 - phi) - 2 * phi * (1 - phi**nights) / (nights * (1 - phi) ** 2)) / nights


def own_error(runs: Floats) -> Floats:
    """Standard error of the logarithm of the median of runs [..., runs]; 0 for one run, which doesn't show it.

    From the median absolute deviation: one odd run of three or more does not move the median either.
    """
    logs = np.log(runs)
    return MEDIAN_ERROR * 1.4826 * _median(abs(logs - _median(logs))) / math.sqrt(logs.shape[-1])
