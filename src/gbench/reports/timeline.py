"""Plot steps, devices and host of a run on a common time axis, in panels, to show what disturbed which steps."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from gbench.base.size import GIB
from gbench.base.words import count
from gbench.measure.telemetry.disturbance import StepMarks
from gbench.measure.telemetry.sample_columns import Readings, Samples
from gbench.reports.averages import Array
from gbench.reports.page import Plot
from gbench.reports.plots import POINTS, line, looks
from gbench.reports.svg import BAND, SERIES, WARN, captioned, figure
from gbench.reports.text import seconds
from gbench.runfolder.step_columns import Steps

PAUSE_S = 60.0  # a gap between steps from this length on is a resumption, and is cut out of the axis
UNITS = ((3 * 3600, 3600, "h"), (600, 60, "min"), (0, 1, "s"))  # minimum length of the run, seconds per unit, unit
Series = dict[str, Readings]
"""By name."""


class Axis:
    """Time since the start of the first step, on the steps' clock, without the pauses of a resumed run."""

    def __init__(self, steps: Steps) -> None:
        starts = steps.end_s - steps.step_s
        pauses = starts[1:] - steps.end_s[:-1]
        left_out = np.where((pauses > -1) & (pauses < PAUSE_S), 0.0, pauses)
        self.paused = int(np.count_nonzero(left_out))
        self._zero = starts[0] + np.concatenate([[0.0], np.cumsum(left_out)])
        self.ends_s = steps.end_s - self._zero
        self.starts_s = starts - self._zero
        self.numbers = steps.step
        _, self._unit_s, self.unit = next(unit for unit in UNITS if self.ends_s[-1] >= unit[0])

    def of(self, times_s: Any) -> Array:
        """Convert seconds since the start of the first step to the axis' unit."""
        return np.asarray(times_s, float) / self._unit_s

    def of_samples(self, samples: Samples) -> Array:
        """The position of samples on the axis; all of them are from the last attempt."""
        return self.of(samples.t_s - self._zero[-1])


def timeline(ranks: Sequence[Steps], warmup_steps: int, samples: Samples, marks: StepMarks) -> Plot:
    """Times of every rank's steps, then devices and host. marks: throttling in each step of the longest rank."""
    longest = max(ranks, key=len)
    axis = Axis(longest)
    start, end = axis.of([axis.starts_s[0], axis.ends_s[-1]])
    places = axis.of_samples(samples)
    shown = np.flatnonzero((places >= start) & (places <= end))
    inside = samples.part(int(shown[0]), int(shown[-1]) + 1) if len(shown) else samples.part(0, 0)
    panels = _panels(inside)
    held = _stretches(axis, marks)
    notes = [f"Each step of {count(len(ranks), 'rank')}"]
    with figure(3.2 + 0.85 * len(panels)) as drawn:
        whole, wait, *below = drawn.subplots(2 + len(panels), 1, sharex=True, height_ratios=[2, 1] + [1] * len(panels))
        notes += _draw_steps(whole, "step_s", "step", ranks, axis, warmup_steps)
        notes += _draw_steps(wait, "data_s", "data wait", ranks, axis, warmup_steps)
        for axes, (title, series) in zip(below, panels.items(), strict=True):
            _draw_panel(axes, title, series, axis.of_samples(inside))
        for axes in (whole, wait, *below):
            _shade(axes, axis, warmup_steps, held)
        for number, stretch in enumerate(held):  # a bar at the top, so that the shade is not the only cue
            whole.axvspan(*axis.of(stretch), 0.93, 1, color=WARN, linewidth=0, label="" if number else "held back")
        axes.set_xlabel(f"time since the first step began ({axis.unit})")
        axes.set_xlim(start, end)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        _number_steps(whole, axis)
        drawn.legend(*whole.get_legend_handles_labels(), loc="outside upper left", ncols=4)
        notes += _notes(axis, warmup_steps, panels, marks)
        if len(longest) > POINTS:
            notes.append("each point is the mean of a stretch of steps, the band its fastest to slowest step")
        named = ", ".join(["step time", "data wait", *panels])
        return captioned(drawn, "timeline", f"Line plots over time: {named}", "; ".join(notes) + ".")


def _draw_steps(axes: Axes, name: str, noun: str, ranks: Sequence[Steps], axis: Axis, warmup_steps: int) -> list[str]:
    """Draw one panel of steps. Returns sentences for the caption."""
    first_s, largest_s = (_largest(ranks, name, part) for part in (slice(warmup_steps), slice(warmup_steps, None)))
    step_s = _largest(ranks, "step_s", slice(warmup_steps, None)) or _largest(ranks, "step_s", slice(None))
    scale, unit = (1.0, "s") if step_s >= 1 else (1e3, "ms")
    for rank, (steps, look) in enumerate(zip(ranks, looks(), strict=False)):
        values = getattr(steps, name) * scale
        line(axes, axis.of(axis.ends_s[: len(steps)]), values, f"rank {rank}", look)
    axes.set_title(f"{noun}{' time' if name == 'step_s' else ''}, {unit}")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(5 if name == "step_s" else 3))
    if first_s <= 2 * largest_s or largest_s == 0:
        return []
    axes.set_ylim(top=1.15 * largest_s * scale)  # a long first step must not flatten the rest
    return [f"in the warm-up a {noun} reaches {seconds(first_s)}, beyond the scale"]


