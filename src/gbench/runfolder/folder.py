"""The run folder: the whole contract between the host and the worker.

    spec.json            the RunSpec; host, before the start
    host.json            what the host knows: OS, image, dataset hash, command line; host
    environment.json     what the worker saw: versions, devices, the precision that ran; rank 0
    steps-rankN.jsonl    raw samples, one line a step, written as the run goes; every rank
    telemetry.jsonl      devices and host, sampled beside the run; its reader is gbench.measure.telemetry.stream
    alarms.jsonl         what a convergence run warned of; rank 0; its reader is gbench.runfolder.alarms
    error.json           the sentence a worker failed with, if it did; its reader is gbench.runfolder.error_file
    benchmark.log        benchmark log lines (CNDB.md section 2); a user's own run script
    result.json          statistics, a pure function of the files above; host, at the end
    log.txt              everything the run printed
    checkpoints/
    evaluations/         run folders of their own; evaluation.json is the result (evaluation_result)

Every file has a version field and a typed reader here. Nothing is overwritten: the folder is the run's own.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from gbench.base import strict_json
from gbench.base.files import cant_write, locked, write_all, write_atomically
from gbench.base.invalid import first_problem
from gbench.errors import InfrastructureError
from gbench.runfolder.environment_facts import EnvironmentFacts
from gbench.runfolder.host_facts import HostFacts
from gbench.runfolder.typed_json import VERSION, to_json
from gbench.settings.spec import RunSpec

HOST, ENVIRONMENT = "host.json", "environment.json"
VISUALS = ("real_A", "fake_B", "real_B")  # the images of a pair by upstream's labels, in the order shown
FiniteSeconds = Annotated[float, Field(allow_inf_nan=False)]
Result = TypeVar("Result", bound=BaseModel)
Loss = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


@dataclass(frozen=True)
class Step:
    """One optimisation step of one rank.

    data_s: seconds waiting for the batch; step_s: seconds of the whole step, data_s included, until the device is done;
    end_s: its end on the host's monotonic clock; ahead_s: seconds before it in which the host had handed over its work.
    warmup: one of the steps that are left out in any case.
    losses: of this rank's part of the batch; one that is not finite is null in the stream, and NaN when read again.
    between_s: seconds of it before its batch was asked for, spent on readings, log lines and checkpoints.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # of `read_step`; making one checks nothing

    step: int
    epoch: int
    images: Annotated[int, Field(gt=0)]
    data_s: FiniteSeconds
    step_s: Annotated[FiniteSeconds, Field(gt=0)]
    end_s: FiniteSeconds
    ahead_s: FiniteSeconds
    warmup: bool
    losses: dict[str, Loss] = field(default_factory=dict)
    between_s: FiniteSeconds = 0.0


