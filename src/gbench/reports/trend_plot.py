"""Plot a configuration's history: every run with its interval, the levels, and their changes.

The SVG is written here, without matplotlib: a page of a long history has two dozen of these plots.
"""

import math
from collections.abc import Collection, Iterator
from datetime import datetime, timezone
from html import escape

import numpy as np

from gbench.base.words import count
from gbench.reports.averages import Array, averaged
from gbench.reports.history_data import Configuration, Result, Results
from gbench.reports.page import Plot
from gbench.reports.text import four, signed

POINTS = 150  # maximum number of points; beyond it, each point is the mean of several runs
WIDTH, HEIGHT = 245, 130
LEFT, RIGHT, TOP, BOTTOM = 46, 237, 14, 112  # of the area of the points
SIZE = 8  # of text
MOST_TICKS = 5  # on the axis of throughput
# Distances of ticks on the axis of time: unit of numpy, how many, format of their labels, how many of these fit
STEPS = (
    *(("s", many, "%H:%M:%S", 3) for many in (1, 5, 15, 30)),
    *(("m", many, "%H:%M", 5) for many in (1, 5, 15, 30)),
    *(("h", many, "%m-%d %H:%M", 3) for many in (1, 3, 6, 12)),
    *(("D", many, "%m-%d", 5) for many in (1, 2, 7, 14)),
    *(("M", many, "%Y-%m", 4) for many in (1, 2, 3, 6)),
    *(("Y", many, "%Y", 5) for many in (1, 2, 5, 10, 100)),
)


def trend(configuration: Configuration, slower: Collection[int] = ()) -> Plot:
    """Throughput over time. Hollow points have no interval. slower: ids of results that are regressions."""
    caption = "; ".join(_notes(configuration)) + "."
    description = f"Throughput of {configuration.name}, {configuration.details} over time. {caption}"
    drawn = "".join(_Drawing(configuration, slower).parts())
    attributes = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(description)}"'
    return Plot(f'<svg {attributes} font-size="{SIZE}">{drawn}</svg>', caption)


class _Drawing:
    """The parts of one plot."""

    def __init__(self, configuration: Configuration, slower: Collection[int]) -> None:
        self._all, self._slower = configuration, slower
        self._results: Results = configuration.results
        self._many = len(self._results) > POINTS
        self._times = np.array([one.when.timestamp() for one in self._results])
        shown = self._results.throughputs
        ends = [] if self._many else [end for one in self._results for end in (one.low, one.high) if end is not None]
        self._x = _Scale(*_widened(self._times, 0.06, 3600.0), LEFT, RIGHT)
        self._y = _Scale(*_widened(np.append(shown, ends), 0.25, 0.01 * shown.max()), BOTTOM, TOP)

    def parts(self) -> Iterator[str]:
        yield from self._axes()
        if self._many:
            yield from self._stretches()
        else:
            for one in self._results:
                yield from self._run(one)
        for one in self._results:
            if one.id in self._slower:
                x, y = self._x.at(one.when.timestamp()), self._y.at(one.throughput)
                yield f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="none" stroke="var(--warn)"/>'
                yield _text(x - 6, y + 3, "slower", "warn", "end")
        for level in self._all.levels:
            ends = (self._results[level.start], self._results[level.end - 1])
            first, last = (self._x.at(one.when.timestamp()) for one in ends)
            y = self._y.at(level.median)
            yield _line(first, last, y, y, "ink")
        for change in self._all.changes:
            x = self._x.at(change.at.when.timestamp())
            yield _line(x, x, TOP, BOTTOM, "warn", 'stroke-dasharray="4 2"')
            yield _text(x + 2, TOP + SIZE, signed(change.share), "warn")

    def _axes(self) -> Iterator[str]:
        yield _text(LEFT, SIZE, self._all.unit, "muted")
        for value in _round_values(self._y.low, self._y.high):
            y = self._y.at(value)
            yield _line(LEFT, RIGHT, y, y, "rule", 'stroke-width="0.5"')
            yield _text(LEFT - 4, y + 3, f"{value:,.10g}", "muted", "end")
        for time_s, label in _round_times(self._x.low, self._x.high):
            x = self._x.at(time_s)
            yield _line(x, x, TOP, BOTTOM, "rule", 'stroke-width="0.5"')
            yield _text(x, BOTTOM + 11, label, "muted", "middle")
        yield _line(LEFT, RIGHT, BOTTOM, BOTTOM, "rule")

    def _run(self, one: Result) -> Iterator[str]:
        x, y = self._x.at(one.when.timestamp()), self._y.at(one.throughput)
        if one.low is not None and one.high is not None:
            yield _line(x, x, self._y.at(one.low), self._y.at(one.high), "series-1", 'opacity="0.6"')
        fill = "surface" if one.low is None else "series-1"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8" fill="var(--{fill})" stroke="var(--series-1)"/>'

    def _stretches(self) -> Iterator[str]:
        """The line of the means, in the band of the lowest and highest run."""
        times, means, low, high = averaged(self._times, self._results.throughputs, POINTS)
        x = [self._x.at(one) for one in times]
        there, back = (list(zip(x, map(self._y.at, side), strict=True)) for side in (low, high))
        yield f'<path d="{_path([*there, *back[::-1]])}Z" fill="var(--series-1)" opacity="0.25"/>'
        means_at = _path(list(zip(x, map(self._y.at, means), strict=True)))
        yield f'<path d="{means_at}" fill="none" stroke="var(--series-1)" stroke-width="1.2"/>'


