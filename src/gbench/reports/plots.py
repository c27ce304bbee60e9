"""The plots of a run page. Ranks and losses differ by line style and marker as well as by colour."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gbench.reports.svg import BAND, INK, SERIES, SURFACE, figure, to_svg
from gbench.reports.text import count, four, seconds
from gbench.runfolder import Step

Array = NDArray[np.float64]
POINTS = 400  # a line has at most so many; each stands for a stretch of steps where a run has more
MARKED_POINTS = 40  # beyond so many, markers would hide the line


@dataclass(frozen=True)
class Plot:
    """An inline SVG, and the sentence that goes below it."""

    svg: str
    caption: str


def step_times(ranks: Sequence[Sequence[Step]], warmup_steps: int) -> Plot:
    """Step time of every rank over the steps, and below it the part spent waiting for data; the warm-up shaded."""
    scale, unit = _unit(_largest(ranks, "step_s", slice(warmup_steps, None)) or _largest(ranks, "step_s", slice(None)))
    said = [f"Each step of {count(len(ranks), 'rank')}"]
    with figure(3.5) as drawn:
        whole, wait = drawn.subplots(2, 1, sharex=True, height_ratios=[2, 1])
        for axes, name, noun, ticks in ((whole, "step_s", "step", 5), (wait, "data_s", "data wait", 3)):
            for rank, (steps, look) in enumerate(zip(ranks, _looks(), strict=False)):
                numbers, values = [step.step for step in steps], [getattr(step, name) * scale for step in steps]
                _line(axes, numbers, values, f"rank {rank}", look)
            _shade_warmup(axes, warmup_steps)
            axes.set_ylim(bottom=0)
            axes.set_ylabel(f"{noun} ({unit})")
            axes.yaxis.set_major_locator(MaxNLocator(ticks))
            # a long first step must not flatten all the others
            first_s, largest_s = (
                _largest(ranks, name, part) for part in (slice(warmup_steps), slice(warmup_steps, None))
            )
            if first_s > 2 * largest_s > 0:
                axes.set_ylim(top=1.15 * largest_s * scale)
                said.append(f"in the warm-up a {noun} reaches {seconds(first_s)}, beyond the scale")
        _label_steps(wait)
        drawn.legend(*whole.get_legend_handles_labels(), loc="outside upper left", ncols=4)
        if warmup_steps:
            said.append(f"the shaded warm-up ({count(warmup_steps, 'step')}) is left out of the statistics")
        said += _thinned(ranks, "each point is the mean of a stretch of steps, the band its fastest to slowest step")
        caption = "; ".join(said) + "."
        return Plot(to_svg(drawn, "steps", f"Line plot: step time and data wait by step. {caption}"), caption)


def distribution(measured: Sequence[Sequence[Step]]) -> Plot:
    """Histogram of the step times of the slowest rank's measured steps, with their median."""
    times_s = np.array(max(([step.step_s for step in steps] for steps in measured), key=sum))
    median_s, (scale, unit) = float(np.median(times_s)), _unit(float(times_s.max()))
    with figure(2.9) as drawn:
        axes = drawn.subplots()
        last_s = 2 * float(np.percentile(times_s, 99)) - median_s  # a few stragglers must not flatten all the others
        shown = times_s[times_s <= max(last_s, median_s)]
        bins = min(40, max(5, math.ceil(2 * len(shown) ** 0.5)))
        if np.ptp(shown) < 1e-6 * median_s:  # all alike: one bar in the middle
            bounds, bins = (0.95 * median_s, 1.05 * median_s), 5
        else:
            bounds = (float(shown.min()), float(shown.max()))
        counts, edges = np.histogram(shown, bins, bounds)
        axes.bar(edges[:-1] * scale, counts, np.diff(edges) * scale, align="edge", color=SERIES[0], edgecolor=SURFACE)
        axes.axvline(median_s * scale, color=INK, linestyle="--", label=f"median {seconds(median_s)}")
        axes.set_xlabel(f"step ({unit})")
        axes.set_ylabel("steps")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        drawn.legend(loc="outside upper left")
        beyond = len(times_s) - len(shown)
        caption = (
            f"{count(len(times_s), 'measured step')} of the slowest rank: median {seconds(median_s)}, "
            f"fastest {seconds(float(times_s.min()))}, slowest {seconds(float(times_s.max()))}"
            + (f"; {count(beyond, 'step')} beyond the scale." if beyond else ".")
        )
        return Plot(to_svg(drawn, "distribution", f"Histogram of step times. {caption}"), caption)


