"""Verify a record with its own hash, and with the run's raw samples."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from gbench.cndb.from_run import record_of
from gbench.cndb.identity import HASH_KEY, SCHEMA_KEY, seal_holds, seal_of
from gbench.cndb.record import Record
from gbench.cndb.throughput import rule_of
from gbench.measure.summary import summarize_folder, with_losses_as_before
from gbench.runfolder.folder import RunFolder

TOLERANCE = 1e-9  # relative: another CPU may round the last digit differently
MISSING = "nothing"


@dataclass(frozen=True)
class Verification:
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
    """Check a record against its hash and, given a run folder, its raw samples. Raises GbenchError: no record there."""
    seal: Literal["holds", "broken", "none"] = "none"
    if seal_of(record) is not None:
        seal = "holds" if seal_holds(record) else "broken"
    return Verification(seal, None if run is None else _differences(record, run))


def _differences(record: Record, run: RunFolder) -> list[str]:
    """Where the record differs from the run, by the record's own rule of the statistics.

    Accepts mean losses over the measured steps, and of a convergence run over its last epoch, as earlier versions had.
    """
    summary = summarize_folder(run, rule_of(record))
    found = list(_from(record, record_of(run, summary)))
    if summary is not None and found and all(one.startswith("metric_data.") for one in found):
        before = with_losses_as_before(run, summary)
        then = record_of(run, before)
        readings = then, then.model_copy(update={"metric_data": before.last_epoch_losses})
        found = min((list(_from(record, one)) for one in readings), key=len)
    return found


def _from(record: Record, run: Record) -> Iterator[str]:
    recomputed, recorded = run.model_dump(), record.model_dump()
    recorded["extra"] = {
        key: value for key, value in (recorded["extra"] or {}).items() if key not in (HASH_KEY, SCHEMA_KEY)
    }
    yield from _compared(recorded, recomputed, "")


def _compared(recorded: Any, recomputed: Any, place: str) -> Iterator[str]:
    """Where the record differs from the run. Ignores keys that the record, of an earlier gbench, lacks."""
    if isinstance(recorded, dict) and isinstance(recomputed, dict):
        for key, value in recorded.items():
            yield from _compared(value, recomputed.get(key, MISSING), f"{place}.{key}" if place else key)
    elif isinstance(recorded, list) and isinstance(recomputed, list) and len(recorded) == len(recomputed):
        for index, (one, other) in enumerate(zip(recorded, recomputed, strict=True)):
            yield from _compared(one, other, f"{place}[{index}]")
    elif not _same(recorded, recomputed):
        yield f"{place}: the record says {recorded!r:.60}, the run {recomputed!r:.60}"


def _same(recorded: Any, recomputed: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (recorded, recomputed))
    return math.isclose(recorded, recomputed, rel_tol=TOLERANCE) if numbers else bool(recorded == recomputed)
