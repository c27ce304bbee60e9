"""One self-contained HTML page of a history: what became slower, each configuration's trend, what is stale.

gbench report --history
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from dominate import tags as t

from gbench.base.files import write_atomically
from gbench.cndb.database_config import DatabaseConfig
from gbench.reports.history_data import STALE_DAYS, Configuration, HistoryData, Result, read_history
from gbench.reports.page import contents, facts, headline, plot_card, render, section
from gbench.reports.sorting import SCRIPT, Column, TableCell, sortable
from gbench.reports.text import count, four, signed
from gbench.reports.trend_plot import trend

TRENDS = 24  # plots on the page
ROWS = 500  # of a table
NAMED = Column("configuration", number=False)
LATEST = (NAMED, *map(Column, ("latest", "95 %", "change", "runs")), Column("run (UTC)"), Column("record"))
REGRESSIONS = (NAMED, *map(Column, ("change", "result", "mean before", "of runs", "run (UTC)", "record")))
CHANGES = (NAMED, *map(Column, ("change", "from", "to", "since (UTC)", "record")), Column("what differs", number=False))
STALE = (NAMED, *map(Column, ("days ago", "latest", "runs", "run (UTC)", "record")))


def write_history(config: DatabaseConfig, path: Path, model: str | None, since: datetime | None) -> Path:
    """Write the page of a database's history.

    Args:
        model, since: as in `read_history`.

    Raises:
        InfrastructureError, RecordError: as in `read_history`, or `path` can't be written.
    """
    write_atomically(path, page(read_history(config, model, since)))
    return path


def page(history: HistoryData) -> str:
    """The page as HTML text."""
    every = history.configurations
    drawn = _worth_drawing(history)
    stale = sorted((one for one in every if one.stale), key=lambda one: -one.latest.age_days)
    changed = sorted(
        ((one, change) for one in every for change in one.changes), key=lambda pair: pair[1].at.when, reverse=True
    )

    def fill() -> None:
        _header(history, len(stale))
        with t.main():
            names = {"regressions": "Slower", "changes": "Changes of level", "trends": "Trends"}
            contents({**names, "latest": "Latest results", "stale": "Stale"})
            with section("Slower in the last 30 days", "regressions"):
                _regressions(history)
            with section("Changes of level", "changes"):
                t.p(
                    "Where the throughput of a configuration moved to another level and stayed there; it takes 8 runs "
                    "to tell. What differs is between the first run after it and the one before.",
                    cls="muted",
                )
                _table(
                    "changes of level",
                    CHANGES,
                    [
                        (
                            _name(one),
                            TableCell(signed(change.share), change.share),
                            TableCell(four(change.before), change.before),
                            TableCell(four(change.after), change.after),
                            *_run(change.at),
                            TableCell("; ".join(change.differs) or "nothing that the records say"),
                        )
                        for one, change in changed
                    ],
                    "No configuration changed its level.",
                )
            with section("Trends", "trends"):
                _trends(drawn, {item.result.id for item in history.regressions}, len(every))
            with section("Latest results", "latest"):
                _table("latest results", LATEST, [tuple(_latest(one)) for one in every], "")
            with section(f"Not measured for {STALE_DAYS:.0f} days", "stale"):
                _table("stale", STALE, [tuple(_stale(one)) for one in stale], "Every configuration was measured since.")
        t.footer(t.p(f"Made by gbench from {history.database}, as it was at {history.made:%Y-%m-%d %H:%M} UTC."))

    return render(f"History: {count(len(every), 'configuration')}", fill, SCRIPT)


def _header(history: HistoryData, stale: int) -> None:
    every = history.configurations
    first = min(one.results[0].when for one in every)
    last = max(one.latest.when for one in every)
    slower = len({item.configuration.key for item in history.regressions})
    with t.header():
        t.p(f"history of {history.database}", cls="muted")
        t.h1("What was measured, and is it getting slower?")
        with t.div(cls="card hero"):
            headline(
                f"{slower:,}",
                f"of {len(every):,} slower",
                "Configurations with a result of the last 30 days that lies below the intervals of the up to 10 before "
                "it, and 2 % below their mean at least.",
            )
            facts(
                (
                    ("Results", f"{history.results:,} with a throughput"),
                    ("Runs", f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"),
                    ("Only", history.filters or "all of them"),
                    ("Stale", f"{count(stale, 'configuration')}, not measured for {STALE_DAYS:.0f} days"),
                    ("As of", f"{history.made:%Y-%m-%d %H:%M} UTC"),
                )
            )


def _regressions(history: HistoryData) -> None:
    rows = [
        (
            _name(item.configuration),
            TableCell(signed(-item.loss_share), -item.loss_share),
            TableCell(four(item.result.throughput), item.result.throughput, _interval(item.result)),
            TableCell(four(item.previous_mean), item.previous_mean),
            TableCell(str(item.previous_results)),
            *_run(item.result),
        )
        for item in history.regressions
    ]
    _table("regressions", REGRESSIONS, rows, "No result of the last 30 days is slower than those before it.")


def _trends(drawn: Sequence[Configuration], slower: set[int], total: int) -> None:
    if len(drawn) < total:
        t.p(
            f"{len(drawn)} of {total:,}: those with a regression or a change of level first, then the last measured. "
            "gbench report --history --model MODEL draws others.",
            cls="muted",
        )
    with t.div(cls="grid trends"):
        for one in drawn:
            plot_card(one.name, trend(one, slower), below=one.details)


def _worth_drawing(history: HistoryData) -> list[Configuration]:
    slower = {item.configuration.key for item in history.regressions}
    by_interest = sorted(history.configurations, key=lambda one: (one.key not in slower, not one.changes))
    return by_interest[:TRENDS]


def _table(name: str, columns: Sequence[Column], rows: Sequence[Sequence[TableCell]], without: str) -> None:
    if not rows:
        t.p(without)
        return
    with t.div(cls="card"):
        sortable(name, columns, rows[:ROWS])
        if len(rows) > ROWS:
            t.p(f"{len(rows) - ROWS:,} more are not shown; --model and --since choose among them.", cls="muted")


def _name(one: Configuration) -> TableCell:
    return TableCell(one.name, f"{one.name}, {one.details}", one.details)


def _latest(one: Configuration) -> Iterator[TableCell]:
    last = one.latest
    yield _name(one)
    yield TableCell(
        f"{four(last.throughput)} {one.unit}", last.throughput, "not steady" if last.steady is False else ""
    )
    yield TableCell(_interval(last), _half(last) if last.low is not None else "")
    before = one.results[-2].throughput if len(one.results) > 1 else None
    yield (
        TableCell(signed(last.throughput / before - 1), last.throughput / before - 1) if before else TableCell("–", "")
    )
    yield TableCell(f"{len(one.results):,}", len(one.results))
    yield from _run(last)


def _stale(one: Configuration) -> Iterator[TableCell]:
    yield _name(one)
    yield TableCell(f"{one.latest.age_days:,.0f}", one.latest.age_days)
    yield TableCell(f"{four(one.latest.throughput)} {one.unit}", one.latest.throughput)
    yield TableCell(f"{len(one.results):,}", len(one.results))
    yield from _run(one.latest)


def _run(result: Result) -> tuple[TableCell, TableCell]:
    when = f"{result.when:%Y-%m-%d %H:%M}"
    return TableCell(when, result.when.timestamp()), TableCell(str(result.id))


def _half(result: Result) -> float:
    assert result.low is not None and result.high is not None
    return (result.high - result.low) / 2 / result.throughput


def _interval(result: Result) -> str:
    return "–" if result.low is None or result.high is None else f"±{_half(result):.1%}"
