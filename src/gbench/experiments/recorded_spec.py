"""The input of `gbench replay`: a record and the spec of its run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from gbench.base.invalid import first_problem, remedy
from gbench.cndb.record import Record
from gbench.compare.metrics import at
from gbench.compare.sides import read_one
from gbench.errors import UsageError
from gbench.runfolder.folder import RunFolder
from gbench.settings.literals import Recipe
from gbench.settings.spec import RunSpec

FORMS = "give one record file or run folder; `gbench cndb export` makes files of the records of a database"
# Fields specific to one run or machine: a record's spec omits them, and a replay sets its own.
NOT_SAID = {"run_id": "", "command_line": "", "database": None, "results_dir": "", "logs_dir": "", "cndb_dir": ""}


@dataclass(frozen=True)
class Recorded:
    source: str
    record: Record
    spec: RunSpec

    @property
    def folder(self) -> RunFolder | None:
        """The run folder; None if a record file was given."""
        path = Path(self.source)
        return RunFolder(path) if path.is_dir() else None

    @property
    def software(self) -> dict[str, Any]:
        """The record's `soft_info`; empty if it has none."""
        return self.record.soft_info.model_dump() if self.record.soft_info else {}

    def extra(self, *path: str) -> Any:
        """A value of the record's `extra`; None if it has none."""
        return at(self.record.extra, *path)


def read_recorded(text: str) -> Recorded:
    """Read the run of a record file or a run folder. Raises UsageError: it is none, or several, or lacks a spec."""
    run = read_one(text, "RECORD", FORMS)
    spec = RunFolder(Path(run.source)).spec() if Path(run.source).is_dir() else _spec_of(run.record, run.source)
    if spec.recipe not in get_args(Recipe):
        raise UsageError(f"{run.source} is of no launch, its recipe is {spec.recipe}", "give a run that was measured")
    return Recorded(run.source, run.record, spec)


def _spec_of(record: Record, source: str) -> RunSpec:
    values = at(record.extra, "spec")
    if values is None:
        raise _no_spec(record, source)
    if not isinstance(values, dict):
        raise UsageError(f"{source}: extra.spec is no mapping", "give the run folder")
    try:
        return RunSpec.model_validate({**NOT_SAID, **values})
    except ValidationError as error:
        raise UsageError(
            f"{source}: extra.spec is not a spec that this gbench reads ({first_problem(error)})",
            remedy(error, "measure again"),
        ) from error


def _no_spec(record: Record, source: str) -> UsageError:
    if record.run_id is None:
        return UsageError(
            f"{source} can't be run again: another tool wrote it, and it says nothing of network, schedule, warm-up, "
            "loader, seed, run script and image id",
            f"launch the like by hand, gbench launch MODEL {record.batch_size or 'BATCH_SIZE'} {record.dev_num} "
            f"{record.train_type or 'PRECISION'}, then gbench compare --allow what differs",
        )
    command_line = (record.extra or {}).get("command_line")
    by_hand = f", or launch it by hand: {command_line}" if command_line else ""
    return UsageError(
        f"{source} can't be run again: an earlier gbench wrote it, without its spec (extra.spec)",
        f"give the folder of run {record.run_id}{by_hand}",
    )