@dataclass(frozen=True)
class Attempt:
    """What one attempt at a run did: the steps that follow step `after`, where an earlier attempt left off."""

    after: int
    steps: list[Step] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The number of the last step that is done."""
        return self.after + len(self.steps)


@dataclass(frozen=True)
class RunFolder:
    """The files of one run, by name."""

    path: Path

    @classmethod
    def create(cls, spec: RunSpec, anew: bool = False) -> RunFolder:
        """Make the spec's run folder and write the spec into it.

        Args:
            anew: take a folder that is there already, and write its spec anew.

        Raises:
            InfrastructureError: it can't be made (also when it is there already).
        """
        folder = cls(spec.run_dir)
        try:
            folder.path.parent.mkdir(parents=True, exist_ok=True)
            folder.path.mkdir(exist_ok=anew)
        except OSError as error:
            raise cant_write(folder.path, error) from error
        write_atomically(folder.path / "spec.json", spec.model_dump_json(indent=2) + "\n")
        return folder

    @property
    def log(self) -> Path:
        """Everything the run printed."""
        return self.path / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """Where the worker keeps its checkpoints."""
        return self.path / "checkpoints"

    @property
    def images(self) -> Path:
        """Where the worker keeps its sample images."""
        return self.path / "images"

    def image(self, epoch: int, visual: str) -> Path:
        """The sample image of an epoch, one of VISUALS, under upstream's name."""
        return self.images / f"epoch{epoch:03d}_{visual}.png"

    @property
    def resume_command(self) -> str:
        """How to go on with this run."""
        return f"gbench converge --resume {self.path}"

    @contextmanager
    def taken(self) -> Iterator[None]:
        """This process alone runs here. Raises InfrastructureError where another one does."""
        with locked(self.path / ".lock", 0, f"run folder {self.path}"):
            yield

    def begun(self, rank: int) -> bool:
        """Whether a rank has begun to write its steps, in this process or one before it."""
        return (self.path / f"steps-rank{rank}.jsonl").exists()

    def has(self, name: str) -> bool:
        """Whether one of the files is there."""
        return (self.path / name).exists()

    def spec(self) -> RunSpec:
        """The run's RunSpec.

        Raises:
            InfrastructureError: no run folder, or a spec of another version.
        """
        try:
            return RunSpec.model_validate_json(self._text("spec.json"))
        except ValidationError as error:
            raise InfrastructureError(
                f"{self.path / 'spec.json'} is not a spec that this gbench reads ({first_problem(error)})",
                "use the gbench version that wrote it",
            ) from error

    def host(self) -> HostFacts:
        """The facts of host.json, none where the run did not get so far. Raises InfrastructureError: it is broken."""
        return self.read_as(HOST, HostFacts, "the run can't be used") or HostFacts()

    def write_host(self, facts: HostFacts) -> None:
        """Write host.json."""
        self.write(HOST, facts.values())

    def update_host(self, **changes: Any) -> HostFacts:
        """Change or add some facts of host.json; gives all of them."""
        facts: HostFacts = self.host().changed(**changes)
        self.write_host(facts)
        return facts

    def environment(self) -> EnvironmentFacts:
        """The facts of environment.json, none where the worker wrote none. Raises InfrastructureError: it is broken."""
        return self.read_as(ENVIRONMENT, EnvironmentFacts, "the run can't be used") or EnvironmentFacts()

    def write_environment(self, facts: EnvironmentFacts) -> None:
        """Write environment.json."""
        self.write(ENVIRONMENT, facts.values())

    def write(self, name: str, values: dict[str, Any]) -> None:
        """Write one of the JSON files, with its version field."""
        write_atomically(self.path / name, to_json({"version": VERSION, **values}))

    def read(self, name: str) -> dict[str, Any] | None:
        """Read one of the JSON files; None when the run did not get so far.

        Raises:
            InfrastructureError: it is there but broken, or of another version.
        """
        if not (self.path / name).exists():
            return None
        try:
            values = strict_json.loads(self._text(name))
        except ValueError as error:
            raise self._broken(name, error) from error
        if not isinstance(values, dict) or values.get("version") != VERSION:
            raise InfrastructureError(
                f"{self.path / name} is not of version {VERSION}", "use the gbench version that wrote it"
            )
        return values

    def read_as(self, name: str, kind: type[Result], again: str) -> Result | None:
        """Read one of the JSON files that has a class of its own.

        Args:
            again: what to do about one that is broken.

        Raises:
            InfrastructureError: as `read`, and for values that the class does not allow.
        """
        values = self.read(name)
        if values is None:
            return None
        del values["version"]
        try:
            return kind.model_validate(values)
        except ValidationError as error:
            raise InfrastructureError(f"{self.path / name} is broken ({first_problem(error)})", again) from error

    def steps(self, rank: int) -> list[Step]:
        """The raw samples of one rank; a last line that a crash cut off is left out.

        A run that was resumed goes on in the same stream, from the step of its checkpoint: what had come after that
        step was done again and does not count.

        Raises:
            InfrastructureError: a broken line in the middle, a step that is missing, or another version.
        """
        return steps_that_count(self.attempts(rank))

    def attempts(self, rank: int) -> list[Attempt]:
        """All that one rank did, attempt by attempt, with what was done again later. Raises as `steps`."""
        name = f"steps-rank{rank}.jsonl"
        if not (self.path / name).exists():
            return []
        lines = self._text(name).split("\n")[:-1]  # what follows the last newline is not a whole line
        attempts: list[Attempt] = []
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                values = json.loads(line)
                if number == 1 or (isinstance(values, dict) and "resumed_after" in values):
                    attempts.append(_begin_attempt(values, rank, attempts[-1].last if attempts else 0))
                    continue
                step = read_step(values)
                if step.step != attempts[-1].last + 1:
                    raise ValueError(f"step {step.step} where step {attempts[-1].last + 1} should be")
                attempts[-1].steps.append(step)
            except ValueError as error:
                if number < len(lines) and lines[number].startswith('{"version"'):
                    continue  # cut off by a crash, after which the run was resumed
                raise self._broken(f"{name} line {number}", error) from error
        return attempts

    def ranks(self) -> list[list[Step]]:
        """The raw samples of all ranks; a rank that wrote none has an empty list.

        Raises:
            InfrastructureError: as `steps`, or the losses of a step have other names than those of the first one.
        """
        ranks = [self.steps(rank) for rank in range(self.spec().world_size)]
        names = next((step.losses.keys() for steps in ranks for step in steps), None)
        for rank, steps in enumerate(ranks):
            for step in steps:
                if step.losses.keys() != names:
                    raise self._broken(f"steps-rank{rank}.jsonl step {step.step}", "other losses than in step 1")
        return ranks

    def _broken(self, place: str, why: object) -> InfrastructureError:
        return InfrastructureError(f"{self.path / place} is broken ({why})", "the run can't be used")

    def _text(self, name: str) -> str:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise InfrastructureError(f"{self.path} has no {name}", "give the folder of a gbench run") from error
        except (OSError, UnicodeDecodeError) as error:
            raise InfrastructureError(f"{self.path / name} can't be read ({error})", "the run can't be used") from error


