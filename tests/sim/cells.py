"""The fault matrix: every step of a run with every fault, run in the simulated world.

A cell holds a run at its step, lets its fault happen, lets the run go on, and notes how it ended.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import docker

from database import FAULTS_OF_DATABASE, Database
from engine import Answer, Engine, wait_until
from gbench.errors import printable
from gbench.runners.containers import sweep_orphans
from world import Ended, Launch, Place, World, told

IN_HOST = {  # steps of gbench itself: the file whose opening begins them
    "settings": "pix2pix_resnet_9blocks.yaml",
    "record": "/cndb/records/.",
    "submit": "/cndb/cndb.sqlite",
    "report": "/.report.html.",
}
IN_WORKER = ("start", "prepare", "warm-up", "measuring", "saving", "evaluation")
STEPS = ("settings", "build", *IN_WORKER, "record", "submit", "report")
CONVERGENCE = ("saving", "evaluation")  # steps that only a convergence run has
DAY_S = 86_400


@dataclass(frozen=True)
class Cell:
    """A fault at a step of a run by a runner."""

    runner: str
    step: str
    fault: str

    @property
    def name(self) -> str:
        return f"{self.runner}: {self.fault} / {self.step}"


@dataclass(frozen=True)
class Result:
    """What a cell showed."""

    code: int
    sentence: str
    kept: str
    left: str
    """Processes and temporary files that were left; empty if everything was cleaned."""

    @property
    def exit(self) -> str:
        return str(self.code) if self.code >= 0 else signal.Signals(-self.code).name


class Fault:
    """What happens to a run that is held, and why it can't happen at some steps."""

    ranks = 1
    options: tuple[object, ...] = ()
    holds = True

    def __init__(self, act: Callable[[Launch], None], steps: tuple[str, ...] = STEPS, why_not: str = "") -> None:
        self.act, self.steps, self.why_not = act, steps, why_not


def to_launcher(number: signal.Signals) -> Fault:
    return Fault(lambda launch: os.kill(launch.pid, number))


def kill(part: str) -> Fault:
    """SIGKILL to a process of the run."""
    return Fault(lambda launch: launch.processes(part)[-1].kill(), IN_WORKER, f"no {part} runs in this step")


def disk(error: str) -> Fault:
    return Fault(lambda launch: launch.place.break_disk(error))


def remove_folder(launch: Launch) -> None:
    for folder in launch.place.run_folders():
        shutil.rmtree(folder.path)


def engine_of(launch: Launch) -> Engine:
    assert launch.place.engine is not None
    return launch.place.engine


def kill_container(launch: Launch) -> None:
    (container,) = engine_of(launch).containers.values()
    container.kill(signal.SIGKILL)


def stop_in_container(launch: Launch) -> None:
    (container,) = engine_of(launch).containers.values()
    assert container.process is not None
    container.oom = True
    container.kill(signal.SIGKILL)


def lose_registry(launch: Launch) -> None:
    """A name service that does not know it, as Docker reports it."""
    lookup = 'Get "https://registry.example/v2/": dial tcp: lookup registry.example: no such host'
    engine_of(launch).answers = {"POST /images/create|POST /build": Answer(500, lookup)}


def refuse(message: str, status: int = 500) -> Callable[[Launch], None]:
    """Every further request of the engine fails so, but those that end a run."""

    def act(launch: Launch) -> None:
        engine_of(launch).answers = {
            "POST /(build|images/create|containers/create)|/(attach|start|wait)$": Answer(status, message)
        }

    return act


def stop_rank(launch: Launch) -> None:
    os.kill(int((launch.place.sim / "rank-1").read_text()), signal.SIGSTOP)


class OfTwoRanks(Fault):
    ranks = 2
    options = ("--set", "measure.hang_seconds=2")


class Ordered(Fault):
    """What a rank does by itself at a step. act: what happens then, while it holds; None: the run goes on."""

    def __init__(
        self, do: str, steps: tuple[str, ...], why_not: str, act: Callable[[Launch], None] | None = None
    ) -> None:
        super().__init__(act or (lambda launch: None), steps, why_not)
        self.do, self.holds = ([do] if act is None else [do, "hold"]), act is not None


