"""Confidence interval of throughput from one run's steps: a prewhitened moving-block bootstrap.

Throughput is a ratio, all images over all time, and steps are autocorrelated: slow steps cluster. Resampling single
steps would give far too narrow an interval. So, in order:

1. Linearise the ratio: the score of a step is its time minus the mean time of its images (Taylor's expansion).
2. Sum adjacent scores into at most GROUPS groups: a run of any length costs the same, and slow waves fit in blocks.
3. Prewhiten: remove first-order autocorrelation, corrected for its small-sample bias (Kendall 1954).
4. Resample overlapping blocks of the rest (Künsch 1989), of the length by Politis and White (2004, corrected by Patton,
   Politis and White 2009) and at least the square root of the groups, and restore the autocorrelation
   ("post-blackening", Davison and Hinkley 1997, section 8.2.3).
5. Rescale to the flat-top variance (Politis and Romano 1995), which corrects the bias of blocks, and widen to Student's
   t with the degrees of freedom of the variance estimate.

What returns in every cycle, such as a slow step at the end of each epoch, is no uncertainty where whole cycles are
measured: with `cycle`, the mean score of each place in the cycle is taken out after step 1, if these means vary by much
more than chance explains.

A pure function of its arguments. Measured coverage, limits and references: docs/statistics.md.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbench.measure.dot import dot
from gbench.runfolder.run_result import BOOTSTRAP, BOOTSTRAP_OF_CYCLES, Interval

MIN_STEPS = 20  # below, no interval: its own error would be as large as itself
MIN_STEPS_TO_STOP = 100  # an interval that decides when to stop must not be one of the first lucky ones
CHECK_GROWTH = 1.1  # and must not be asked too often
# Part of `Interval.method`, which records have. `gbench cndb verify` recomputes intervals to 9 digits: any change
# of these, even of the last digits of the quantile, needs a new name of the method, and this one kept for old records.
CYCLE_F = 4.0  # variance between the places of a cycle over that within them: above it, something returns
GROUPS = 256
RESAMPLES = 2000

Floats = NDArray[np.float64]


def throughput_interval(
    step_s: ArrayLike, images: ArrayLike, level: float = 0.95, seed: int = 0, cycle: int | None = None
) -> Interval | None:
    """Interval of images over time, from the measured steps of the slowest rank; None below MIN_STEPS.

    Args:
        step_s: seconds of each step, in the order they ran (1-d).
        images: images of each step over all ranks, or one number for all steps.
        level: share of such intervals that cover the true value.
        seed: of the resampling.
        cycle: steps of a cycle, where the steps are at least two whole cycles; None: they are not, or none is known.
    """
    times = np.asarray(step_s, dtype=float)
    if len(times) < MIN_STEPS:
        return None
    counts = np.broadcast_to(np.asarray(images, dtype=float), times.shape)
    seconds, pictures = float(times.sum()), float(counts.sum())
    scores = times - counts * (seconds / pictures)
    most_dof, kept_dof, method = math.inf, 1.0, BOOTSTRAP
    cycles = 0 if cycle is None else len(times) // cycle
    if cycles and _returns(rows := scores.reshape(cycles, -1)):
        scores, most_dof = _without_cycle(rows)
        kept_dof, method = (cycles - 1) / cycles, BOOTSTRAP_OF_CYCLES
    size = math.ceil(len(times) / GROUPS)
    groups = len(times) // size
    sums = scores[: groups * size].reshape(groups, size).sum(axis=1)
    sums -= sums.mean()
    if not sums.any():
        rate = pictures / seconds
        return Interval(rate, rate, 0.0, size, float(len(times)), level, method)

    phi, noise = _prewhiten(sums)
    length = min(max(_block_length(noise), math.ceil(math.sqrt(groups))), len(noise) // 3)
    variance = _flat_top_variance(noise, length) / (1 - phi) ** 2  # of the total, for each group summed
    deviations = _resample(noise, length, seed)
    memory = (1 + phi) / (1 - phi)
    # The errors of phi and of the blocks' variance partly cancel: between their maximum and their sum, by simulation.
    dof = max(1.0, min(most_dof, kept_dof * groups / (1 + math.hypot(2 * memory, 4 / 3 * length))))
    upper = (1 + level) / 2
    widening = tabled_t_quantile(upper, dof) / NormalDist().inv_cdf(upper)
    spread = math.sqrt(variance * len(times) / size) / seconds * widening  # share of the total time
    slow, fast = (float(value) for value in np.quantile(deviations, [upper, 1 - upper]))
    low, high = (pictures / seconds * math.exp(-spread * value) for value in (slow, fast))  # a rate is never negative
    return Interval(
        low=rounded(low),
        high=rounded(high),
        half_width_share=rounded((high - low) / 2 / (pictures / seconds)),
        block_length=length * size,
        effective_steps=rounded(len(times) * min(1.0, float(scores.var()) * size / variance)),
        level=level,
        method=method,
    )


def precise_enough(step_s: ArrayLike, images: ArrayLike, half_width_share: float, cycle: int | None = None) -> bool:
    """Whether the interval of the steps so far has at most this half-width (0.01: +-1 %), for `--until-ci`.

    Costs about a millisecond for any number of steps. Stopping at the first narrow interval favours intervals that are
    narrow by chance; with MIN_STEPS_TO_STOP and `next_check`, coverage suffers little (measured in docs/statistics.md).
    """
    if len(np.asarray(step_s)) < MIN_STEPS_TO_STOP:
        return False
    interval = throughput_interval(step_s, images, cycle=cycle)
    return interval is not None and interval.half_width_share <= half_width_share


def next_check(steps: int) -> int:
    """Number of measured steps for the next call of `precise_enough`, after one at `steps`."""
    return max(MIN_STEPS_TO_STOP, math.ceil(steps * CHECK_GROWTH))


def rounded(value: float) -> float:
    """Round to 9 digits: linear algebra differs between CPUs in the last digits, recomputed results must not."""
    return float(f"{value:.9g}")


def _returns(scores: Floats) -> bool:
    """Whether the mean scores of the places of a cycle vary by more than chance explains; scores: [cycle, place]."""
    cycles, places = scores.shape
    means = scores.mean(axis=0)
    between = cycles * float(((means - means.mean()) ** 2).sum()) / max(1, places - 1)
    within = float(((scores - means) ** 2).sum()) / (places * (cycles - 1))
    return bool(between > CYCLE_F * within)


def _without_cycle(scores: Floats) -> tuple[Floats, float]:
    """Scores [cycle, place] without each place's mean, in one row, and the degrees of freedom of their variance.

    The means take up one cycle, which the scale makes up for. Satterthwaite's degrees of freedom (1946) of the sum of
    the places' variances: one place that varies a lot, such as a checkpoint, has only one value a cycle.
    """
    cycles = len(scores)
    rest = (scores - scores.mean(axis=0)) * math.sqrt(cycles / (cycles - 1))
    power = (rest**2).sum(axis=0)
    square = float((power**2).sum())
    return rest.ravel(), (cycles - 1) * float(power.sum()) ** 2 / square if square > 0 else math.inf


def _prewhiten(sums: Floats) -> tuple[float, Floats]:
    """First-order autocorrelation of a centred series, and its innovations, centred.

    Negative autocorrelation is left to the blocks: one coefficient must not shrink an interval.
    """
    count = len(sums)
    raw = dot(sums[1:], sums[:-1]) / dot(sums, sums)
    phi = min(max((count * raw + 1) / (count - 3), 0.0), 0.97)
    noise = sums[1:] - phi * sums[:-1]
    return phi, noise - noise.mean()


def _block_length(noise: Floats) -> int:
    """Block length of least mean squared error, from the data (Politis and White 2004, as corrected in 2009)."""
    count = len(noise)
    quiet_lags = max(5, math.ceil(math.sqrt(math.log10(count))))
    lags = min(math.ceil(math.sqrt(count)) + quiet_lags, count // 3)
    autocov = np.array([dot(noise[lag:], noise[: count - lag]) for lag in range(lags + 1)]) / count
    loud = np.flatnonzero(np.abs(autocov[1:]) > 2 * math.sqrt(math.log10(count) / count) * autocov[0]) + 1
    last = 1  # lag followed by quiet_lags insignificant lags
    for lag in loud.tolist():
        if lag - last > quiet_lags:
            break
        last = lag
    window = min(2 * last, lags)
    distance = np.arange(1, window + 1)
    weighted = np.minimum(1.0, 2 * (1 - distance / window)) * autocov[1 : window + 1]
    spectrum = float(autocov[0] + 2 * weighted.sum())
    if spectrum <= 0:
        return 1
    curvature = float(2 * (distance * weighted).sum())
    best: float = (1.5 * (curvature / spectrum) ** 2 * count) ** (1 / 3)
    return math.ceil(best)


def _block_sums(noise: Floats, length: int) -> Floats:
    """Sums over all overlapping blocks of a length."""
    total = np.concatenate([[0.0], np.cumsum(noise)])
    sums: Floats = total[length:] - total[:-length]
    return sums


def _flat_top_variance(noise: Floats, length: int) -> float:
    """Long-run variance of centred noise: twice the blocks' variance less that of blocks half as long.

    This weights autocovariances by the trapezoid of Politis and Romano (1995), which is flat near lag 0. Alternating
    steps cancel in blocks, hence the lower limits.
    """

    def variance(size: int) -> float:
        return float(np.mean(_block_sums(noise, size) ** 2)) / size * len(noise) / (len(noise) - 1 - size)

    whole = variance(length)
    return max(2 * whole - variance(max(1, length // 2)), whole / 2, 0.01 * float(np.mean(noise**2)))


def _resample(noise: Floats, length: int, seed: int) -> Floats:
    """RESAMPLES totals of randomly drawn blocks, centred, in standard deviations."""
    blocks = _block_sums(noise, length)
    blocks -= blocks.mean()
    drawn = math.ceil(len(noise) / length)
    scale = math.sqrt(drawn * float(np.mean(blocks**2))) or 1.0
    choice = np.random.default_rng(seed).integers(0, len(blocks), (RESAMPLES, drawn))
    totals: Floats = blocks[choice].sum(axis=1) / scale
    return totals


def tabled_t_quantile(probability: float, dof: float) -> float:
    """Quantile of Student's t for 0.5 <= probability < 1 and dof >= 1; part of the method.

    By a table of the integral over the angle of t = sqrt(dof) tan(angle). At 0.975 it differs from the exact
    `paired_ratio.t_quantile` by up to 1e-3 below 2 degrees of freedom and by less than 1e-5 up to 256.
    """
    angle = np.linspace(0.0, math.pi / 2, 4097)
    density = np.cos(angle) ** (dof - 1)
    share = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return math.sqrt(dof) * math.tan(float(np.interp(probability - 0.5, share / (2 * share[-1]), angle)))
