"""The steps of a rank, read from its stream into columns of numbers: 100 bytes a step, for a million steps and more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from gbench.errors import InfrastructureError
from gbench.runfolder.json_lines import read_lines
from gbench.runfolder.steps import Step, read_step, stream_path
from gbench.runfolder.typed_json import UNUSABLE, VERSION

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
COUNTS, FLAG = ("step", "epoch", "images"), "warmup"
CLOCK = ("end_s", "ahead_s")
SECONDS = ("data_s", "step_s", *CLOCK, "between_s")
STEP = b'{"step"'  # how a step's line begins
FIELDS = (*COUNTS, *SECONDS, FLAG, "losses")


@dataclass(frozen=True, eq=False)
class Steps(Sequence[Step]):
    """Steps in order; a column per field, and each item a Step."""

    step: Ints
    epoch: Ints
    images: Ints
    data_s: Floats
    step_s: Floats
    end_s: Floats
    ahead_s: Floats
    between_s: Floats
    warmup: NDArray[np.bool_]
    losses: dict[str, Floats]
    """By name; all steps have the same ones."""

    @classmethod
    def of(cls, steps: Iterable[Step]) -> Steps:
        """The columns of these steps, which have losses of the same names."""
        rows = list(steps)
        columns = {field: [getattr(row, field) for row in rows] for field in FIELDS[:-1]}
        return cls._of(columns, {name: [row.losses[name] for row in rows] for name in (rows[0].losses if rows else ())})

    @classmethod
    def _of(cls, columns: dict[str, Any], losses: dict[str, Any]) -> Steps:
        """From sequences of values. Raises OverflowError: a whole number has no 64 bits."""
        kinds: dict[str, Any] = {
            **dict.fromkeys(COUNTS, np.int64),
            **dict.fromkeys(SECONDS, np.float64),
            FLAG: np.bool_,
        }
        arrays: dict[str, Any] = {field: np.array(columns[field], dtype=kind) for field, kind in kinds.items()}
        return cls(**arrays, losses={name: np.array(values, dtype=float) for name, values in losses.items()})

    @classmethod
    def joined(cls, parts: Sequence[Steps]) -> Steps:
        """All steps of the parts, in order."""
        whole = [part for part in parts if len(part)]
        if len(whole) < 2:
            return whole[0] if whole else cls.of([])
        columns = {field: np.concatenate([getattr(part, field) for part in whole]) for field in FIELDS[:-1]}
        losses = {name: np.concatenate([part.losses[name] for part in whole]) for name in whole[0].losses}
        return cls(**columns, losses=losses)

    def __len__(self) -> int:
        return len(self.step)

    @overload
    def __getitem__(self, place: int) -> Step: ...
    @overload
    def __getitem__(self, place: slice | NDArray[np.bool_]) -> Steps: ...
    def __getitem__(self, place: int | slice | NDArray[np.bool_]) -> Step | Steps:
        columns = {field: getattr(self, field)[place] for field in FIELDS[:-1]}
        losses = {name: values[place] for name, values in self.losses.items()}
        if not isinstance(place, int):
            return Steps(**columns, losses=losses)
        one = {field: value.item() for field, value in columns.items()}
        return Step(**one, losses={name: value.item() for name, value in losses.items()})


@dataclass(frozen=True)
class AttemptSteps:
    """The steps of one attempt at a run, which continue after step `after` of an earlier attempt."""

    after: int
    steps: Steps


def read_attempts(run_dir: Path, rank: int) -> list[AttemptSteps]:
    """All steps of one rank by attempt, repeated ones included; empty without a stream. Raises InfrastructureError."""
    reader = _StreamReader(stream_path(run_dir, rank), rank)
    read_lines(reader.path, reader.take, STEP, reader.take_many)
    return [AttemptSteps(after, Steps.joined(parts)) for after, parts in reader.attempts]


def steps_that_count(attempts: Iterable[AttemptSteps]) -> Steps:
    """The steps of a run, without those that a later attempt repeated."""
    counted = Steps.of([])
    for attempt in attempts:
        counted = Steps.joined([counted[: attempt.after], attempt.steps])
    return counted


class _StreamReader:
    """Collects the attempts in a stream: how many steps came before each, and its steps in parts."""

    def __init__(self, path: Path, rank: int) -> None:
        self.path, self.attempts = path, list[tuple[int, list[Steps]]]()
        self._rank, self._last, self._end_s = rank, 0, 0.0
        self._losses: set[str] | None = None

    def take(self, values: dict[str, Any]) -> None:
        """Take one line. Raises ValueError: it is invalid; InfrastructureError: it has other losses than the first."""
        if not self.attempts or "resumed_after" in values:
            self._last = self._begin(values)
            self.attempts.append((self._last, []))
            return
        if values.keys().isdisjoint(CLOCK):  # the first versions did not write them
            step_s = values.get("step_s")
            values |= {"end_s": self._end_s + (step_s if isinstance(step_s, float) else 0.0), "ahead_s": 0.0}
        step = read_step(values)
        if step.step != self._last + 1:
            raise ValueError(f"step {step.step} where step {self._last + 1} should be")
        if self._losses not in (None, step.losses.keys()):
            place = f"{self.path} step {step.step}"
            raise InfrastructureError(f"{place} is broken (other losses than in step 1)", UNUSABLE)
        self._add(Steps.of([step]))

    def take_many(self, lines: list[Any]) -> bool:
        """Take many lines if they are steps just as the writer writes them. Returns whether they are."""
        steps = _plain_steps(lines) if self.attempts else None
        if steps is None or self._losses not in (None, steps.losses.keys()):
            return False
        if not np.array_equal(steps.step, np.arange(self._last + 1, self._last + 1 + len(steps))):
            return False
        self._add(steps)
        return True

    def _add(self, steps: Steps) -> None:
        self._losses, self._last, self._end_s = set(steps.losses), int(steps.step[-1]), float(steps.end_s[-1])
        self.attempts[-1][1].append(steps)

    def _begin(self, values: dict[str, Any]) -> int:
        """The number of steps before an attempt, from its first line. Raises ValueError: it is invalid."""
        after = values.pop("resumed_after", 0)
        if values != {"version": VERSION, "rank": self._rank}:
            raise ValueError(f"not a step stream of version {VERSION} and rank {self._rank}")
        if not isinstance(after, int) or not 0 <= after <= self._last:
            raise ValueError(f"resumed after step {after} of {self._last}")
        return after


def _plain_steps(lines: list[Any]) -> Steps | None:
    """The steps of these lines; None if a line is not one, or has a value of another type than the writer's.

    What `read_step` checks, for many lines at once.
    """
    try:
        columns = dict(zip(FIELDS, zip(*map(itemgetter(*FIELDS), lines), strict=True), strict=True))
        losses = columns.pop("losses")
        by_name = {name: [one[name] for one in losses] for name in losses[0]}
        plain = (
            _all_of(map(len, lines), {len(FIELDS)})
            and _all_of(map(len, losses), {len(by_name)})
            and _all_of(map(type, losses), {dict})
            and _all_of(map(type, columns[FLAG]), {bool})
            and all(_all_of(map(type, columns[name]), {int}) for name in COUNTS)
            and all(_all_of(map(type, columns[name]), {int, float}) for name in SECONDS)
            and all(_all_of(map(type, values), {int, float, type(None)}) for values in by_name.values())
        )
        steps = Steps._of(columns, by_name) if plain else None
    except (ValueError, TypeError, KeyError, IndexError, OverflowError):
        return None
    return steps if steps is not None and _possible(steps) else None


def _all_of(found: Iterable[Any], allowed: set[Any]) -> bool:
    return set(found) <= allowed


def _possible(steps: Steps) -> bool:
    """Whether all values are in range."""
    waits = steps.data_s, steps.between_s
    return bool(
        all(np.isfinite(getattr(steps, name)).all() for name in SECONDS)
        and (steps.images > 0).all()
        and (steps.step_s > 0).all()
        and all((part >= 0).all() for part in waits)
        and (sum(waits) < steps.step_s).all()
    )
