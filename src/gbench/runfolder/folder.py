"""The run folder: the whole contract between the host and the worker.

    spec.json            the RunSpec; host, before the start
    host.json            what the host knows: OS, image, dataset hash, command line; host (host_facts)
    environment.json     what the worker saw: versions, devices, the precision that ran; rank 0 (environment_facts)
    steps-rankN.jsonl    raw samples, one line per step, written during the run; every rank (steps)
    telemetry.jsonl      samples of devices and host during the run (gbench.measure.telemetry.stream)
    alarms.jsonl         alarms of a convergence run; rank 0 (alarms)
    error.json           why a worker failed, if it did (error_file)
    benchmark.log        benchmark log lines (CNDB.md section 2); a user's own run script
    result.json          statistics, a pure function of the files above; host, at the end (run_result)
    log.txt              everything the run printed
    .own                 that this user's gbench made it (own)
    nodes/               a folder like this one of each further node of the run, with the streams of its ranks
    checkpoints/
    evaluations/         a run folder per evaluation; evaluation.json is its result (evaluation_result)

Every JSON file and stream has a version field, and a typed reader in the module in brackets. A folder belongs to one
run, which never overwrites another's.
"""

from __future__ import annotations

import shlex
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from gbench.base import strict_json
from gbench.base.files import (
    entries,
    is_locked,
    is_there,
    locked,
    open_file,
    read_file,
    write_atomically,
    write_errors,
)
from gbench.base.invalid import first_problem, remedy
from gbench.base.json_file import read_json
from gbench.base.paths import SPEC
from gbench.errors import InfrastructureError
from gbench.runfolder.environment_facts import EnvironmentFacts
from gbench.runfolder.host_facts import HostFacts
from gbench.runfolder.own import mark_own
from gbench.runfolder.run_result import RunResult
from gbench.runfolder.steps import stream_path
from gbench.runfolder.typed_json import UNUSABLE, VERSION, to_json
from gbench.runners.plan import BENCHMARK_LOG_NAME, PROCESSES_LOCK
from gbench.settings.spec import RunSpec

if TYPE_CHECKING:
    from gbench.runfolder.step_columns import AttemptSteps, Steps

HOST, ENVIRONMENT, RESULT = "host.json", "environment.json", "result.json"
TEXTS = {".json", ".jsonl", ".log", ".txt"}
LOCK, LOOK_S = ".lock", 0.3  # how long to wait for a command that only looks whether the lock is held
VISUALS = ("real_A", "fake_B", "real_B")  # the images of a pair by upstream's labels, in the order shown
Content = TypeVar("Content")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """The reader of a class, which takes longer to build than a file to read."""
    return TypeAdapter(kind)


