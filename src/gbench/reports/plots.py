"""The plots of a run page. Ranks and losses differ by line style and marker as well as by colour."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from gbench.base.words import count
from gbench.reports.averages import averaged
from gbench.reports.page import Plot
from gbench.reports.svg import BAND, INK, MUTED, SERIES, SURFACE, captioned, figure
from gbench.reports.text import flops, four, seconds
from gbench.runfolder.environment_facts import PeakFacts
from gbench.runfolder.step_columns import Steps

POINTS = 400  # maximum number of points of a line; beyond it, each point is the mean of several steps
MARKED_POINTS = 24  # with more points, markers would hide the line
EPOCHS = 10  # fewer means are not drawn as a curve


@dataclass(frozen=True)
class Throughput:
    name: str
    value: float
    unit: str
    interval: tuple[float, float] | None


def distribution(measured: Sequence[Steps]) -> Plot:
    """Histogram of the slowest rank's measured step times, with their median."""
    times_s = max((steps.step_s for steps in measured), key=np.sum)
    median_s = float(np.median(times_s))
    scale, unit = (1.0, "s") if times_s.max() >= 1 else (1e3, "ms")
    with figure(2.9) as drawn:
        axes = drawn.subplots()
        last_s = 2 * float(np.percentile(times_s, 99)) - median_s  # a few outliers must not flatten the rest
        shown = times_s[times_s <= max(last_s, median_s)]
        bins = min(40, max(5, math.ceil(2 * len(shown) ** 0.5)))
        if np.ptp(shown) < 1e-6 * median_s:  # all equal: one bar in the middle
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
        return captioned(drawn, "distribution", "Histogram of step times", caption)


def losses(ranks: Sequence[Steps], warmup_steps: int) -> Plot | None:
    """Every loss by step, or by epoch if there are many, averaged over ranks; None if the steps have no losses."""
    common = min(len(steps) for steps in ranks)
    together = [steps[:common] for steps in ranks]
    names = list(together[0].losses) if common else []
    if not names:
        return None
    epochs, each = np.unique(together[0].epoch, return_counts=True)
    by_epoch = common > POINTS and len(epochs) >= EPOCHS
    numbers = epochs if by_epoch else together[0].step
    order = np.argsort(together[0].epoch, kind="stable")
    over = "epoch" if by_epoch else "step"
    ends: list[str] = []
    holes = False
    with figure(1.45 * math.ceil(len(names) / 2) + 0.2) as drawn:
        for axes, name, look in zip(loss_panels(drawn, names, over), names, looks(), strict=False):
            values = np.array([steps.losses[name] for steps in together]).mean(axis=0)
            holes |= not np.isfinite(values).all()
            if by_epoch:
                values = np.array([part.mean() for part in np.split(values[order], np.cumsum(each)[:-1])])
            line(axes, numbers, np.where(np.isfinite(values), values, math.nan), name, look)
            if warmup_steps and not by_epoch:
                axes.axvspan(0.5, warmup_steps + 0.5, color=BAND, linewidth=0, zorder=0)
            ends.append(f"{name} from {four(values[0])} to {four(values[-1])}")
        notes = [f"Mean over {count(len(ranks), 'rank')}" + (" and all steps of an epoch" if by_epoch else "")]
        notes += ["each loss on its own scale"]
        notes += ["the warm-up is shaded"] if warmup_steps and not by_epoch else []
        notes += ["values that are not finite leave gaps"] if holes else []
        if common > POINTS and not by_epoch:
            notes.append("each point is the mean of a stretch of steps, the band its lowest to highest value")
        description = f"Line plots of the losses by {over}: {', '.join(ends)}"
        return captioned(drawn, "losses", description, "; ".join(notes) + ".")


