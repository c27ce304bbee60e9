"""Run tests without a function, in a fork of a process that has collected them all, where its code is replaced.

Processes that a test starts have the function; those that it forks do not.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from changed_run import Recorder, enter, forked, isolated
from removals import Change


@dataclass(frozen=True)
class Trial:
    """A function, the tests of its own file, which all run, and others, of which one that fails is enough."""

    change: Change
    own: list[str]
    others: list[str]


def try_all(copy: Path, trials: list[Trial], limit_s: float, results: Path) -> None:
    """Append to `results` for each trial a line: its place among the trials, and whether each test passed.

    One that does not end by the limit has not passed. A test that fails with all functions too is left out.
    """
    files = sorted({test.partition("::")[0] for trial in trials for test in (*trial.own, *trial.others)})

    def work() -> int:
        with tempfile.TemporaryDirectory(prefix="gbench-") as temporary:
            Path(temporary).chmod(0o755)  # for the user of a PostgreSQL
            enter(copy, Path(temporary))
            return int(pytest.main(["-q", "-p", "no:cacheprovider", *files], plugins=[_Trials(*given)]))

    given = copy, trials, limit_s, results
    if os.waitpid(forked(work), 0)[1]:
        raise RuntimeError(f"the trials ended early: see {copy.parent / 'output.txt'}")


class _Trials:
    """A pytest plugin that runs the trials in place of the tests."""

    def __init__(self, copy: Path, trials: list[Trial], limit_s: float, results: Path) -> None:
        self._copy, self._trials, self._limit_s, self._results = copy, trials, limit_s, results
        self._items: dict[str, pytest.Item] = {}
        self._known: set[str] = set()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = {item.nodeid: item for item in session.items}
        source = self._copy / "src"
        for path in {trial.change.path for trial in self._trials}:
            parts = path.relative_to(source).with_suffix("").parts
            importlib.import_module(".".join(parts).removesuffix(".__init__"))
        functions = defaultdict(list)
        gc.unfreeze()  # so that they are among the objects
        for one in gc.get_objects():
            if isinstance(one, FunctionType):
                functions[one.__code__.co_filename].append(one)
        gc.freeze()
        for number, trial in enumerate(self._trials):
            there = functions[str(trial.change.path)]
            with self._results.open("a") as file:
                print(json.dumps([number, self._outcomes(trial, there)]), file=file)
        return True

    def _outcomes(self, trial: Trial, functions: list[FunctionType]) -> dict[str, bool]:
        def work(recorder: Recorder) -> int:
            _remove(trial.change, functions)
            self._run(trial.own, recorder)
            if not recorder.failed:
                self._run(trial.others, recorder, stop_at_first=True)
            return 0

        while True:
            end, passed = isolated(self._copy, work, self._limit_s)
            tests = (*trial.own, *trial.others)
            hangs = (test for test in tests if test in self._items and test not in passed)
            if end == "timed out" and (test := next(hangs, None)):
                passed[test] = False
            if all(well or self._passes(test) for test, well in passed.items()):
                return passed

    def _passes(self, test: str) -> bool:
        """Whether a test passes with all functions; if not, it does not run again."""
        if test not in self._known:
            self._known.add(test)
            passed = isolated(self._copy, lambda recorder: self._run([test], recorder), self._limit_s)[1]
            if not passed.get(test):
                del self._items[test]
        return test in self._items

    def _run(self, tests: list[str], recorder: Recorder, stop_at_first: bool = False) -> int:
        items = [self._items[test] for test in tests if test in self._items]
        for item, following in zip_longest(items, items[1:]):
            manager = item.config.pluginmanager
            if not manager.is_registered(recorder):
                manager.register(recorder)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if stop_at_first and recorder.failed:
                break
        return 0


def _remove(change: Change, functions: list[FunctionType]) -> None:
    """Let the function of a change raise, in all of these that are it or define it."""
    new = _found(compile(change.changed, str(change.path), "exec"), change.function)
    assert new
    for function in functions:
        code = _replaced(function.__code__, change.function, new)
        if code is not function.__code__:
            function.__code__ = code


def _found(code: CodeType, name: tuple[str, int]) -> CodeType | None:
    if (code.co_name, code.co_firstlineno) == name:
        return code
    inner = (_found(one, name) for one in code.co_consts if isinstance(one, CodeType))
    return next((one for one in inner if one), None)


def _replaced(code: CodeType, name: tuple[str, int], new: CodeType) -> CodeType:
    if (code.co_name, code.co_firstlineno) == name:
        return new
    constants = tuple(_replaced(one, name, new) if isinstance(one, CodeType) else one for one in code.co_consts)
    same = all(one is other for one, other in zip(constants, code.co_consts, strict=True))
    return code if same else code.replace(co_consts=constants)
