"""Verify a record with its own hash, and with the run's raw samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from gbench.cndb.from_run import record_of
from gbench.cndb.identity import HASH_KEY, seal_holds, seal_of
from gbench.cndb.record import Record
from gbench.measure.summary import summarize_folder
from gbench.runfolder.folder import RunFolder

TOLERANCE = 1e-9  # relative: another CPU may round the last digit differently
MISSING = "nothing"


@dataclass(frozen=True)
class Verification:
    """The result of a verification."""

    seal: Literal["holds", "broken", "none"]
    """Whether the record matches its hash; `none`: it has no hash."""
    differences: list[str] | None
    """From the run's samples; None if no run was given."""

    @property
    def holds(self) -> bool | None:
        """Whether the record is verified; None without evidence for or against it."""
        if self.seal == "broken" or self.differences:
            return False
        return True if self.seal == "holds" or self.differences is not None else None


def verify(record: Record, run: RunFolder | None) -> Verification:
    """Check a record against its hash and, given a run folder, against the statistics of its raw samples.

    Raises:
        GbenchError: the run folder can't be read, or no record can be made from it.
    """
    seal: Literal["holds", "broken", "none"] = "none"
    if seal_of(record) is not None:
        seal = "holds" if seal_holds(record) else "broken"
    return Verification(seal, None if run is None else list(_differences(record, run)))


def _differences(record: Record, run: RunFolder) -> Iterator[str]:
    summary = summarize_folder(run)
    again = record_of(run, summary).model_dump()
    said = record.model_dump()
    said["extra"] = {key: value for key, value in (said["extra"] or {}).items() if key != HASH_KEY}
    yield from _compared(said, again, "")


def _compared(said: Any, again: Any, place: str) -> Iterator[str]:
    """Where the record differs from the run. Ignores keys that the record, of an earlier gbench, lacks."""
    if isinstance(said, dict) and isinstance(again, dict):
        for key, value in said.items():
            yield from _compared(value, again.get(key, MISSING), f"{place}.{key}" if place else key)
    elif isinstance(said, list) and isinstance(again, list) and len(said) == len(again):
        for index, (one, other) in enumerate(zip(said, again, strict=True)):
            yield from _compared(one, other, f"{place}[{index}]")
    elif not _same(said, again):
        yield f"{place}: the record says {said!r:.60}, the run {again!r:.60}"


def _same(said: Any, again: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (said, again))
    return math.isclose(said, again, rel_tol=TOLERANCE) if numbers else bool(said == again)
