"""Which tests run a line of the code: a pytest plugin that records it (`-p covering`), and its reader.

A run of the command line that a test starts as a process of its own counts as that test's; what it forks does not.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import coverage
import pytest
from support import server_of

SETTINGS = """[run]
source = {sources}
parallel = True
data_file = {folder}/lines
context = ${{PYTEST_CURRENT_TEST-}}
"""
FOLDER = Path(os.environ.get("GBENCH_COVERING", ""))
SECONDS: dict[str, float] = {}
FAILED: set[str] = set()
PHASE = re.compile(r" \((setup|call|teardown)\)$")  # of a test, in the contexts of processes that it starts
running: coverage.Coverage | None = None

if "PYTEST_XDIST_WORKER" in os.environ:
    running = coverage.Coverage(config_file=str(FOLDER / "settings"), data_suffix=True)
    running.start()
    os.environ["COVERAGE_PROCESS_START"] = str(FOLDER / "settings")  # of child processes


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the system tests leave those on a PostgreSQL, which starts within a second."""
    out = [item for item in items if item.get_closest_marker("system") and server_of(item) != "postgres"]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    if running:
        running.switch_context(item.nodeid)
    began = _processor_s()
    done = yield
    SECONDS[_name(item.nodeid)] = _processor_s() - began
    if running:
        running.switch_context("")
    return done


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        FAILED.add(_name(report.nodeid))


def pytest_sessionfinish() -> None:
    if running:
        running.stop()
        running.save()
        passed = {test: seconds for test, seconds in SECONDS.items() if test not in FAILED}
        (FOLDER / f"seconds-{os.getpid()}.json").write_text(json.dumps(passed))


class Covering:
    """What a run of the tests with this plugin recorded in a folder. copy: of the project, which may have changed."""

    def __init__(self, folder: Path, copy: Path) -> None:
        self._folder, self._copy = folder, copy
        self._data = coverage.CoverageData(str(folder / "lines"))
        self._data.read()
        self.seconds: dict[str, float] = {}
        for file in folder.glob("seconds-*.json"):
            self.seconds.update(json.loads(file.read_text()))

    def tests(self, path: Path, lines: range, in_process: bool = False) -> list[str]:
        """The tests that run one of these lines of a file, the cheapest first, without those that failed.

        in_process: without those that only start processes that do.
        """
        contexts = self._data.contexts_by_lineno(str(path))
        before = self._folder / path.relative_to(self._copy)
        old, new = (one.read_text().splitlines() if one.is_file() else [] for one in (before, path))
        same = difflib.SequenceMatcher(None, new, old, autojunk=False).get_matching_blocks()
        was = {block.a + place + 1: block.b + place + 1 for block in same for place in range(block.size)}
        places = {place for line in lines for place in (line, was.get(line, 0))}  # of tests that ran later, or before
        every = {context for place in places for context in contexts.get(place, ())}
        found = {_name(context) for context in every if not (in_process and PHASE.search(context))}
        return sorted(found & self.seconds.keys(), key=lambda test: self.seconds[test])

    def forget(self, files: list[str]) -> None:
        """Leave out the tests of these files."""
        for test in [test for test in self.seconds if test.partition("::")[0] in files]:
            del self.seconds[test]
        for file in self._folder.glob("seconds-*.json"):
            file.unlink()
        (self._folder / "seconds-kept.json").write_text(json.dumps(self.seconds))


def combine(folder: Path) -> None:
    """Join what the processes have recorded."""
    whole = coverage.Coverage(config_file=str(folder / "settings"))
    whole.load()
    whole.combine()
    whole.save()


def _processor_s() -> float:
    """Processor time of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def _name(context: str) -> str:
    """A test's name without its phase (of a child process) and its group (of pytest-xdist)."""
    return re.sub(r"@\w+$", "", PHASE.sub("", context))