class StepWriter:
    """Appends the steps of one rank, a whole line at a time, so that a crash costs at most the last one.

    Args:
        resumed_after: the step after which a run goes on; None for one that begins.

    Raises:
        InfrastructureError: the disk refuses a line.
    """

    def __init__(self, folder: RunFolder, rank: int, resumed_after: int | None = None) -> None:
        self._path = folder.path / f"steps-rank{rank}.jsonl"
        try:
            self._file = self._path.open("xb" if resumed_after is None else "ab", buffering=0)
            if self._file.tell():
                write_all(self._file, b"\n")  # ends a line that was cut off; else it is an empty one
        except OSError as error:
            raise cant_write(self._path, error) from error
        resumed = {} if resumed_after is None else {"resumed_after": resumed_after}
        self._write([{"version": VERSION, "rank": rank, **resumed}])

    def __enter__(self) -> StepWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, steps: Iterable[Step]) -> None:
        """Write steps through to the operating system."""
        self._write(vars(step) for step in steps)

    def sync(self) -> None:
        """Have all steps so far outlast a loss of power."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cant_write(self._path, error) from error

    def _write(self, rows: Iterable[dict[str, Any]]) -> None:
        try:
            write_all(self._file, "".join(strict_json.dumps(row) + "\n" for row in rows).encode())
        except OSError as error:
            raise cant_write(self._path, error) from error


def _begin_attempt(values: Any, rank: int, last: int) -> Attempt:
    """The first line of a stream, or that of a resumed run, which takes back the steps after its checkpoint. Raises
    ValueError: it is neither."""
    after = values.pop("resumed_after", 0) if isinstance(values, dict) else 0
    if values != {"version": VERSION, "rank": rank}:
        raise ValueError(f"not a step stream of version {VERSION} and rank {rank}")
    if not isinstance(after, int) or not 0 <= after <= last:
        raise ValueError(f"resumed after step {after} of {last}")
    return Attempt(after)


def steps_that_count(attempts: Iterable[Attempt]) -> list[Step]:
    """The steps of a run without those that a later attempt did again."""
    steps: list[Step] = []
    for attempt in attempts:
        del steps[attempt.after :]
        steps += attempt.steps
    return steps


def read_step(values: Any) -> Step:
    """A step out of what a line of a stream holds. Raises ValueError: it is none; says why on one line."""
    try:
        step = _STEP.validate_python(values)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error
    if step.data_s < 0 or step.between_s < 0 or step.data_s + step.between_s >= step.step_s:
        raise ValueError(f"data_s and between_s: {step.data_s} and {step.between_s} are no parts of {step.step_s}")
    return step


_STEP = TypeAdapter(Step)