@dataclass(frozen=True)
class RunFolder:
    """The files of one run, by name."""

    path: Path

    @classmethod
    def create(cls, spec: RunSpec, overwrite: bool = False) -> RunFolder:
        """Create the spec's run folder and write the spec into it. overwrite: the folder may exist.

        Raises InfrastructureError: it can't be created, or it exists.
        """
        folder = cls(spec.run_dir)
        with write_errors(folder.path):
            folder.path.parent.mkdir(parents=True, exist_ok=True)
            folder.path.mkdir(exist_ok=overwrite)
        write_atomically(folder.path / SPEC, spec.model_dump_json(indent=2) + "\n")
        mark_own(folder.path, [spec])
        return folder

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def benchmark_log(self) -> Path:
        """The benchmark log lines of a user's own run script."""
        return self.path / BENCHMARK_LOG_NAME

    @property
    def nodes(self) -> Path:
        """Where the folders of the further nodes are."""
        return self.path / "nodes"

    def of_further_nodes(self) -> list[RunFolder]:
        """The folders of the nodes but this first one, in order. Raises InfrastructureError: a spec is broken."""
        found = [RunFolder(path) for path in entries(self.nodes, "*") if is_there(path / SPEC)]
        return sorted(found, key=lambda folder: folder.spec().node_rank or 0)

    def stream(self, rank: int) -> Path:
        """The steps of a rank, which are in the folder of its node."""
        path = stream_path(self.path, rank)
        if is_there(path):
            return path
        of_nodes = (node / path.name for node in entries(self.nodes, "*"))
        return next(filter(is_there, of_nodes), path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def images(self) -> Path:
        return self.path / "images"

    def image(self, epoch: int, visual: str) -> Path:
        """The sample image of an epoch, one of VISUALS, under upstream's name."""
        return self.images / f"epoch{epoch:03d}_{visual}.png"

    @property
    def resume_command(self) -> str:
        return f"gbench converge --resume {shlex.quote(str(self.path))}"

    def taken(self) -> AbstractContextManager[int]:
        """Hold the folder's lock. Raises InfrastructureError: another process runs here."""
        return locked(self.path / LOCK, LOOK_S, f"run folder {self.path}")

    @property
    def alive(self) -> bool:
        """Whether a process runs here."""
        return any(is_locked(self.path / name) for name in (LOCK, PROCESSES_LOCK))

    def begun(self, rank: int) -> bool:
        """Whether a rank has begun to write its steps, in this process or an earlier one."""
        return is_there(stream_path(self.path, rank))

    def has(self, name: str) -> bool:
        return is_there(self.path / name)

    def unreadable(self) -> list[str]:
        """The text files of the folder itself that can't be read, and why, whether or not something needs them."""
        found = []
        for path in entries(self.path, "*"):
            try:
                if path.suffix in TEXTS:
                    open_file(path).close()
            except OSError as error:
                if is_there(path):  # else it was just replaced or removed
                    found.append(f"{path} can't be read ({first_problem(error)})")
        return found

    def spec(self) -> RunSpec:
        """The run's RunSpec. Raises InfrastructureError: not a run folder, or a spec of another version."""
        return read_json(self.path / SPEC, RunSpec, "a spec", "give the folder of a gbench run", "measure again")

    def host(self) -> HostFacts:
        """The facts of host.json; empty without the file. Raises InfrastructureError: it is broken."""
        return self.read_as(HOST, HostFacts, UNUSABLE) or HostFacts()

    def write_host(self, facts: HostFacts) -> None:
        self.write(HOST, facts.values())

    def update_host(self, **changes: Any) -> HostFacts:
        """Change or add facts of host.json. Returns all facts."""
        facts: HostFacts = self.host().changed(**changes)
        self.write_host(facts)
        return facts

    def environment(self) -> EnvironmentFacts:
        """The facts of environment.json; empty without the file. Raises InfrastructureError: it is broken."""
        return self.read_as(ENVIRONMENT, EnvironmentFacts, UNUSABLE) or EnvironmentFacts()

    def write_environment(self, facts: EnvironmentFacts) -> None:
        self.write(ENVIRONMENT, facts.values())

    def result(self) -> RunResult | None:
        """The statistics of result.json; None if nothing was measured. Raises InfrastructureError: it is broken."""
        return self.read_as(RESULT, RunResult, UNUSABLE)

    def write_result(self, result: RunResult) -> None:
        self.write(RESULT, asdict(result))

    def write(self, name: str, values: dict[str, Any]) -> None:
        """Write a JSON file, with its version field."""
        write_atomically(self.path / name, to_json({"version": VERSION, **values}))

    def read(self, name: str) -> dict[str, Any] | None:
        """Read a JSON file; None without one. Raises InfrastructureError: it is broken, or of another version."""
        if not self.has(name):
            return None
        try:
            values = strict_json.loads(read_file(self.path / name))
        except OSError as error:
            why = f"{self.path / name} can't be read ({first_problem(error)})"
            raise InfrastructureError(why, remedy(error, "measure again")) from error
        except ValueError as error:
            raise self._broken(name, error) from error
        if not isinstance(values, dict) or "version" not in values:
            raise self._broken(name, "no object with a version")
        if values["version"] != VERSION:
            raise InfrastructureError(
                f"{self.path / name} is not of version {VERSION}", "use the gbench version that wrote it"
            )
        return values

    def read_as(self, name: str, kind: type[Content], again: str) -> Content | None:
        """Read a JSON file into its class; None if it does not exist. again: what to do if it is broken.

        Raises InfrastructureError: as `read`, or a value is invalid for the class.
        """
        if (values := self.read(name)) is None:
            return None
        del values["version"]
        try:
            content: Content = _adapter(cast(Any, kind)).validate_python(values)
        except ValidationError as error:
            raise InfrastructureError(f"{self.path / name} is broken ({first_problem(error)})", again) from error
        return content

    def steps(self, rank: int) -> Steps:
        """The raw samples of one rank, without those that a resumed run repeated.

        Raises InfrastructureError: a broken line in the middle, a missing step, steps that differ in their losses, or
        another version.
        """
        from gbench.runfolder.step_columns import steps_that_count

        return steps_that_count(self.attempts(rank))

    def attempts(self, rank: int) -> list[AttemptSteps]:
        """All steps of one rank by attempt, repeated ones included. Raises as `steps`."""
        from gbench.runfolder.step_columns import read_attempts  # loads numpy, which the start need not wait for

        return read_attempts(self.stream(rank).parent, rank)

    def ranks(self) -> list[Steps]:
        """The raw samples of each rank, as `steps` gives them. Raises as `ranks_by_attempt`."""
        from gbench.runfolder.step_columns import steps_that_count

        return [steps_that_count(attempts) for attempts in self.ranks_by_attempt()]

    def ranks_by_attempt(self) -> list[list[AttemptSteps]]:
        """All steps of each rank. Raises InfrastructureError: as `steps`, or ranks differ in their losses."""
        ranks = [self.attempts(rank) for rank in range(self.spec().world_size)]
        names = [(rank, one.steps.losses.keys()) for rank, rows in enumerate(ranks) for one in rows if len(one.steps)]
        for rank, theirs in names:
            if theirs != names[0][1]:
                raise self._broken(f"steps-rank{rank}.jsonl step 1", "other losses than in step 1")
        return ranks

    def _broken(self, place: str, why: object) -> InfrastructureError:
        return InfrastructureError(f"{self.path / place} is broken ({why})", UNUSABLE)