class Hang(Ordered):
    """The second of two ranks makes no step any more."""

    ranks = 2
    options = OfTwoRanks.options


class TimeOut(Fault):
    """The alarm of `--timeout`, at once: no test waits for a clock."""

    options = ("--timeout", "600")


FAULTS: dict[str, Fault] = {
    "SIGINT": to_launcher(signal.SIGINT),
    "SIGTERM": to_launcher(signal.SIGTERM),
    "SIGHUP": to_launcher(signal.SIGHUP),
    "SIGKILL of the launcher": to_launcher(signal.SIGKILL),
    "SIGKILL of the supervisor": kill("supervisor"),
    "SIGKILL of torchrun": kill("torchrun"),
    "SIGKILL of a rank": kill("rank"),
    "SIGSTOP of a rank": OfTwoRanks(stop_rank, IN_WORKER[1:], "no step is due here: give `--timeout`"),
    "disk full": disk("ENOSPC"),
    "read-only disk": disk("EROFS"),
    "no permission": disk("EACCES"),
    "failing disk": disk("EIO"),
    "run folder removed": Fault(remove_folder, STEPS[2:], "there is no run folder yet"),
    "time-out": TimeOut(
        lambda launch: os.kill(launch.pid, signal.SIGALRM), IN_WORKER, "`--timeout` counts while the run script runs"
    ),
    "clock set back": Fault(lambda launch: launch.place.shift_clock(-DAY_S)),
    "clock set forward": Fault(lambda launch: launch.place.shift_clock(DAY_S)),
}
NO_RANK, NO_STEP = "no rank runs in this step", "no step follows"
OF_RANKS = IN_WORKER[1:]
ORDERED: dict[str, Fault] = {
    "crash within a line": Ordered("crash within a line", IN_WORKER[2:5], "no rank writes lines in this step"),
    "a rank hangs": Hang("hang", OF_RANKS, NO_RANK),
    "out of memory": Ordered("run out of memory", OF_RANKS, NO_RANK),
    "garbage printed": Ordered("print garbage", OF_RANKS, NO_RANK),
    "losses NaN": Ordered("go NaN", IN_WORKER[1:4], NO_STEP),
    "throttled": Ordered("throttle", IN_WORKER[1:4], NO_STEP),
    "SIGTERM that a rank ignores": Ordered(
        "ignore SIGTERM", OF_RANKS, NO_RANK, lambda launch: os.kill(launch.pid, signal.SIGTERM)
    ),
}
FAULTS |= ORDERED
# steps of the engine: the request that begins them
IN_ENGINE = {"build": "POST /build", "start": "POST /containers/create"}
ENGINE_FULL = "write /var/lib/docker/tmp: no space left on device"
DOCKER_FAULTS: dict[str, Fault] = {
    **{name: FAULTS[name] for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL of the launcher", "SIGKILL of a rank")},
    "SIGKILL of the container": Fault(kill_container, OF_RANKS, "no container in this step"),
    "container out of memory": Fault(stop_in_container, OF_RANKS, "no container in this step"),
    "time-out": FAULTS["time-out"],
    "engine killed": Fault(lambda launch: engine_of(launch).die()),
    "engine silent": Fault(lambda launch: engine_of(launch).fall_silent()),
    "engine's disk full": Fault(refuse(ENGINE_FULL), ("build", "start"), "the engine writes nothing here"),
    "registry not reached": Fault(lose_registry, ("build",), "no registry is needed"),
    "disk full": FAULTS["disk full"],
    "run folder removed": FAULTS["run folder removed"],
    **ORDERED,
}
DATABASE_FAULTS: dict[str, Fault] = {
    fault: Fault(lambda launch: None, ("submit",), "nothing is stored in this step") for fault in FAULTS_OF_DATABASE
}
# in the names of faults after which a run goes on
GOES_ON = ("engine's", "registry", "disk", "permission", "removed", "clock", "SIGSTOP")


def fault_of(cell: Cell) -> Fault:
    return {"local": FAULTS, "docker": DOCKER_FAULTS, "database": DATABASE_FAULTS}[cell.runner][cell.fault]


def why_impossible(cell: Cell) -> str | None:
    """Why a cell can't occur; None: it can."""
    if cell.runner == "local" and cell.step == "build":
        return "nothing is built"
    if cell.fault == "SIGKILL of a rank" and cell.step == "start":
        return "no rank runs yet"
    if cell.runner == "docker" and cell.step in ("record", "submit", "report") and "engine" in cell.fault:
        return "the engine is not needed any more"
    fault = fault_of(cell)
    return None if cell.step in fault.steps else fault.why_not


def cells() -> Iterator[Cell]:
    """Every cell of the matrix, also those that can't occur."""
    for runner, faults in (("local", FAULTS), ("docker", DOCKER_FAULTS), ("database", DATABASE_FAULTS)):
        for fault in faults:
            for step in STEPS:
                yield Cell(runner, step, fault)


def hold_at(place: Place, cell: Cell) -> None:
    """Let the run hold at the step of a cell, or a rank do there what the fault is."""
    fault = fault_of(cell)
    if isinstance(fault, Ordered):
        place.order(cell.step, fault.do, rank=fault.ranks - 1)
    elif cell.step in IN_HOST:
        place.stop_at(IN_HOST[cell.step])
    elif place.engine is not None and cell.step in IN_ENGINE:
        place.engine.hold_at = IN_ENGINE[cell.step]
    else:
        place.order(cell.step, "hold")


def run(world: World, cell: Cell) -> Result:
    """Run one cell."""
    if cell.runner == "database":
        return run_with_database(world, cell.fault)
    fault, place = fault_of(cell), world.new_place()
    options: tuple[object, ...] = fault.options
    if cell.runner == "docker":
        world.new_engine(place)
        options += ("--from-image", "base:1")
    hold_at(place, cell)
    arguments = world.launch_arguments(fault.ranks, converge=cell.step in CONVERGENCE, runner=cell.runner)
    launch = world.start(place, *arguments, *options)
    if fault.holds:
        launch.wait_until_held()
    fault.act(launch)
    if cell.step in IN_HOST or any(part in cell.fault for part in GOES_ON):
        launch.go_on()
    return result_of(launch.wait(), place)


def run_with_database(world: World, fault: str) -> Result:
    """Run a launch whose database has a fault from its beginning."""
    place, database = world.new_place(), Database(fault)
    (place.here / "db.yaml").write_text(database.config)
    arguments = ["db.yaml" if word == "embedded" else word for word in world.launch_arguments()]
    ended = world.run(place, *arguments, "--db-timeout", 2)
    database.close()
    result = result_of(ended, place)
    return replace(result, sentence=re.sub(rf"(port |:){database.port}", r"\1N", result.sentence))


def result_of(ended: Ended, place: Place) -> Result:
    left = containers_left(place)
    left += [f"process {line}" for line in place.left_running()]
    place.mend_disk()
    left += [f"file {name}" for name in place.leftovers()]
    left += ["control characters on the terminal"] if printable(said := ended.out + ended.err) != said else []
    said = told(ended.sentence, place)
    if ended.code in (0, 5):  # a warning is all that says it
        warnings = [line for line in ended.err.splitlines() if "can't write" in line or "uploaded" in line]
        said = told("; ".join(warnings), place)
    if place.engine is not None:
        place.engine.close()
    return Result(ended.code, said, ", ".join(place.kept()) or "nothing", "; ".join(left))


def containers_left(place: Place) -> list[str]:
    """The containers that a gbench has left, and what becomes of them once its engine is well again."""
    if place.engine is None or not place.engine.containers:
        return []
    place.engine = place.engine.restarted()
    client = docker.DockerClient(base_url=place.engine.url)
    removed = sweep_orphans(client)
    client.close()
    left = list(place.engine.containers.values())
    wait_until(lambda: all(one.ended.is_set() for one in left))
    return ["a container, which the next launch removes"] * len(removed) + ["a container"] * len(left)
