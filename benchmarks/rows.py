"""The rows of a benchmark: gbench, a reference measured in the same run, and their ratio."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from timing import Median

from gbench.machine.host import cpu_name


class Row(NamedTuple):
    """One comparison."""

    what: str
    against: str
    unit: str
    ours: Median
    reference: Median
    ratio: Median
    """ours / reference, taken within rounds."""
    goal: float | None = None
    """The upper limit for ours, in `unit`."""
    ratio_goal: float | None = None
    """The upper limit for the ratio."""
    ratio_least: float | None = None
    """The lower limit for the ratio, of a rate."""

    @classmethod
    def of(
        cls,
        what: str,
        against: str,
        unit: str,
        ours: Sequence[float],
        reference: Sequence[float],
        goal: float | None = None,
        ratio_goal: float | None = None,
        ratio_least: float | None = None,
    ) -> Row:
        """From paired measurements, one pair a round."""
        ratios = [one / other for one, other in zip(ours, reference, strict=True)]
        medians = (Median.of(values) for values in (ours, reference, ratios))
        return cls(what, against, unit, *medians, goal, ratio_goal, ratio_least)

    def goal_text(self) -> str:
        """Its goal, and whether it is met; empty without a goal."""
        if self.goal is not None:
            return f"; goal {self.goal:g} {self.unit}: {'met' if self.ours.value <= self.goal else 'MISSED'}"
        if self.ratio_goal is not None:
            return f"; goal {self.ratio_goal:g} times: {'met' if self.ratio.value <= self.ratio_goal else 'MISSED'}"
        if self.ratio_least is not None:
            met = "met" if self.ratio.value >= self.ratio_least else "MISSED"
            return f"; goal at least {self.ratio_least:g} times: {met}"
        return ""

    def line(self) -> str:
        """The row as a line of text."""
        return (
            f"{self.what}: {self.ours.value:.4g} {self.unit}; {self.against}: {self.reference.value:.4g} {self.unit}; "
            f"{self.ratio.value:.3g} times ({self.ratio.low:.3g} to {self.ratio.high:.3g}){self.goal_text()}"
        )

    def values(self) -> dict[str, Any]:
        """The row as JSON values."""
        nested = {key: value._asdict() for key, value in self._asdict().items() if isinstance(value, Median)}
        return {**self._asdict(), **nested, "goal_text": self.goal_text()}


def machine() -> dict[str, Any]:
    """Where and when; load_1m shows how quiet the machine was."""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "processor": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def report(rows: Iterable[Row], more: Iterable[str], as_json: bool, **values: Any) -> None:
    """Print rows, then `more` lines; or all of it, and further `values`, as one JSON object."""
    found = list(rows)
    if as_json:
        print(json.dumps({"machine": machine(), "rows": [row.values() for row in found], **values}, indent=2))
    else:
        print(*_lines(found, more), sep="\n")


def _lines(rows: Sequence[Row], more: Iterable[str]) -> Iterator[str]:
    here = machine()
    yield f"{here['processor']}, {here['cores']} cores, {here['date']}, load {here['load_1m']}"
    yield from (row.line() for row in rows)
    yield from more