def _draw_panel(axes: Axes, title: str, series: Series, times: Array) -> None:
    single = len(series) == 1
    for (name, read), look in zip(series.items(), looks(), strict=False):
        if len(read.values):
            style = {**look, "marker": None} if len(read.values) > 1 else look
            line(axes, times[read.places], read.values, name, {**style, "color": SERIES[2]} if single else style)
    axes.set_title(title)
    axes.margins(y=0.15)
    if "%" in title:
        axes.set_ylim(-5, 105)
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _panels(samples: Samples) -> dict[str, Series]:
    """Title -> readings of every panel with a reading, devices first."""

    def of_gpus(name: str) -> Series:
        return {f"GPU {number}": gpu[name] for number, gpu in enumerate(samples.gpus)}

    host = samples.host
    cpus: Series = {"mean": host["cpu_percent"], "busiest": host["cpu_busiest_percent"]}
    if host["steal_percent"].values.any():
        cpus["stolen"] = host["steal_percent"]
    load: Series = {"run": host["run_cpus"], "load of 1 min": host["load_1m"]}
    resident = host["rss_bytes"]
    panels = {
        "SM clock, MHz": of_gpus("sm_mhz"),
        "GPU power, W": of_gpus("power_w"),
        "GPU temperature, °C": of_gpus("temperature_c"),
        "GPU utilisation, %": of_gpus("utilisation_percent"),
        f"host CPUs, %: {_in_words(cpus)}": cpus,
        f"CPUs kept busy: {_in_words(load)}": load,
        "CPU clock, MHz": {} if samples.gpus else {"mean": host["cpu_mhz"]},
        "memory of the run, GiB": {"resident": resident._replace(values=resident.values / GIB)},
    }
    return {title: series for title, series in panels.items() if any(len(read.values) for read in series.values())}


def _in_words(names: Iterable[str]) -> str:
    """Names with their line style, in place of a legend."""
    return ", ".join(f"{name} ({how})" for name, how in zip(names, cycle(("solid", "dashed", "dotted")), strict=False))


def _stretches(axis: Axis, marks: StepMarks) -> list[tuple[float, float]]:
    """Start and end of each run of consecutive disturbed steps; merges runs that are too close to distinguish."""
    least = (axis.ends_s[-1] - axis.starts_s[0]) / 400
    stretches: list[tuple[float, float]] = []
    disturbed = marks.disturbed
    for start, end in zip(axis.starts_s[disturbed].tolist(), axis.ends_s[disturbed].tolist(), strict=True):
        if stretches and start - stretches[-1][1] <= least:
            start, _ = stretches.pop()
        stretches.append((start, end))
    return stretches


def _shade(axes: Axes, axis: Axis, warmup_steps: int, held: Sequence[tuple[float, float]]) -> None:
    if warmup_steps:
        start, end = axis.of([axis.starts_s[0], axis.ends_s[warmup_steps - 1]])
        axes.axvspan(start, end, color=BAND, linewidth=0, zorder=0, label="warm-up")
    for stretch in held:
        start, end = axis.of(stretch)
        axes.axvspan(start, end, facecolor=WARN, alpha=0.2, linewidth=0, zorder=0.5)


def _number_steps(axes: Axes, axis: Axis) -> None:
    """Show step numbers above the first panel, for comparison with loss curves and marks."""
    if len(axis.numbers) < 2:
        return
    ends = axis.of(axis.ends_s)
    ticks = [int(tick) for tick in MaxNLocator(5, integer=True).tick_values(1, axis.numbers[-1])]
    shown = [number for number in ticks if 1 <= number <= axis.numbers[-1]]
    above = axes.secondary_xaxis("top")
    above.set_ticks([ends[number - 1] for number in shown], [f"step {shown[0]}", *map(str, shown[1:])])


def _notes(axis: Axis, warmup_steps: int, panels: dict[str, Series], marks: StepMarks) -> Iterator[str]:
    if warmup_steps:
        yield f"the shaded warm-up ({count(warmup_steps, 'step')}) is left out of the statistics"
    if disturbed := int(marks.disturbed.sum()):
        reasons = ", ".join(sorted(marks.reasons))
        yield f"a GPU was held back in {count(disturbed, 'step')}, marked along the top ({reasons})"
    if any(len(series) > 1 and "GPU 0" in series for series in panels.values()):
        yield "each GPU is drawn as the rank of its number"
    if axis.paused:
        yield f"{count(axis.paused, 'pause')} before it was resumed left out, telemetry is of the last part"
    if not panels:
        yield "no telemetry was read while it ran"


def _largest(ranks: Sequence[Steps], name: str, part: slice) -> float:
    return max((float(getattr(steps, name)[part].max(initial=0.0)) for steps in ranks), default=0.0)