def loss_panels(drawn: Figure, names: Sequence[str], over: str) -> list[Axes]:
    """One panel per loss, two in a row. over: label of the common x axis."""
    grid = drawn.subplots(math.ceil(len(names) / 2), 2, sharex=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        axes.set_title(name)
        axes.yaxis.set_major_locator(MaxNLocator(4))
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel(over)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    return list(grid.flat[: len(names)])


def throughputs(figures: Sequence[Throughput]) -> Plot:
    """The different definitions of throughput side by side, the first with its interval."""
    with figure(0.42 * len(figures) + 0.55) as drawn:
        axes = drawn.subplots()
        places = range(len(figures), 0, -1)
        for place, one, marker in zip(places, figures, cycle(("o", "s", "^", "D", "v")), strict=False):
            if one.interval is not None:
                axes.plot(one.interval, [place, place], color=SERIES[0], linewidth=5, alpha=0.35)
            axes.plot(one.value, place, marker, color=SERIES[0] if place == len(figures) else MUTED, markersize=6)
            axes.annotate(
                four(one.value), (one.value, place), (0, 6), textcoords="offset points", ha="center", fontsize=8
            )
        axes.set_yticks(list(places), [one.name for one in figures])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(0.5, len(figures) + 0.7)
        axes.margins(x=0.12)
        axes.set_xlabel(figures[0].unit)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="y", visible=False)
        values = "; ".join(f"{one.name} {four(one.value)}" for one in figures)
        interval = "; the bar is its 95 % interval" if figures[0].interval else ""
        caption = f"The first is the headline{interval}. The scale does not start at zero."
        return captioned(drawn, "throughput", f"Dot plot of throughputs in {figures[0].unit}: {values}", caption)


def roofline(tflop_s: float, gb_s: float, peak: PeakFacts) -> Plot:
    """Operations per second against operations per byte, for one device (Williams, Waterman, Patterson 2009).

    peak: measured on the run's device.
    """
    roof, slope = peak.tflop_s, peak.copy_gb_s
    intensity, ridge = 1e3 * tflop_s / gb_s, 1e3 * roof / slope  # operations per byte
    x = np.geomspace(min(intensity, ridge) / 8, max(intensity, ridge) * 8, 200)
    with figure(2.9) as drawn:
        axes = drawn.subplots()
        axes.plot(x, np.minimum(roof, slope * x / 1e3), color=INK)
        lower = min(peak.gemm_tflop_s, peak.conv_tflop_s)
        axes.plot([1e3 * lower / slope, x[-1]], [lower, lower], color=MUTED, linestyle="--")
        names = ("matrix product", "convolution")
        upper_name, lower_name = names if peak.gemm_tflop_s >= peak.conv_tflop_s else names[::-1]
        axes.annotate(upper_name, (x[-1], roof), (0, 3), textcoords="offset points", ha="right")
        axes.annotate(lower_name, (x[-1], lower), (0, -10), textcoords="offset points", ha="right", color=MUTED)
        axes.annotate(f"copy {four(slope)} GB/s", (x[0], slope * x[0] / 1e3), (8, 0), textcoords="offset points")
        axes.plot(intensity, tflop_s, "D", color=SERIES[0], markersize=7)
        axes.annotate(
            f"this run {flops(tflop_s)}", (intensity, tflop_s), (0, -13), textcoords="offset points", ha="center"
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(bottom=min(tflop_s, slope * x[0] / 1e3) / 2.5, top=roof * 2)
        for side in (axes.xaxis, axes.yaxis):
            side.set_major_locator(LogLocator(10, numticks=6))
            side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            side.set_minor_locator(LogLocator(10, subs=(), numticks=1))
        axes.set_xlabel("operations a byte moved")
        axes.set_ylabel("TFLOP/s")
        caption = (
            f"This run did {flops(tflop_s)} at {four(intensity)} operations a byte; measured on this device: "
            f"{flops(roof)} by {upper_name}, {flops(lower)} by {lower_name}, {four(slope)} GB/s by copy. Bytes are "
            "those of operations that are not fused, so more than really went to memory."
        )
        return captioned(drawn, "roofline", "Roofline plot", caption)


def looks() -> Iterator[dict[str, Any]]:
    """Line styles that differ even without colour; they repeat after twelve."""
    styles = zip(cycle(SERIES), cycle(("-", "--", ":")), cycle(("o", "s", "^", "D")), strict=False)
    return ({"color": colour, "linestyle": line, "marker": marker} for colour, line, marker in styles)


def line(axes: Axes, numbers: Any, values: Any, name: str, look: dict[str, Any], points: int = POINTS) -> None:
    """Draw a line; with too many points, means of consecutive points within a band from minimum to maximum."""
    x, y = np.asarray(numbers, float), np.asarray(values, float)
    if len(x) > points:
        x, y, low, high = averaged(x, y, points)
        axes.fill_between(x, low, high, color=look["color"], alpha=0.25, linewidth=0)
    axes.plot(x, y, label=name, **{**look, "marker": look["marker"] if len(x) <= MARKED_POINTS else None})
