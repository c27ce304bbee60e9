"""A part of the fault matrix, run again: it must show what the page says. `make fault-matrix` runs all of it."""

from __future__ import annotations

import pytest

from cells import DATABASE_FAULTS, DOCKER_FAULTS, FAULTS, STEPS, Cell, run
from gbench.errors import ExitCode
from matrix import KEPT, MARK, PAGE, page, possible, read_results
from world import World

# Cells of different paths through gbench: each fault, and each step, once at least.
AGAIN = (
    ("SIGHUP", "settings"),
    ("SIGINT", "start"),
    ("SIGTERM", "measuring"),
    ("SIGKILL of the launcher", "warm-up"),
    ("SIGKILL of the supervisor", "measuring"),
    ("SIGKILL of torchrun", "prepare"),
    ("SIGKILL of a rank", "measuring"),
    ("disk full", "record"),
    ("no permission", "saving"),
    ("failing disk", "evaluation"),
    ("read-only disk", "submit"),
    ("run folder removed", "record"),
    ("time-out", "measuring"),
    ("SIGTERM", "report"),
    ("clock set back", "measuring"),
    ("crash within a line", "saving"),
    ("a rank hangs", "evaluation"),
    ("out of memory", "prepare"),
    ("garbage printed", "measuring"),
    ("losses NaN", "warm-up"),
)


AGAIN_IN_CONTAINERS = (
    ("SIGTERM", "build"),
    ("SIGKILL of the launcher", "measuring"),
    ("SIGKILL of the container", "warm-up"),
    ("engine killed", "prepare"),
    ("engine's disk full", "start"),
    ("registry not reached", "build"),
    ("SIGTERM that a rank ignores", "measuring"),
    ("throttled", "warm-up"),
)
AGAIN_WITH_A_DATABASE = (("database full of clients", "submit"), ("database silent", "submit"))


@pytest.mark.parametrize(
    ("runner", "fault", "step"),
    [
        *(("local", *one) for one in AGAIN),
        *(("docker", *one) for one in AGAIN_IN_CONTAINERS),
        *(("database", *one) for one in AGAIN_WITH_A_DATABASE),
    ],
)
def test_a_cell_shows_what_the_page_says(sim: World, runner: str, fault: str, step: str) -> None:
    cell = Cell(runner, step, fault)
    assert run(sim, cell) == read_results()[cell.name]


def test_the_page_is_that_of_the_results() -> None:
    results = read_results()
    assert list(results) == [cell.name for cell in possible()], f"make fault-matrix, then commit {KEPT} and {PAGE}"
    assert PAGE.read_text().partition(MARK)[2] == page(results)


def test_no_cell_is_a_bug_or_leaves_a_process() -> None:
    codes = {result.code for result in read_results().values() if result.code >= 0}
    assert codes <= set(ExitCode) - {ExitCode.BUG}
    for name, result in read_results().items():
        assert "process" not in result.left, name
        assert result.code < 0 or result.sentence or result.code == 0, name


def test_each_step_and_fault_is_in_the_matrix() -> None:
    names = {(cell.fault, cell.step) for cell in possible()}
    assert {fault for fault, _ in names} == {*FAULTS, *DOCKER_FAULTS, *DATABASE_FAULTS}
    assert {step for _, step in names} == set(STEPS)
    assert len(read_results()) >= 150
