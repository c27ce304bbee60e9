"""scripts/nightly.sh from the first night to one that is slower: real launches, exit codes, summary and JUnit file."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

pytestmark = pytest.mark.system

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "nightly.sh"
# A worker that trains for real and whose clock is simulated: a night is as fast as STEP_S says, on any machine.
WORKER = """
import os, random
from gbench.measure import clock
from gbench.pix2pix.__main__ import leave, main

noise = random.Random(os.getpid())
mark_s = float(os.environ["STEP_S"]) / 3  # a step has three marks
now_s = 0.0

def mark(self):
    global now_s
    now_s += mark_s * noise.gauss(1, 0.01)
    return now_s

clock.HostMarks.mark = mark
leave(main())
"""
SCRIPT_OF_WORKER = 'eval "exec ${TORCHRUN/-m gbench.pix2pix/-m simulated_worker}"\n'


@pytest.fixture
def nightly(small_launch: list[str], tmp_path: Path) -> Callable[..., tuple[Answer, Path]]:
    """Run a night in an empty folder; returns its output and folder."""

    def run(*more: str, **variables: str) -> tuple[Answer, Path]:
        base = ["bash", str(SCRIPT), "pix2pix_resnet_6blocks", "2", "1", "FP32", *small_launch, "--steps", "12", *more]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # One thread: on a machine that does other things too, several wait for each other for ages.
        environ = {**os.environ, "PATH": path, "NIGHTLY_RUNS": "2", "OMP_NUM_THREADS": "1", **variables}
        before = set((tmp_path / "nightly").glob("*"))
        done = subprocess.run(base, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=400)
        (folder,) = set((tmp_path / "nightly").glob("*")) - before
        return Answer(done.returncode, done.stdout, done.stderr), folder

    return run


def test_nights(nightly: Callable[..., tuple[Answer, Path]], gbench: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "simulated_worker.py").write_text(WORKER)
    script = tmp_path / "pt-pix2pix.sh"
    script.write_text(SCRIPT_OF_WORKER)
    search = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))

    def night(step_s: float, **variables: str) -> tuple[Answer, Path]:
        return nightly("--run-model-file", str(script), STEP_S=str(step_s), PYTHONPATH=search, **variables)

    first, folder = night(0.2)
    assert first.code == 0, first.err  # nothing is pinned yet
    assert "gbench cndb baseline set" in first.out
    pinned = gbench("cndb", "baseline", "set", "nightly", folder / "runs", "--reason", "the first night")
    assert pinned.code == 0, pinned.err

    page = tmp_path / "page.md"
    second, folder = night(0.2, GITHUB_STEP_SUMMARY=str(page))
    assert second.code == 0, second.out + second.err
    assert page.read_text() == (folder / "summary.md").read_text() != ""
    assert int(ET.parse(folder / "junit.xml").getroot().get("failures", "0")) == 0
    assert len(list((folder / "runs").iterdir())) == 2

    third, folder = night(0.8)
    assert third.code == 1, third.out + third.err
    assert "regression" in (folder / "summary.md").read_text()
    assert ET.parse(folder / "junit.xml").getroot().find(".//failure") is not None


def test_a_night_that_could_not_measure_is_no_regression(nightly: Callable[..., tuple[Answer, Path]]) -> None:
    answer, folder = nightly("--datasets-dir", "none & <nowhere>")
    assert answer.code == 2
    assert "gbench: error: DATASETS_DIR" in answer.err
    error = ET.parse(folder / "junit.xml").getroot().find(".//error")
    assert error is not None and "none & <nowhere>" in error.get("message", "")
    assert "DATASETS_DIR" in (folder / "summary.md").read_text()
