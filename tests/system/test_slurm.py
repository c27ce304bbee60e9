"""`--runner slurm` on a real Slurm of two nodes, as a user runs it from a login host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from gbench.runfolder.state import state_of
from shared_runs import the_run
from slurm_cluster import Slurm

pytestmark = pytest.mark.system
LIMIT_S = 240  # of a wait that takes seconds on a quiet machine


class Login:
    """A folder on the login host, from which gbench is called."""

    def __init__(self, folder: Path, slurm: Slurm, small_launch: list[str]) -> None:
        self.folder, self.slurm = folder, slurm
        self.small = [*small_launch, "--runner", "slurm"]

    def begin(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gbench", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, **self.slurm.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """Run gbench to its end: exit code, stdout and stderr."""
        process = self.begin(*arguments)
        out, err = process.communicate(timeout=LIMIT_S)
        return process.returncode, out, err

    def launch(self, *options: object) -> list[object]:
        return ["launch", "pix2pix_resnet_6blocks", 4, 1, "FP32", *self.small, *options]

    def until(self, holds: Callable[[], object], process: subprocess.Popen[str]) -> None:
        """Wait until a function returns true while gbench runs."""
        until_s = time.monotonic() + LIMIT_S
        while not holds():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until_s, self.slurm.logs()
            time.sleep(0.05)

    @property
    def job(self) -> str:
        """The number of the run's job; empty before it is submitted."""
        notes = list(self.folder.glob("results/*/slurm.json"))
        return str(json.loads(notes[0].read_text())["job"]) if notes else ""

    def steps(self) -> int:
        """How many steps the run has written."""
        begun = list(self.folder.glob("results/*/steps-rank0.jsonl"))
        return len(the_run(self.folder).steps(0)) if begun else 0


@pytest.fixture
def login(slurm: Slurm, small_launch: list[str], tmp_path: Path) -> Login:
    folder = tmp_path / "a folder"
    folder.mkdir()
    return Login(folder, slurm, small_launch)


def test_a_launch_is_a_job_with_a_record(login: Login) -> None:
    code, out, err = login.run(*login.launch("--steps", 6, "--warmup", 2, "--json", "--sbatch", '--comment="a test"'))
    assert code == 0, err
    folder = the_run(login.folder)
    job = json.loads((folder.path / "slurm.json").read_text())["job"]
    assert f"Slurm job {job} runs on n" in err
    assert "iters: 4," in err  # the log, as it was written
    assert login.slurm.job(job)["JobState"] == "COMPLETED"
    assert '#SBATCH --comment="a test"\n' in (folder.path / "job.sbatch").read_text()

    # the record is that of any launch, and its machine is the job's node
    path = Path(json.loads(out)["paths"]["record"])
    record = yaml.safe_load(path.read_text())
    assert record["perf_data"]["count"] > 0
    assert (record["soft_info"]["runner"], record["hard_info"]["mem"][-3:]) == ("slurm", " GB")
    assert "memory" in {check.id for check in folder.host().checks}
    assert record["extra"]["spec"]["slurm"]["sbatch"] == ['--comment="a test"']


def test_a_job_that_slurm_refuses(login: Login) -> None:
    code, _, err = login.run(*login.launch("--steps", 6, "--warmup", 2, "--partition", "nowhere"))
    assert (code, "Invalid partition name specified" in err) == (4, True), err
    assert state_of(the_run(login.folder)) == "failed"


def test_ctrl_c_cancels_the_job(login: Login) -> None:
    process = login.begin(*login.launch("--steps", 100_000, "--warmup", 2))
    login.until(login.steps, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, "stopped by Ctrl-C; its run folder is" in err) == (130, True), err
    assert login.slurm.job(login.job)["JobState"] == "CANCELLED"
    assert state_of(the_run(login.folder)) == "stopped"


def test_a_job_that_waits_for_too_long_is_cancelled(login: Login) -> None:
    other = login.slurm.command("sbatch", "--parsable", "--nodes=2", "--output=/dev/null", "--wrap=sleep 600").strip()
    login.slurm.wait_until(lambda: login.slurm.job(other)["JobState"] == "RUNNING")
    code, _, err = login.run(*login.launch("--steps", 6, "--warmup", 2, "--queue-timeout", "1s"))
    login.slurm.command("scancel", other)
    assert (code, "did not start within --queue-timeout 1s (Resources)" in err) == (4, True), err
    assert "waits: Resources" in err
    assert login.slurm.job(login.job)["JobState"] == "CANCELLED"
    assert state_of(the_run(login.folder)) == "failed"


def test_a_detached_job_is_taken_up(login: Login) -> None:
    code, out, err = login.run(*login.launch("--steps", 8, "--warmup", 2, "--detach", "--json"))
    assert code == 0, err
    folder = the_run(login.folder)
    told = json.loads(out)
    assert (told["job"], told["paths"], told["attach"]) == (
        login.job,
        {"run": str(folder.path)},
        f"gbench launch --attach '{folder.path}'",
    )
    assert state_of(folder) == "detached"
    code, _, err = login.run("converge", "--resume", folder.path)
    assert (code, "has a Slurm job of its own" in err) == (2, True), err

    # Ctrl-C leaves it again
    process = login.begin("launch", "--attach", folder.path)
    login.until(lambda: folder.alive, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, f"Slurm job {login.job} goes on" in err) == (130, True), err
    assert login.slurm.job(login.job)["JobState"] != "CANCELLED"
    assert (state_of(folder), folder.host().ended_utc) == ("detached", None)

    code, out, err = login.run("launch", "--attach", "latest", "--json")
    assert code == 0, err
    record = yaml.safe_load(Path(json.loads(out)["paths"]["record"]).read_text())
    assert record["extra"]["run_id"] == folder.path.name
    assert (state_of(folder), len(folder.steps(0))) == ("complete", 8)
    log = folder.log.read_text()
    assert log.count("iters: 4,") == 2 and log.count("iters: 8,") == 2  # each line once: two epochs of 16 images
    code, _, err = login.run("launch", "--attach", folder.path)
    assert (code, "has no Slurm job to take up" in err) == (2, True), err


def test_a_failed_node_ends_a_measurement(login: Login) -> None:
    process = login.begin(*login.launch("--steps", 100_000, "--warmup", 2))
    login.until(lambda: login.job and login.slurm.job(login.job)["JobState"] == "RUNNING", process)
    node = login.slurm.job(login.job)["NodeList"]
    login.slurm.command("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    _, err = process.communicate(timeout=LIMIT_S)
    login.slurm.wait_until_idle()  # the node has come back by itself
    assert (process.returncode, f"node {node} of Slurm job {login.job} failed" in err) == (4, True), err
