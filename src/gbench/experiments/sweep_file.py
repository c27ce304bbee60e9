"""The sweep folder: `sweep.json` with the state of each cell, and the run folders of all cells.

results/<utc>-sweep-<model>-<id>/
    sweep.json    rewritten atomically whenever a cell begins or ends
    sweep.md      the table; written when the sweep ends or is stopped
    .lock         held while the sweep runs
    <utc>-<model>-<id>/    a run folder for each attempt at a cell
"""

import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gbench.base.files import write_atomically, write_errors
from gbench.base.json_file import read_json
from gbench.base.paths import SWEEP
from gbench.errors import InfrastructureError
from gbench.experiments.sweep_matrix import Place, Scaling
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.own import mark_own
from gbench.settings.resolve import new_run_id
from gbench.settings.spec import RunSpec

State = Literal["waiting", "running", "interrupted", "failed", "done", "out_of_memory", "skipped"]
ENDED: tuple[State, ...] = ("done", "out_of_memory", "skipped")  # not run again


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CellAttempt(_Exact):
    run: str
    """Name of its run folder."""
    state: Literal["running", "interrupted", "failed", "done", "out_of_memory"] = "running"
    """Also `running` if gbench was killed."""
    reason: str | None = None
    """Why it failed."""
    record: str | None = None


class SweepCell(_Exact):
    place: Place
    skipped: str | None = None
    """Why it is not run."""
    attempts: list[CellAttempt] = Field(default_factory=list)

    @property
    def state(self) -> State:
        """Its state: `skipped`, `waiting`, or that of its last attempt."""
        if self.skipped is not None:
            return "skipped"
        return self.attempts[-1].state if self.attempts else "waiting"

    @property
    def reason(self) -> str | None:
        """Why it was skipped, or failed."""
        return self.skipped or (self.attempts[-1].reason if self.attempts else None)


class Sweep(_Exact):
    """The content of sweep.json."""

    version: Literal[1] = 1
    scaling: Scaling
    stop_at_oom: bool
    spec: RunSpec
    """The settings common to all cells; its values of the axes are meaningless."""
    cells: list[SweepCell]

    def new_path(self) -> Path:
        """Path of a new sweep folder, in the folder of results."""
        return Path(self.spec.results_dir) / new_run_id(f"sweep-{self.spec.model}")


@dataclass(frozen=True)
class SweepFolder:
    path: Path

    def create(self, sweep: Sweep) -> None:
        """Create the folder, and write the sweep into it. Raises InfrastructureError: it exists or can't be made."""
        with write_errors(self.path):
            self.path.mkdir(parents=True)
        self.write(sweep)
        mark_own(self.path, [sweep.spec])

    @property
    def file(self) -> Path:
        return self.path / SWEEP

    @property
    def page(self) -> Path:
        return self.path / "sweep.md"

    @property
    def resume_command(self) -> str:
        return f"gbench sweep --resume {shlex.quote(str(self.path))}"

    def run(self, attempt: CellAttempt) -> RunFolder:
        return RunFolder(self.path / attempt.run)

    def record_of(self, attempt: CellAttempt) -> Path | None:
        """Path of the record of an attempt's run, regardless of `state`; None if there is none."""
        with suppress(InfrastructureError):  # host.json is broken: rerun it, like a run without a record
            record = self.run(attempt).host().record
            if record is not None and Path(record).is_file():
                return Path(record)
        return None

    def write(self, sweep: Sweep) -> None:
        """Write sweep.json. Raises InfrastructureError: it can't be written."""
        write_atomically(self.file, sweep.model_dump_json(indent=2) + "\n")

    def read(self) -> Sweep:
        """Read sweep.json. Raises InfrastructureError: it is missing, broken, or of another version."""
        return read_json(self.file, Sweep, "a sweep", "give the folder of a gbench sweep", "start a new sweep")
