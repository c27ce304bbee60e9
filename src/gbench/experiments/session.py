"""A session of `gbench ab`: what it was asked for, and every run so far, in `ab.json` of its folder.

The file is written after each run. It holds both sides as they were resolved, so that a session goes on as it began,
whatever has become of the spec files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from gbench.base.files import make_folder, write_atomically
from gbench.base.invalid import first_problem
from gbench.base.untrusted import read_text
from gbench.errors import RecordError, UsageError
from gbench.experiments.block_ratio import BlockRatio
from gbench.settings.resolve import new_run_id
from gbench.settings.spec import Frozen, RunSpec

NAME = "ab.json"
Side = Literal["A", "B"]
MetricName = Literal[
    "throughput", "latency-p95", "memory", "energy"
]  # of compare/metrics.py those that any run may have
ORDER: tuple[Side, ...] = ("A", "B", "B", "A")


class SessionGoal(Frozen):
    """What a session measures, and what ends it."""

    metric: MetricName
    until_ci: float = Field(gt=0, lt=1)
    """Half-width of the ratio's 95 % interval, as a share of the ratio."""
    max_blocks: PositiveInt
    max_time_s: PositiveFloat | None
    """Of all its runs."""


class SessionRun(Frozen):
    """One run of a session."""

    side: Side
    run_id: str
    run_dir: str
    record: str
    figure: float = Field(gt=0, allow_inf_nan=False)  # it has a logarithm
    wall_s: NonNegativeFloat
    """Of the run and its preparation."""
    used: bool = True
    """False if an interruption took the other run of its pair."""


class Session(Frozen):
    """All of a session; `runs` in their order."""

    version: Literal[1] = 1
    session_id: str
    started_utc: str
    command_line: str
    asked: SessionGoal
    files: dict[Side, str] = Field(min_length=2)
    specs: dict[Side, RunSpec] = Field(min_length=2)
    differences: tuple[str, ...]
    runs: tuple[SessionRun, ...] = ()
    ratio: BlockRatio | None = None  # of the blocks that are whole, for readers of the file

    @property
    def used(self) -> list[SessionRun]:
        """The runs that count, A B B A and again."""
        return [run for run in self.runs if run.used]

    @property
    def next_side(self) -> Side:
        """Whose turn it is."""
        return ORDER[len(self.used) % len(ORDER)]

    @property
    def blocks(self) -> int:
        """How many are whole."""
        return len(self.used) // len(ORDER)

    @property
    def wall_s(self) -> float:
        """Seconds of all runs so far."""
        return sum(run.wall_s for run in self.runs)

    def taken_up(self, folder: Path, asked: SessionGoal) -> Session:
        """The session as it goes on in its folder, which may have been moved, after an interruption.

        A machine may have changed meanwhile. That cancels between pairs, A B and B A, but not within one: a run that is
        alone in its pair counts no more.
        """
        runs = list(self.runs)
        if len(self.used) % 2:
            last = max(place for place, run in enumerate(runs) if run.used)
            runs[last] = runs[last].model_copy(update={"used": False})
        specs = {side: spec.model_copy(update={"results_dir": str(folder)}) for side, spec in self.specs.items()}
        return self.model_copy(update={"runs": tuple(runs), "asked": asked, "specs": specs})

    def write(self, folder: Path) -> None:
        """Write `ab.json`. Raises InfrastructureError."""
        make_folder(folder)
        write_atomically(folder / NAME, self.model_dump_json(indent=2) + "\n")


def new_session_id() -> str:
    """Of a session, and of its folder."""
    return new_run_id("ab")


def read_session(folder: Path) -> Session:
    """The session of a folder. Raises UsageError: there is none, or it is broken."""
    path = folder / NAME
    try:
        return Session.model_validate_json(read_text(path, "give the folder of a session of gbench ab"))
    except RecordError as error:
        raise UsageError(error.what, error.hint) from error
    except ValidationError as error:
        raise UsageError(f"{path} is broken: {first_problem(error)}", "begin a new session") from error