def losses(ranks: Sequence[Sequence[Step]], warmup_steps: int) -> Plot | None:
    """Every loss over the steps, mean over the ranks, each on its own scale; None where steps carry no losses."""
    common = min(len(steps) for steps in ranks)
    together = [steps[:common] for steps in ranks]
    names = list(together[0][0].losses) if common else []
    if not names:
        return None
    numbers = [step.step for step in together[0]]
    ends: list[str] = []
    holes = False
    with figure(1.45 * math.ceil(len(names) / 2) + 0.2) as drawn:
        grid = drawn.subplots(math.ceil(len(names) / 2), 2, sharex=True, squeeze=False)
        for axes, name, look in zip(grid.flat, names, _looks(), strict=False):
            values = np.array([[step.losses.get(name, math.nan) for step in steps] for steps in together]).mean(axis=0)
            finite = np.isfinite(values)
            holes |= not finite.all()
            _line(axes, numbers, np.where(finite, values, math.nan), name, look)
            _shade_warmup(axes, warmup_steps)
            axes.set_title(name)
            axes.yaxis.set_major_locator(MaxNLocator(4))
            ends.append(f"{name} from {four(values[0])} to {four(values[-1])}")
        for axes in grid.flat[len(names) :]:
            axes.set_visible(False)
        for axes in grid[-1]:
            _label_steps(axes)
        said = [f"Mean over {count(len(ranks), 'rank')}, each loss on its own scale"]
        said += ["the warm-up is shaded"] if warmup_steps else []
        said += ["values that are not finite leave gaps"] if holes else []
        said += _thinned(together, "each point is the mean of a stretch of steps, the band its lowest to highest value")
        caption = "; ".join(said) + "."
        return Plot(to_svg(drawn, "losses", f"Line plots of the losses by step: {', '.join(ends)}. {caption}"), caption)


def _largest(ranks: Sequence[Sequence[Step]], name: str, part: slice) -> float:
    return max((float(getattr(step, name)) for steps in ranks for step in steps[part]), default=0.0)


def _looks() -> Iterator[dict[str, Any]]:
    """Line looks that stay apart without colour; the same again after twelve."""
    styles = zip(cycle(SERIES), cycle(("-", "--", ":")), cycle(("o", "s", "^", "D")), strict=False)
    return ({"color": colour, "linestyle": line, "marker": marker} for colour, line, marker in styles)


def _line(axes: Axes, numbers: Sequence[int], values: Any, name: str, look: dict[str, Any]) -> None:
    """One line; where it has too many points, means over stretches of it within a band from least to most."""
    x, y = np.asarray(numbers, float), np.asarray(values, float)
    if len(x) > POINTS:
        stretches = np.array_split(np.arange(len(x)), POINTS)
        low, high = (np.array([take(y[part]) for part in stretches]) for take in (np.min, np.max))
        x, y = (np.array([both[part].mean() for part in stretches]) for both in (x, y))
        axes.fill_between(x, low, high, color=look["color"], alpha=0.25, linewidth=0)
    axes.plot(x, y, label=name, **{**look, "marker": look["marker"] if len(x) <= MARKED_POINTS else None})


def _thinned(ranks: Sequence[Sequence[Step]], sentence: str) -> list[str]:
    return [sentence] if max(len(steps) for steps in ranks) > POINTS else []


def _shade_warmup(axes: Axes, warmup_steps: int) -> None:
    if warmup_steps:
        axes.axvspan(0.5, warmup_steps + 0.5, color=BAND, linewidth=0, zorder=0, label="warm-up")


def _label_steps(axes: Axes) -> None:
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))


def _unit(largest_s: float) -> tuple[float, str]:
    return (1.0, "s") if largest_s >= 1 else (1e3, "ms")
