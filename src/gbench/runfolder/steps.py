"""steps-rankN.jsonl: the raw samples of a rank, one line per step, with their writer and reader.

{"version": 1, "rank": 0}             first; after a resumption again, with `resumed_after`
{"step": 1, "epoch": 1, ...}          a Step
"""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, TypeAdapter

from gbench.base.files import write_errors
from gbench.runfolder.json_lines import JsonLinesWriter, read_lines
from gbench.runfolder.typed_json import VERSION

FiniteSeconds = Annotated[float, Field(allow_inf_nan=False)]
Loss = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


@dataclass(frozen=True)
class Step:
    """One optimisation step of one rank."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # for `read_step` alone

    step: int
    epoch: int
    images: Annotated[int, Field(gt=0)]
    """Of this rank."""
    data_s: FiniteSeconds
    """Seconds waiting for the batch."""
    step_s: Annotated[FiniteSeconds, Field(gt=0)]
    """Seconds of the whole step, data_s and between_s included, until the device is done."""
    end_s: FiniteSeconds
    """Its end on the host's monotonic clock."""
    ahead_s: FiniteSeconds
    """Seconds from the host's submission of its work to its end."""
    warmup: bool
    """Whether the spec excludes it from the statistics."""
    losses: dict[str, Loss] = field(default_factory=dict)
    """Of this rank's part of the batch. One that is not finite is null in the stream, and NaN when read."""
    between_s: FiniteSeconds = 0.0
    """Seconds of readings, log lines and checkpoints before it requested its batch."""


@dataclass(frozen=True)
class AttemptSteps:
    """The steps of one attempt at a run, which continue after step `after` of an earlier attempt."""

    after: int
    steps: list[Step] = field(default_factory=list)

    @property
    def last(self) -> int:
        return self.after + len(self.steps)


def stream_path(run_dir: Path, rank: int) -> Path:
    return run_dir / f"steps-rank{rank}.jsonl"


class StepWriter(JsonLinesWriter):
    """Appends the steps of one rank. resumed_after: the step after which a run resumes; None for a new run."""

    def __init__(self, run_dir: Path, rank: int, resumed_after: int | None = None) -> None:
        super().__init__(stream_path(run_dir, rank), new=resumed_after is None)
        resumed = {} if resumed_after is None else {"resumed_after": resumed_after}
        self.write([{"version": VERSION, "rank": rank, **resumed}])

    def append(self, steps: Iterable[Step]) -> None:
        self.write(map(vars, steps))

    def sync(self) -> None:
        """Make all steps so far durable."""
        with write_errors(self._path):
            os.fsync(self._file.fileno())


def read_attempts(run_dir: Path, rank: int) -> list[AttemptSteps]:
    """All steps of one rank by attempt, repeated ones included; empty without a stream. Raises InfrastructureError."""
    attempts: list[AttemptSteps] = []

    def take(values: dict[str, Any]) -> None:
        last = attempts[-1].last if attempts else 0
        if not attempts or "resumed_after" in values:
            attempts.append(_begin_attempt(values, rank, last))
            return
        step = read_step(values)
        if step.step != last + 1:
            raise ValueError(f"step {step.step} where step {last + 1} should be")
        attempts[-1].steps.append(step)

    read_lines(stream_path(run_dir, rank), take)
    return attempts


def steps_that_count(attempts: Iterable[AttemptSteps]) -> list[Step]:
    """The steps of a run, without those that a later attempt repeated."""
    steps: list[Step] = []
    for attempt in attempts:
        del steps[attempt.after :]
        steps += attempt.steps
    return steps


def read_step(values: dict[str, Any]) -> Step:
    """The step of a line. Raises ValueError: it is invalid."""
    step = _STEP.validate_python(values)
    if step.data_s < 0 or step.between_s < 0 or step.data_s + step.between_s >= step.step_s:
        raise ValueError(f"data_s and between_s: {step.data_s} and {step.between_s} are no parts of {step.step_s}")
    return step


def _begin_attempt(values: dict[str, Any], rank: int, last: int) -> AttemptSteps:
    """Parse the first line of an attempt. Raises ValueError: it is invalid."""
    after = values.pop("resumed_after", 0)
    if values != {"version": VERSION, "rank": rank}:
        raise ValueError(f"not a step stream of version {VERSION} and rank {rank}")
    if not isinstance(after, int) or not 0 <= after <= last:
        raise ValueError(f"resumed after step {after} of {last}")
    return AttemptSteps(after)


_STEP = TypeAdapter(Step)
