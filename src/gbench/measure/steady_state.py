"""Where the warm-up ends: change points in the step times, and whether what follows them is steady.

A fixed warm-up is either too short (a compile, a cold page cache, clocks that settle for minutes) or a waste. Here, as
Barrett et al. 2017 ("Virtual machine warmup blows hot and cold") did for benchmarks, change points cut the run into
levels, and the steady state is the longest tail that has one level. Their independent Gaussian steps are replaced by
autocorrelated ones, or else every slow wave of a data loader would pass for a change:

1. Clip the times to 4 robust standard deviations around the median of the second half: a checkpoint, a pause or any
   other single slow step then counts as one step, not as many.
2. Binary segmentation (Vostrikova 1981; Bai 1997): cut where a shift of the mean fits best, if the likelihood ratio
   against "no change, only autocorrelation" beats a penalty; then look into both parts. A straight line is a second
   alternative, since strong autocorrelation alone explains a drift too well to be doubted by a shift.
3. Warm-up ends at the first cut after which the levels agree within RELEVANT (all but FOREIGN of the steps), at the
   first step that is not an outlier.
4. The run is settled if that is early enough and no line fits the tail better than its levels do.

This is the first rule, by which records without `perf_data.statistics` were made and are verified: keep its numbers.
`gbench.measure.steadiness` is the rule of new records. A pure function of its arguments, O(n log n).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbench.measure.dot import dot

if TYPE_CHECKING:
    from gbench.runfolder.run_result import Drift, Speed  # a tenth of a second, which a history does not need

MIN_STEPS = 20  # fewer don't distinguish a change from chance
RELEVANT = 0.01  # levels that differ by less than this share count as one
FOREIGN = 0.05  # share of a steady tail that may be at other levels: pauses, disturbances
CLIP = 4.0  # robust standard deviations
PENALTY = 10.0  # of a change, besides log(steps); the resulting rate of false alarms is in docs/statistics.md
RESOLUTION = 1e-4  # share of a step below which clocks are not trusted

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SteadyState:
    """Where the warm-up ends, and whether the run is steady after it."""

    warmup_steps: int
    """First steps to exclude."""
    settled: bool
    """Whether the rest is one steady state."""
    reason: str
    drift: "Drift | None" = None
    """Of the steps after the warm-up; None for too few steps, and by the first rule."""
    speeds: "list[Speed]" = field(default_factory=list)
    """Of all steps after the minimum, in order of appearance, if more than FOREIGN of the steps had them."""


class Fit(NamedTuple):
    deviance: float  # -2 log likelihood, but for a constant
    phi: float
    variance: float
    """Of the innovations."""


class Segments(NamedTuple):
    """Step times cut into levels."""

    clipped: Floats
    width: float
    """Half-width of the clipping."""
    cuts: list[int]
    """Where a new level starts."""
    penalty: float
    floor: float
    """Variance that is there at least."""

    @property
    def starts(self) -> list[int]:
        return [0, *self.cuts]

    def drift(self, tail: int, start: int) -> tuple[float, int] | None:
        """A drift from segment `tail` on, or the one before, that lasts after step `start`; and its steps."""
        for origin in self.starts[max(0, tail - 1) : tail + 1]:
            after = [cut - origin for cut in self.cuts if cut > origin]
            share = _drift(self.clipped[origin:], after, start - origin, self.penalty, self.floor)
            if share:
                return share, len(self.clipped) - origin
        return None


def find_steady_state(step_s: ArrayLike, minimum: int = 0, maximum: int | None = None) -> SteadyState:
    """Decide from the step times (1-d, seconds, warm-up included) of one rank where its warm-up ends.

    Args:
        step_s: times in the order they ran.
        minimum: first steps that always count as warm-up.
        maximum: most warm-up steps; None: half of the run. A run that needs more is not settled, and this many are
            left out.

    Raises ValueError: maximum below minimum.
    """
    times = np.asarray(step_s, dtype=float)
    if maximum is not None and maximum < minimum:
        raise ValueError(f"maximum ({maximum}) is below minimum ({minimum})")
    bound = max(minimum, len(times) // 2) if maximum is None else maximum
    judged = times[minimum:]
    if len(judged) < MIN_STEPS:
        return SteadyState(
            min(minimum, len(times)),
            False,
            f"{len(judged)} steps after the first {minimum} are too few to tell; {MIN_STEPS} are needed",
        )
    found = segments(judged)
    starts, width = found.starts, found.width
    tail, foreign = _first_steady(judged, starts)
    start, level = starts[tail], float(np.median(judged[starts[tail] :]))
    while start < len(judged) - 1 and abs(judged[start] - level) > width:
        start += 1
    warmup = minimum + start
    if warmup > bound:
        return SteadyState(bound, False, _too_late(judged, starts, warmup, minimum, bound))
    if drift := found.drift(tail, start):
        share, steps = drift
        return SteadyState(warmup, False, f"step time still drifts: {share:+.1%} over the last {steps} steps")
    return SteadyState(warmup, True, f"steady from step {warmup + 1} on{other_levels(judged, start, level, foreign)}")


def other_levels(judged: Floats, start: int, level: float, foreign: int) -> str:
    """What was at another level than the steps from `start` on, in words: the steps before, and `foreign` since."""
    before = f"; the steps before differed by {float(np.median(judged[:start])) / level - 1:+.1%}" if start > 0 else ""
    return before + (f"; {foreign} steps since were at another level" if foreign > 0 else "")


def segments(times: Floats) -> Segments:
    """Cut step times (1-d, at least MIN_STEPS) into levels."""
    centre, width = _robust(times[len(times) // 2 :])
    clipped = np.clip(times, centre - width, centre + width)
    floor = (RESOLUTION * centre) ** 2
    penalty = PENALTY + math.log(len(times))
    return Segments(clipped, width, change_points(clipped, penalty, floor), penalty, floor)


def judge_ranks(ranks: Sequence[ArrayLike], minimum: int = 0, maximum: int | None = None) -> tuple[SteadyState, int]:
    """Where the warm-up of a run on several ranks ends, and the rank that was slowest after it.

    Ranks wait for each other, so they share one warm-up, found from their mean times. ranks: step times, of one length.
    """
    times = np.asarray(ranks, dtype=float)
    steady = find_steady_state(times.mean(axis=0), minimum, maximum)
    return steady, int(times[:, steady.warmup_steps :].sum(axis=1).argmax())


def _robust(times: Floats) -> tuple[float, float]:
    """Median, and the half-width to clip to: CLIP standard deviations by the median absolute deviation."""
    centre = float(np.median(times))
    deviation = 1.4826 * float(np.median(np.abs(times - centre)))
    return centre, max(CLIP * deviation, RELEVANT * centre)


def _first_steady(times: Floats, starts: list[int]) -> tuple[int, int]:
    """The first segment at the level of all steps after it, and how many of those steps are at another level."""
    lengths = np.diff([*starts, len(times)])
    levels = np.array([np.median(part) for part in np.split(times, starts[1:])])
    for index, start in enumerate(starts):
        level = np.median(times[start:])
        foreign = np.abs(levels[index:] - level) > RELEVANT * level
        elsewhere = int(lengths[index:][foreign].sum())
        if not foreign[0] and elsewhere <= FOREIGN * (len(times) - start):
            return index, elsewhere
    raise AssertionError("the last segment is at its own level")


def _too_late(times: Floats, starts: list[int], warmup: int, minimum: int, bound: int) -> str:
    """Why a run that is steady after `warmup` steps is not settled, where `bound` steps are allowed."""
    reason = f"not steady before step {warmup + 1} of {minimum + len(times)}, where warm-up may take {bound} steps"
    if len(starts) > 1:
        before, last = (float(np.median(part)) for part in np.split(times, starts[1:])[-2:])
        reason += f"; the last change of level was {last / before - 1:+.1%} at step {minimum + starts[-1] + 1}"
    return reason


def change_points(times: Floats, penalty: float, floor: float) -> list[int]:
    """Indices at which a new level of a series (1-d) starts. Parts below 1 % of it are not looked into again.

    penalty: what a change's likelihood ratio must beat. floor: variance that is there at least.
    """
    shortest = max(8, len(times) // 100)
    parts, cuts = [(0, len(times))], []
    while parts:
        start, end = parts.pop()
        if end - start < shortest:
            continue
        gain, cut = _best_change(times[start:end], floor)
        if gain > penalty:
            cuts.append(start + cut)
            parts += [(start, start + cut), (start + cut, end)]
    return sorted(cuts)


def _best_change(times: Floats, floor: float) -> tuple[float, int]:
    """How much better a shift of the mean, or a line, fits than one level does; and where the best shift is."""
    constant = fit(_residual(times, []), 1, floor)
    straight = fit(line(times)[0], 2, floor)
    phi, shifts = constant.phi, []
    for _ in range(2):  # autocorrelation is overestimated until the shift is taken out
        cut = _best_shift(times - times.mean(), phi)
        shift = fit(_residual(times, [cut]), 2, floor)
        shifts.append((shift.deviance, cut))
        phi = shift.phi
    deviance, cut = min(shifts)
    return constant.deviance - min(deviance, straight.deviance), cut


def _best_shift(centred: Floats, phi: float) -> int:
    """Where a shift of the mean explains most of a series with first-order autocorrelation phi.

    Generalised least squares for all places at once: with white noise w[t] = y[t] - phi y[t-1], the two means enter
    as q = 1 - phi each on their side, as -phi and 1 at the first step after the shift, and as 1 - phi^2 in the first.
    """
    count, q, first = len(centred), 1 - phi, 1 - phi * phi
    white = centred[1:] - phi * centred[:-1]
    total = np.concatenate([[0.0], np.cumsum(white)])
    cut = np.arange(1, count - 1)
    across = white[cut - 1]
    left = first * centred[0] + q * total[cut - 1] - phi * across
    right = q * (total[-1] - total[cut]) + across
    left_square, right_square = first + (cut - 1) * q * q + phi * phi, 1 + (count - 1 - cut) * q * q
    explained = left**2 * right_square + 2 * phi * left * right + right**2 * left_square
    return int(cut[np.argmax(explained / (left_square * right_square - phi * phi))])


def fit(residual: Floats, parameters: int, floor: float) -> Fit:
    """Likelihood of residuals as a first-order autoregression; floor: variance that is there at least (seconds^2).

    The estimate of phi is corrected for the bias from having estimated the mean, or mean and slope (Kendall 1954).
    """
    count, square = len(residual), dot(residual, residual)
    raw = dot(residual[1:], residual[:-1]) / square if square > 0 else 0.0
    phi = min(max(raw + (parameters + (2 + parameters) * raw) / count, 0.0), 0.98)
    white = residual[1:] - phi * residual[:-1]
    first = 1 - phi * phi
    variance = (first * float(residual[0]) ** 2 + dot(white, white)) / count + floor
    return Fit(count * math.log(variance) - math.log(first), phi, variance)


def _residual(times: Floats, cuts: list[int]) -> Floats:
    """The times minus the mean of their part."""
    left: Floats = times.copy()
    for start, end in pairwise([0, *cuts, len(times)]):
        part = left[start:end]
        part -= np.add.reduce(part) / (end - start)  # as mean(), in half of its time
    return left


def line(times: Floats) -> tuple[Floats, float]:
    """The times minus a straight line, and the change along that line from first to last step (seconds)."""
    place = np.linspace(-0.5, 0.5, len(times))
    centred = times - times.mean()
    drift = dot(place, centred) / dot(place, place)
    return centred - drift * place, drift


def _drift(times: Floats, cuts: list[int], steady: int, penalty: float, floor: float) -> float | None:
    """Share by which step time drifts; None unless a line fits better than levels and continues after `steady`."""
    residual, drift = line(times)
    tail = line(times[steady:])[1]
    level = float(times.mean())
    as_steep = tail * drift > 0 and abs(tail) / (len(times) - steady) >= 0.5 * abs(drift) / len(times)
    if min(abs(drift), abs(tail)) <= RELEVANT * level or not as_steep:
        return None
    straight = fit(residual, 2, floor).deviance + penalty
    levels = fit(_residual(times, cuts), 1 + len(cuts), floor).deviance + penalty * len(cuts)
    return drift / level if straight < levels else None
