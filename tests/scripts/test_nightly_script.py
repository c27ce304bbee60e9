"""What scripts/nightly.sh says of nights that come to no verdict; whole nights are in tests/system/test_nightly.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

NIGHTLY = Path(__file__).resolve().parents[2] / "scripts" / "nightly.sh"
LINE = (
    "network:mine, batch size:1, device count:1, dpf mode:DP, precision:FP32, throughput:10 img/s, device:Card X, "
    "dataset:facades"
)
MEASURED = f'echo "{LINE}" >> "$BENCHMARK_LOG"'
NIGHT = "cd ../.. && "  # from the run folder, where a run script begins, to the night's


class Nights:
    """Nights in a separate folder, each with a run made by a line of shell."""

    def __init__(self, base: Path, facades: Path) -> None:
        self.base, self.page = base, base / "page.md"
        self._arguments = ["pix2pix_resnet_9blocks", "1", "1", "FP32", "--device", "cpu", "--runner", "local"]
        self._arguments += ["--datasets-dir", str(facades), "--run-model-file", str(base / "mine.sh")]

    def start(self, run: str, **variables: str) -> subprocess.Popen[str]:
        (self.base / "mine.sh").write_text(run + "\n")
        path = f"{self.base / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environ = {**os.environ, "PATH": path, "NIGHTLY_RUNS": "1", "GITHUB_STEP_SUMMARY": str(self.page), **variables}
        return subprocess.Popen(
            ["bash", str(NIGHTLY), *self._arguments],
            cwd=self.base,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, run: str, **variables: str) -> tuple[int, str]:
        """Exit code, and last line of output."""
        process = self.start(run, **variables)
        _, err = process.communicate(timeout=120)
        return process.returncode, err.splitlines()[-1]

    @property
    def folder(self) -> Path:
        """Of the only night."""
        (found,) = (self.base / "nightly").iterdir()
        return found

    def error(self) -> tuple[str | None, str]:
        """The one case of the JUnit file, and its error."""
        suite = ET.parse(self.folder / "junit.xml").getroot()
        assert (suite.get("name"), suite.get("tests"), suite.get("errors")) == ("gbench nightly", "1", "1")
        case = suite[0]
        (error,) = case
        return case.get("name"), error.get("message", "")


@pytest.fixture
def nights(tmp_path: Path, facades: Path) -> Nights:
    return Nights(tmp_path, facades)


def test_a_first_night_is_stored_and_says_what_it_waits_for(nights: Nights) -> None:
    code, last = nights.run(MEASURED)
    assert (code, last) == (
        0,
        "nightly: NO VERDICT YET: 0 of 10 earlier nights; throughput 10 img/s; nightly/" + nights.folder.name,
    )
    assert (nights.folder / "summary.md").read_text() == nights.page.read_text()
    assert "no baseline nightly is pinned (gbench cndb baseline set)" in nights.page.read_text()
    assert sorted(one.name for one in nights.folder.iterdir()) == [
        "junit.xml",
        "logs",
        "nightly.log",
        "nightly.txt",
        "runs",
        "summary.md",
    ]


def test_a_night_without_its_baseline_names_the_command(nights: Nights) -> None:
    code, last = nights.run(MEASURED, NIGHTLY_BASELINE="other")
    why = "there is no baseline other in "
    assert code == 2 and f"gbench: error: {why}" in last and "gbench cndb baseline set makes one" in last
    name, message = nights.error()
    assert name == "launch" and message.startswith(why)
    assert (nights.folder / "summary.md").read_text() == nights.page.read_text()
    assert nights.page.read_text().startswith(f"# Nightly: not measured\n\n    {why}")


def test_further_options_are_those_of_the_verb(nights: Nights) -> None:
    code, last = nights.run(MEASURED, NIGHTLY_COMPARE="--allow machine --threshold 2%")
    assert code == 0, last
    code, last = nights.run(MEASURED, NIGHTLY_COMPARE="--no-such", NIGHTLY_DIR="again")
    assert code == 2 and "no such option '--no-such'" in last


def test_a_run_that_failed_is_no_regression(nights: Nights) -> None:
    code, last = nights.run(r"printf 'CUDA error: \x1b[31m<lost>\n'; exit 9")
    assert code == 4
    assert "gbench: error: the run script ended with exit code 9" in last
    assert nights.error()[0] == "launch" and "exit code 9" in nights.error()[1]


def test_a_folder_that_cant_be_made_is_no_regression(nights: Nights) -> None:
    (nights.base / "file").touch()
    code, last = nights.run(MEASURED, NIGHTLY_DIR=str(nights.base / "file"))
    assert code == 4
    assert last.startswith(f"nightly: error: can't make {nights.base}/file/2")


def test_unwritable_pages_are_no_regression_and_ci_is_told(nights: Nights) -> None:
    """Simulates a full disk: folders of the same name block the files."""
    code, last = nights.run(NIGHT + "mkdir summary.md; exit 9")
    assert code == 4 and "gbench: error: " in last and "summary.md" in last
    assert nights.page.read_text().startswith("# Nightly: not measured\n\n    gbench: error: ")


def test_a_log_that_cant_be_written_is_no_regression(nights: Nights) -> None:
    (nights.base / "bin").mkdir()
    tail = nights.base / "bin" / "tail"  # as if the log could not be read
    tail.write_text("#!/bin/sh\nexit 1\n")
    tail.chmod(0o755)
    code, last = nights.run("true", NIGHTLY_COMPARE="--no-such")
    assert code == 2
    assert "nothing was said: see whether the disk is full" in last


def test_a_night_of_the_same_second_is_not_written_over(nights: Nights) -> None:
    (nights.base / "bin").mkdir()
    clock = nights.base / "bin" / "date"
    clock.write_text("#!/bin/sh\necho 20260101T020000Z\n")
    clock.chmod(0o755)
    assert nights.run("exit 9")[0] == 4
    before = (nights.folder / "junit.xml").read_text()
    code, last = nights.run(MEASURED)
    assert code == 4
    assert last.startswith("nightly: error: can't make nightly/20260101T020000Z; free space there, begin it later")
    assert (nights.folder / "junit.xml").read_text() == before


def test_a_night_that_is_stopped_says_so(nights: Nights) -> None:
    process = nights.start(f"touch {nights.base}/begun; sleep 600")
    begun: Callable[[], bool] = (nights.base / "begun").exists
    deadline = time.monotonic() + 60
    while not begun():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=300)
    assert process.returncode == 130
    assert "stopped by Ctrl-C" in nights.error()[1]
