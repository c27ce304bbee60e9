"""A trace of torch.profiler, in Chrome's format as Kineto writes it: its events, nested, and the time spans cover."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gbench.base.files import open_file
from gbench.errors import InfrastructureError

ON_DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")  # Kineto's categories of GPU activity
ROUNDING_S = 1e-8  # times are written in microseconds with three digits, and read as doubles
Span = tuple[float, float]  # seconds: start, end


@dataclass(eq=False)
class Event:
    """One event with a duration, in seconds."""

    name: str
    kind: str
    """Kineto's category."""
    thread: Any
    start_s: float
    end_s: float
    id: int | None
    sequence: int | None
    """Autograd's number, if any."""
    parent: Event | None = None
    """The innermost event of the same thread around it."""
    inside_s: float = 0.0
    """Duration of its children."""

    @property
    def span(self) -> Span:
        return self.start_s, self.end_s

    @property
    def self_s(self) -> float:
        """Its duration minus that of its children."""
        return max(0.0, self.end_s - self.start_s - self.inside_s)

    def around(self) -> Iterator[Event]:
        """Itself and all events around it, the innermost first."""
        event: Event | None = self
        while event is not None:
            yield event
            event = event.parent


def load(path: Path) -> list[Event]:
    """The events of a trace file, each with its parent. Raises InfrastructureError: unreadable or incomplete."""
    try:
        with open_file(path) as packed, gzip.open(packed, "rt", encoding="utf-8") as file:
            return events_of(json.load(file)["traceEvents"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise InfrastructureError(
            f"{path} is no whole trace ({error})", "look at the space left there, and profile again"
        ) from error


def events_of(rows: Iterable[Mapping[str, Any]]) -> list[Event]:
    """The events with a duration among `traceEvents`, nested thread by thread."""
    threads: dict[Any, list[Event]] = defaultdict(list)
    for row in rows:
        if row.get("ph") != "X":
            continue
        more, start_s = row.get("args", {}), row["ts"] / 1e6
        end_s = start_s + row["dur"] / 1e6
        sequence = more.get("Sequence number")
        thread = row["pid"], row["tid"]
        event = Event(row["name"], row.get("cat", ""), thread, start_s, end_s, more.get("External id"), sequence)
        threads[thread].append(event)
    for events in threads.values():
        events.sort(key=lambda event: (event.start_s, -event.end_s))
        if events[0].kind in ON_DEVICE:
            continue
        open_events: list[Event] = []
        for event in events:
            while open_events and not _holds(open_events[-1], event):
                open_events.pop()
            if open_events:
                event.parent = open_events[-1]
                event.parent.inside_s += event.end_s - event.start_s
            open_events.append(event)
    return [event for events in threads.values() for event in events]


def _holds(outer: Event, inner: Event) -> bool:
    return outer.end_s > inner.start_s and outer.end_s >= inner.end_s - ROUNDING_S


def union(spans: Iterable[Span]) -> list[Span]:
    """The union of spans, as disjoint spans in order."""
    merged: list[Span] = []
    for start_s, end_s in sorted(spans):
        if merged and start_s <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end_s)
        else:
            merged.append((start_s, end_s))
    return merged


def length(spans: Iterable[Span]) -> float:
    """Seconds of spans that do not overlap."""
    return sum(end_s - start_s for start_s, end_s in spans)


def clipped(spans: Sequence[Span], to: Sequence[Span]) -> list[Span]:
    """The parts of `spans` within `to`; both are unions."""
    parts, place = list[Span](), 0
    for start_s, end_s in spans:
        while place < len(to) and to[place][1] <= start_s:
            place += 1
        for low_s, high_s in to[place:]:
            if low_s >= end_s:
                break
            parts.append((max(start_s, low_s), min(end_s, high_s)))
    return parts
