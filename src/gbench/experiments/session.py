"""A session of `gbench ab`: its goal and its runs so far, in `ab.json` of its folder; and how its specs differ.

The file is written after each run. It holds both resolved specs, so a session resumes unchanged even if the spec files
have changed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from gbench.base.files import is_there, make_folder, write_atomically
from gbench.base.json_file import read_json
from gbench.base.paths import SESSION
from gbench.base.utc import utc_now
from gbench.compare.differences import shown
from gbench.experiments.block_ratio import BLOCK, SIDES, BlockRatio, Side
from gbench.runfolder.own import mark_own
from gbench.settings.literals import MetricName
from gbench.settings.model_config import Frozen
from gbench.settings.spec import RunSpec

ENDLESS = 1e-6  # a precision that no session reaches
Order = Literal["ABBA", "Thue-Morse"]
"""Of the runs. A B B A, repeated, takes a wave of 4 runs for a difference; the Thue-Morse sequence does not."""
# Specific to one run, or to where its files go
NO_DIFFERENCE = (
    *("run_id", "command_line", "results_dir", "logs_dir", "cndb_dir", "cache_dir", "rehash"),
    "config.description",
)
# What a step computes: if one of these differs, throughputs are of different work
WORK = (
    *("model", "record_name", "framework", "recipe", "batch_size", "device_count", "precision", "device", "dataset"),
    *("code_link", "run_model_file", "evaluation", "config.network", "config.optim", "config.data"),
)
SAME_WORK = ("config.data.workers", "config.data.source", "config.data.max_dataset_size")  # exceptions in config.data


def side_of(order: Order, run: int) -> Side:
    """The side of a run, counted from 0. Thue-Morse: the parity of the number's binary ones, A B B A B A A B B A ..."""
    return SIDES[(run if order == "Thue-Morse" else run % BLOCK).bit_count() % 2]


class State(Frozen):
    """The state of an experiment, in a file of its folder, from which it goes on after a stop."""

    FILE: ClassVar[str]

    @property
    def code(self) -> tuple[str, ...]:
        """The repository and the commits, or the images, that run and are not in a spec."""
        return ()

    def create(self, folder: Path, specs: Iterable[RunSpec]) -> None:
        """Begin in a folder, which is then marked as this user's. Raises InfrastructureError."""
        make_folder(folder)
        self.write(folder)
        mark_own(folder, specs, self.code)

    def write(self, folder: Path) -> None:
        """Write the file. Raises InfrastructureError."""
        write_atomically(folder / self.FILE, self.model_dump_json(indent=2) + "\n")


class SessionGoal(Frozen):
    """What a session measures, and when it ends."""

    metric: MetricName = "throughput"
    until_ci: float = Field(0.01, gt=0, lt=1)
    """Half-width of the ratio's 95 % interval, as a share of the ratio."""
    max_blocks: PositiveInt = 20
    max_time_s: PositiveFloat | None = None
    """Limit of the total time of its runs; no block begins after it. None: no limit."""


class SessionRun(Frozen):
    side: Side
    run_id: str
    run_dir: str
    record: str
    figure: float = Field(gt=0, allow_inf_nan=False)
    """The metric's value; positive, since its logarithm is needed."""
    wall_s: NonNegativeFloat
    """Seconds of the run and its preparation."""
    used: bool = True
    """False if an interruption prevented the other run of its pair."""


