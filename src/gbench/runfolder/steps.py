"""steps-rankN.jsonl: the raw samples of a rank, one line per step, with their writer (reader: step_columns).

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
from gbench.runfolder.json_lines import JsonLinesWriter
from gbench.runfolder.typed_json import VERSION

Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
FiniteSeconds = Annotated[float, Field(allow_inf_nan=False)]
Loss = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


@dataclass(frozen=True)
class Step:
    """One optimisation step of one rank."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # for `read_step` alone

    step: Whole
    epoch: Whole
    images: Annotated[Whole, Field(gt=0)]
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


def read_step(values: dict[str, Any]) -> Step:
    """The step of a line. Raises ValueError: it is invalid."""
    step = _STEP.validate_python(values)
    if step.data_s < 0 or step.between_s < 0 or step.data_s + step.between_s >= step.step_s:
        raise ValueError(f"data_s and between_s: {step.data_s} and {step.between_s} are no parts of {step.step_s}")
    return step


_STEP = TypeAdapter(Step)
