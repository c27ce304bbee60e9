"""What `make mutation` says of a fault: the tests fail, they do not end, or nothing notices."""

from __future__ import annotations

import json
from pathlib import Path

from small_project import run_program

SUBJECT = "def double(value):\n    while value > 9:\n        pass\n    return 2 * value\n"
TESTS = """
import os
from doubling_subject import double
def test_alone(): assert max(int(name) for name in os.listdir("/proc") if name.isdigit()) < 9
def test_of_two(): assert double(2) == 4
def test_of_three(): assert double(3) > 4
"""
PROGRAM = """
import json, sys
from pathlib import Path
from changed_run import changed, run
copy = Path("copy").resolve()
subject = copy / "src/doubling_subject.py"
tests = [f"test_doubling.py::test_{name}" for name in ("alone", "of_two", "of_three")]
for old, new, limit_s in (("2 *", "2 + 0 *", 600), ("2 *", "3 *", 600), ("> 9", "> 8", 600), ("> 9", "> 1", 1)):
    with changed(subject, subject.read_text().replace(old, new)):
        end, outcomes = run(copy, tests, limit_s, stop_at_first=False)
    print(json.dumps([end, list(outcomes.values()) if end != "timed out" else []]))
"""


def test_ends(tmp_path: Path) -> None:
    printed = run_program(tmp_path, "doubling", SUBJECT, TESTS, PROGRAM)
    ends = [json.loads(line) for line in printed.splitlines()]
    assert ends == [
        ["killed", [True, False, False]],
        ["killed", [True, False, True]],
        ["survived", [True, True, True]],
        ["timed out", []],
    ]
    assert (tmp_path / "copy/src/doubling_subject.py").read_text() == SUBJECT
