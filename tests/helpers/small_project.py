"""A small project with one module and its tests, for tests of `make mutation`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from changed_run import can_isolate


def run_program(folder: Path, name: str, subject: str, tests: str, program: str) -> str:
    """Write `copy/src/NAME_subject.py` and `copy/test_NAME.py`, run a program in `folder`, and return what it prints.

    A process of its own: a fork of this one would wait for the thread that watches a test's time.
    """
    if not can_isolate():
        pytest.skip("this user may make no PID namespace")
    (folder / "copy/src").mkdir(parents=True)
    (folder / f"copy/src/{name}_subject.py").write_text(subject)
    (folder / f"copy/test_{name}.py").write_text(tests)
    (folder / "program.py").write_text(f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\n{program}")
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout
