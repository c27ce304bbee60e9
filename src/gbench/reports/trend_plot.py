"""Plot a configuration's history: every run with its interval, the levels, and their changes."""

from collections.abc import Collection

import matplotlib.dates as dates
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from gbench.base.words import count
from gbench.reports.history_data import Configuration, Results
from gbench.reports.page import Plot
from gbench.reports.plots import line
from gbench.reports.svg import INK, SERIES, SURFACE, WARN, captioned, figure
from gbench.reports.text import four, signed

POINTS = 150  # maximum number of points; beyond it, each point is the mean of several runs


def trend(configuration: Configuration, slower: Collection[int] = ()) -> Plot:
    """Throughput over time. Hollow points have no interval. slower: ids of results that are regressions."""
    results = configuration.results
    with figure(1.8, 3.4) as drawn:
        axes = drawn.subplots()
        if len(results) > POINTS:
            when, values = dates.date2num([one.when for one in results]), [one.throughput for one in results]
            line(axes, when, values, "", {"color": SERIES[0], "linestyle": "-", "marker": None}, POINTS)
        else:
            _draw_runs(axes, results)
        for result in results:
            if result.id in slower:
                at = (float(dates.date2num(result.when)), result.throughput)
                axes.plot(*at, marker="s", markersize=8, color=WARN, markerfacecolor="none")
                axes.annotate("slower", at, (-6, -3), textcoords="offset points", ha="right", color=WARN)
        for level in configuration.levels:
            ends = [results[level.start].when, results[level.end - 1].when]
            axes.plot(dates.date2num(ends), [level.median] * 2, color=INK, linewidth=1)
        for change in configuration.changes:
            x = float(dates.date2num(change.at.when))
            axes.axvline(x, color=WARN, linestyle="--", linewidth=1)
            at_top = ("data", "axes fraction")
            axes.annotate(signed(change.share), (x, 1), (2, -2), at_top, "offset points", va="top", color=WARN)
        axes.margins(x=0.06, y=0.25)
        locator = dates.AutoDateLocator(minticks=2, maxticks=5)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_ylabel(configuration.unit)
        caption = "; ".join(_notes(configuration)) + "."
        name = f"{configuration.name}, {configuration.details}"
        return captioned(drawn, f"trend-{configuration.key}", f"Throughput of {name} over time", caption)


def _draw_runs(axes: Axes, results: Results) -> None:
    ends = [(one.when, one.low, one.high) for one in results if one.low is not None and one.high is not None]
    if ends:
        when, low, high = zip(*ends, strict=True)
        axes.vlines(dates.date2num(when), low, high, color=SERIES[0], linewidth=1, alpha=0.6)
    for filled in (True, False):
        chosen = [one for one in results if (one.low is not None) == filled]
        axes.plot(
            dates.date2num([one.when for one in chosen]),
            [one.throughput for one in chosen],
            linestyle="none",
            marker="o",
            markersize=3.5,
            color=SERIES[0],
            markerfacecolor=SERIES[0] if filled else SURFACE,
        )


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
