"""The project's scripts: found from anywhere, and what they start gets its arguments as data."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = ["$(touch made)", "`touch made`", "; touch made", 'it\'s "quoted"', "a\nb", "", "*", "\\", "é"]


@pytest.mark.parametrize(
    ("script", "more"), [("pt-pix2pix", []), ("pt-pix2pix-convergency", []), ("pt-gpu-smoke", ["--gpu-smoke"])]
)
def test_arguments_of_the_worker_are_data(tmp_path: Path, script: str, more: list[str]) -> None:
    worker = [sys.executable, "-c", "import os, sys; print(sys.argv[1:], os.getpid())", *HOSTILE]
    process = subprocess.Popen(
        ["bash", str(ROOT / f"scripts/{script}.sh")],
        cwd=tmp_path,
        env={**os.environ, "WORKER": shlex.join(worker), "PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = process.communicate(timeout=300)
    assert out == f"{[*HOSTILE, *more]} {process.pid}\n"  # the worker takes the script's place: signals reach it
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", ["relative", "link"])
@pytest.mark.parametrize(("script", "arguments"), [("launch", "--help"), ("nightly", "no_such_model 1 1 FP32")])
def test_a_script_from_elsewhere(tmp_path: Path, way: str, script: str, arguments: str) -> None:
    """CDPATH makes `cd` print, and go elsewhere."""
    (tmp_path / "scripts").mkdir()
    path = Path(f"scripts/{script}.sh")
    if way == "link":
        path = tmp_path / "linked"
        path.symlink_to(ROOT / f"scripts/{script}.sh")
    done = subprocess.run(
        ["bash", str(path), *arguments.split()],
        cwd=ROOT if way == "relative" else tmp_path,
        env={
            **os.environ,
            "CDPATH": str(tmp_path),
            "NIGHTLY_DIR": str(tmp_path / "nights"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = done.stdout + done.stderr
    assert ("Usage: gbench launch" if script == "launch" else "no_such_model") in said
    assert done.returncode == (0 if script == "launch" else 2)
