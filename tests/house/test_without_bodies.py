"""Which functions `make mutation` removes in memory, and what it says of tests that pass without them."""

from __future__ import annotations

import json
from pathlib import Path

from small_project import run_program

SUBJECT = '''
import functools

@functools.cache
def cached(value):
    """Say what it does."""
    return value

def outer(value):
    def inner(more):
        return value + more
    return inner

def add(value):
    yield value

class Box:
    @property
    def size(self):
        return 3
'''
TESTS = """
from boxed_subject import Box, add, cached, outer
def test_all(): assert cached(1) + outer(1)(1) + sum(add(1)) + Box().size == 7
def test_made(): outer(1)
def test_hidden():
    try: cached(2)
    except RuntimeError: pass
def test_wrong(): assert 0
"""
PROGRAM = """
from pathlib import Path
from removals import removals
from without_bodies import Trial, try_all
copy = Path("copy").resolve()
own = [f"test_boxed.py::test_{name}" for name in ("made", "hidden", "wrong")]
chosen, _ = removals([copy / "src/boxed_subject.py"], 9, 1)
trials = [Trial(one, own if one.function[0] != "size" else [], ["test_boxed.py::test_all"]) for one in chosen]
try_all(copy, trials, 600, Path("results").resolve())
print(*(one.function[0] for one in chosen))
"""


def test_in_memory(tmp_path: Path) -> None:
    functions = run_program(tmp_path, "boxed", SUBJECT, TESTS, PROGRAM).split()
    lines = [json.loads(line) for line in (tmp_path / "results").read_text().splitlines()]
    passed = {
        functions[number]: {test.partition("::test_")[2]: well for test, well in one.items()} for number, one in lines
    }
    without = {"made": True, "hidden": True, "all": False}
    assert passed == {
        "cached": without,
        "outer": {"made": False, "hidden": True},  # one of its own is enough
        "inner": without,
        "add": without,
        "size": {"all": False},
    }