class _Scale:
    """Maps values from `low` to `high` to places from `start` to `end`."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self._start, self._end = low, high, start, end

    def at(self, value: float) -> float:
        return self._start + (value - self.low) / (self.high - self.low) * (self._end - self._start)


def _widened(values: Array, share: float, least: float) -> tuple[float, float]:
    """The range of the values with a margin on both sides: a share of it, and at least so much."""
    margin = max(share * float(np.ptp(values)), least)
    return float(values.min()) - margin, float(values.max()) + margin


def _round_values(low: float, high: float) -> list[float]:
    """At most MOST_TICKS round numbers within a range."""
    power = 10.0 ** math.floor(math.log10((high - low) / MOST_TICKS))
    step = next(power * many for many in (1, 2, 5, 10, 20) if (high - low) / (power * many) <= MOST_TICKS - 1)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _round_times(low_s: float, high_s: float) -> list[tuple[float, str]]:
    """Round times (UTC) within a range whose labels fit next to each other: seconds since 1970, and the label."""
    found: list[tuple[float, str]] = []
    ends_s = np.array([low_s, high_s]).astype("datetime64[s]")
    for unit, many, form, most in STEPS:
        first, last = ends_s.astype(f"datetime64[{unit}]").astype(int).tolist()
        numbers = range(first // many * many, last + 1, many)
        if len(numbers) > most + 2:  # two may be outside
            continue
        times_s = np.array(numbers).astype(f"datetime64[{unit}]").astype("datetime64[s]").astype(int).tolist()
        shown = [time_s for time_s in times_s if low_s <= time_s <= high_s]
        found = [(time_s, f"{datetime.fromtimestamp(time_s, timezone.utc):{form}}") for time_s in shown]
        if len(found) <= most:
            break
    return found


def _line(x1: float, x2: float, y1: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" stroke="var(--{colour})" {more}/>'


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="var(--{colour})" text-anchor="{anchor}">{escape(text)}</text>'


def _path(points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _notes(configuration: Configuration) -> list[str]:
    results, changes = configuration.results, configuration.changes
    first, last = results[0], results[-1]
    notes = [f"{count(len(results), 'run')}, {first.when:%Y-%m-%d} to {last.when:%Y-%m-%d}"]
    if len(results) > POINTS:
        notes.append("each point of the line is the mean of a stretch of runs, the band their range")
    if changes:
        newest = changes[-1]
        notes.append(
            f"last change of level {signed(newest.share)} on {newest.at.when:%Y-%m-%d}, from {four(newest.before)} to "
            f"{four(newest.after)}"
        )
    if not configuration.levels[-1].confirmed:
        share = last.throughput / configuration.levels[-2].median - 1
        notes.append(f"the last run is {signed(share)} off its level: unconfirmed, it is one run")
    if any(one.low is None for one in results) and len(results) <= POINTS:
        notes.append("hollow: without an interval")
    return notes
