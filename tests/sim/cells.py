"""The fault matrix: every step of a run with every fault, run in the simulated world.

A cell holds a run at its step, lets its fault happen, lets the run go on, and notes how it ended.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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


def stop_rank(launch: Launch) -> None:
    max(launch.processes("rank"), key=lambda process: process.pid).suspend()


class OfTwoRanks(Fault):
    ranks = 2


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
    "SIGSTOP of a rank": OfTwoRanks(stop_rank, IN_WORKER[1:5], "no step is due here: give `--timeout`"),
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
GOES_ON = ("disk", "permission", "removed", "clock", "SIGSTOP")  # in the names of faults after which a run goes on


def why_impossible(cell: Cell) -> str | None:
    """Why a cell can't occur; None: it can."""
    if cell.runner == "local" and cell.step == "build":
        return "nothing is built"
    if cell.fault == "SIGKILL of a rank" and cell.step == "start":
        return "no rank runs yet"
    fault = FAULTS[cell.fault]
    return None if cell.step in fault.steps else fault.why_not


def cells() -> Iterator[Cell]:
    """Every cell of the matrix, also those that can't occur."""
    for fault in FAULTS:
        for step in STEPS:
            yield Cell("local", step, fault)


def hold_at(place: Place, step: str, rank: int = 0) -> None:
    if step in IN_HOST:
        place.stop_at(IN_HOST[step])
    else:
        place.order(step, "hold", rank)


def run(world: World, cell: Cell) -> Result:
    """Run one cell."""
    fault, place = FAULTS[cell.fault], world.new_place()
    hold_at(place, cell.step)
    arguments = world.launch_arguments(fault.ranks, converge=cell.step in CONVERGENCE, runner=cell.runner)
    launch = world.start(place, *arguments, *fault.options)
    launch.wait_until_held()
    fault.act(launch)
    if cell.step in IN_HOST or any(part in cell.fault for part in GOES_ON):
        launch.go_on()
    return result_of(launch.wait(), place)


def result_of(ended: Ended, place: Place) -> Result:
    running = place.left_running()
    place.mend_disk()
    left = [f"process {line}" for line in running] + [f"file {name}" for name in place.leftovers()]
    said = told(ended.sentence, place)
    if ended.code == 5:
        said = told(ended.err.strip().splitlines()[-1], place)
    return Result(ended.code, said, ", ".join(place.kept()) or "nothing", "; ".join(left))