class SessionCommits(Frozen):
    """The commits that a session compares."""

    repo: str
    folder: str
    """Of their work trees."""
    commits: dict[Side, Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")]] = Field(min_length=2)
    subjects: dict[Side, str] = Field(min_length=2)


class Session(State):
    """The content of ab.json."""

    FILE: ClassVar[str] = SESSION
    version: Literal[1] = 1
    session_id: str
    started_utc: str
    command_line: str
    asked: SessionGoal
    files: dict[Side, str] = Field(min_length=2)
    specs: dict[Side, RunSpec] = Field(min_length=2)
    differences: tuple[str, ...]
    """Differences between the two specs."""
    compared: SessionCommits | None = None
    """None: the spec files differ, not the code."""
    order: Order = "ABBA"
    """That of a file that does not say it."""
    runs: tuple[SessionRun, ...] = ()
    """In the order in which they ran."""
    ratio: BlockRatio | None = None
    """Over the complete blocks; for readers of the file."""

    @property
    def code(self) -> tuple[str, ...]:
        return (self.compared.repo, *self.compared.commits.values()) if self.compared else ()

    @property
    def used(self) -> list[SessionRun]:
        """The runs that count, in the session's order."""
        return [run for run in self.runs if run.used]

    @property
    def next_side(self) -> Side:
        return side_of(self.order, len(self.used))

    @property
    def blocks(self) -> int:
        """Number of complete blocks."""
        return len(self.used) // BLOCK

    @property
    def wall_s(self) -> float:
        """Seconds of all runs so far."""
        return sum(run.wall_s for run in self.runs)

    def taken_up(self, folder: Path, asked: SessionGoal) -> "Session":
        """The session prepared to resume, in a folder that may have been moved, with the goal from now on.

        The machine may have changed meanwhile. That cancels between pairs (A B and B A), but not within one, so a run
        without the other of its pair no longer counts.
        """
        runs = list(self.runs)
        if len(self.used) % 2:
            last = max(place for place, run in enumerate(runs) if run.used)
            runs[last] = runs[last].replaced(used=False)
        specs = {side: spec.replaced(results_dir=str(folder)) for side, spec in self.specs.items()}
        if self.compared is None:
            return self.replaced(runs=tuple(runs), asked=asked, specs=specs)
        before = self.compared.folder  # of the work trees, which are checked out in the folder again
        for side, spec in specs.items():
            env = {**spec.env, "PYTHONPATH": spec.env.get("PYTHONPATH", "").replace(before, str(folder))}
            specs[side] = spec.replaced(run_model_file=spec.run_model_file.replace(before, str(folder)), env=env)
        compared = self.compared.replaced(folder=str(folder))
        return self.replaced(runs=tuple(runs), asked=asked, specs=specs, compared=compared)


def new_session(
    folder: Path,
    goal: SessionGoal,
    files: tuple[str, str],
    specs: tuple[RunSpec, RunSpec],
    differences: Iterable[str] | None = None,
    compared: SessionCommits | None = None,
) -> Session:
    """A session of A and B without runs. files: where each spec is from. differences: None: those of the specs."""
    one, other = specs
    return Session(
        session_id=folder.name,
        started_utc=utc_now(),
        command_line=one.command_line,
        asked=goal,
        files=dict(zip(SIDES, files, strict=True)),
        specs=dict(zip(SIDES, specs, strict=True)),
        differences=tuple(map(str, spec_differences(one, other)) if differences is None else differences),
        compared=compared,
        order="Thue-Morse",
    )


def read_session(folder: Path) -> Session:
    """Read the session of a folder. Raises InfrastructureError: there is none, or it is broken."""
    missing, again = "give the folder of a session of gbench ab", "begin a new session"
    return read_json(folder / SESSION, Session, "a session", missing, again)


def with_one_more_block(session: Session, folder: Path) -> Session:
    """`session` after the runs that the folder has, if any, to run one more block, however precise the ratio is.

    What runs comes from `session`, which is known to be this user's, not from the file in the folder.
    """
    goal = session.asked.replaced(until_ci=ENDLESS, max_blocks=1)
    if not is_there(folder / SESSION):
        return session.replaced(asked=goal)
    begun = read_session(folder)
    again = begun.taken_up(folder, goal.replaced(max_blocks=begun.blocks + 1))
    return again.replaced(specs=session.specs, compared=session.compared)


@dataclass(frozen=True)
class SpecDifference:
    field: str
    one: str
    other: str
    work: bool
    """Whether the two specs then do different work."""

    def __str__(self) -> str:
        return f"{self.field}: {self.one} -> {self.other}" + (" (other work)" if self.work else "")


def spec_differences(one: RunSpec, other: RunSpec) -> list[SpecDifference]:
    """The fields in which two specs differ; those that change the work first."""
    sides = [dict(_flat(spec.model_dump(mode="json"))) for spec in (one, other)]
    differences = []
    for field in {**sides[0], **sides[1]}:
        a, b = (side.get(field) for side in sides)
        if a != b and field not in NO_DIFFERENCE:
            work = field not in SAME_WORK and any(f"{field}.".startswith(f"{name}.") for name in WORK)
            differences.append(SpecDifference(field, _text(a), _text(b), work))
    return sorted(differences, key=lambda difference: not difference.work)


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{before}{key}.")
        elif value != {}:
            yield f"{before}{key}", value


def _text(value: Any) -> str:
    return "-" if value is None else shown(value)
