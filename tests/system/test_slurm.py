"""`--runner slurm` on a real Slurm of two nodes, as a user runs it from a login host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import yaml

from gbench.runfolder.folder import RunFolder
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

    def until_requeued(self, process: subprocess.Popen[str], restarts: int) -> int:
        """Wait until the job is back in the queue; returns how often it has been."""
        self.until(lambda: int(self.slurm.job(self.job)["Restarts"]) > restarts, process)
        return int(self.slurm.job(self.job)["Restarts"])

    @property
    def job(self) -> str:
        """The number of the run's job; empty before it is submitted."""
        notes = list(self.folder.glob("results/*/slurm.json"))
        return str(json.loads(notes[0].read_text())["job"]) if notes else ""

    def steps(self) -> int:
        """How many steps the run has written, over all of its starts."""
        lines = [path.read_bytes().count(b"\n") for path in self.folder.glob("results/*/steps-rank0.jsonl")]
        return sum(lines)

    def freeze(self) -> None:
        """Stop the processes of the run where they are."""
        stopped = 0
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has ended
                words = path.read_text().split("\0")
                if "gbench.pix2pix.start_ranks" in words and any(str(self.folder) in word for word in words):
                    os.kill(int(path.parent.name), signal.SIGSTOP)
                    stopped += 1
        assert stopped


@pytest.fixture
def login(slurm: Slurm, small_launch: list[str], tmp_path: Path) -> Iterator[Login]:
    """Leaves no job, whatever happens."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    yield Login(folder, slurm, small_launch)
    slurm.command("scancel", "--user=root")


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
    assert (code, "has a job of its own" in err) == (2, True), err

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
    assert (code, "has no job to take up" in err) == (2, True), err


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    nets = {name: torch.load(folder.checkpoints / f"latest_net_{name}.pth", weights_only=True) for name in "GD"}
    return {f"{net}.{key}": value for net, state in nets.items() for key, value in state.items()}


def test_a_run_goes_on_after_each_requeue(login: Login, without_test_split: list[object], tmp_path: Path) -> None:
    """Its time is up, another job pre-empts it, its node fails: the weights are those of an undisturbed run."""
    schedule = {"epochs": 30, "epochs_decay": 30, "checkpoint_every": 1, "print_every": 2}
    settings = [part for key, value in schedule.items() for part in ("--set", f"schedule.{key}={value}")]
    arguments = ["converge", "pix2pix_resnet_6blocks", 4, 1, "FP32", *login.small, *without_test_split, *settings]
    slurm = login.slurm
    process = login.begin(*arguments, "--deterministic", "--json")

    # Slurm looks at time limits every 30 s, and sends SIGCONT with SIGTERM
    login.until(lambda: login.steps() >= 9, process)
    login.freeze()
    hours, minutes, _ = map(int, slurm.job(login.job)["RunTime"].split(":"))
    slurm.command("scontrol", "update", f"JobId={login.job}", f"TimeLimit={60 * hours + minutes + 2}")
    restarts = login.until_requeued(process, 0)
    slurm.command("scontrol", "update", f"JobId={login.job}", "TimeLimit=UNLIMITED")

    login.until(lambda: login.steps() >= 61, process)
    login.freeze()
    slurm.command("sbatch", "--partition=urgent", "--nodes=2", "--output=/dev/null", "--wrap=sleep 1")
    restarts = login.until_requeued(process, restarts)

    login.until(lambda: login.steps() >= 121, process)
    login.freeze()
    node = slurm.job(login.job)["NodeList"]
    slurm.kill_node(node)
    restarts = login.until_requeued(process, restarts)
    slurm.start_node(node)

    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    assert err.count("back in the queue") == restarts >= 3
    folder = the_run(login.folder)
    record = yaml.safe_load(Path(json.loads(out)["paths"]["record"]).read_text())
    assert len(record["extra"]["resumed_utc"]) == restarts
    assert record["perf_data"]["job"]["attempts"] == restarts + 1

    (tmp_path / "whole").mkdir()
    whole = Login(tmp_path / "whole", slurm, [])
    code, _, err = whole.run(*arguments, "--runner", "local", "--deterministic")
    assert code == 0, err
    there, here = weights(folder), weights(the_run(whole.folder))
    assert there.keys() == here.keys() and all(torch.equal(there[name], here[name]) for name in here)


def cancel(slurm: Slurm, job: str) -> None:
    slurm.command("scancel", job)


def preempt(slurm: Slurm, job: str) -> None:
    slurm.command("sbatch", "--partition=urgent", "--nodes=2", "--output=/dev/null", "--wrap=sleep 1")


def hold(slurm: Slurm, job: str) -> None:
    slurm.command("scontrol", "requeuehold", job)


def fail_node(slurm: Slurm, job: str) -> None:
    slurm.command("scontrol", "update", f"NodeName={slurm.job(job)['NodeList']}", "State=DOWN", "Reason=test")


def end_time(slurm: Slurm, job: str) -> None:
    slurm.command("scontrol", "update", f"JobId={job}", "EndTime=now")


@pytest.mark.parametrize(
    ("disturb", "options", "code", "says"),
    [
        (cancel, [], 130, "Slurm job {job} was cancelled"),
        (preempt, [], 4, "Slurm job {job} was pre-empted by a job of higher priority"),
        (hold, ["--sbatch", "--requeue"], 4, "Slurm job {job} is back in the queue and held"),
        (fail_node, [], 4, "node {node} of Slurm job {job} failed"),
        (end_time, [], 1, "Slurm job {job} reached its time limit"),
    ],
)
def test_each_way_to_lose_a_measurement(
    login: Login, disturb: Callable[[Slurm, str], None], options: list[str], code: int, says: str
) -> None:
    process = login.begin(*login.launch("--steps", 100_000, "--warmup", 2, *options))
    login.until(lambda: list(login.folder.glob("results/*/node-0.json")), process)
    node = login.slurm.job(login.job)["NodeList"]
    disturb(login.slurm, login.job)
    _, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, says.format(job=login.job, node=node) in err) == (code, True), err
    assert state_of(the_run(login.folder)) == ("stopped" if code == 130 else "failed")
    login.slurm.wait_until_idle()


def test_a_fleet_of_two_nodes(login: Login) -> None:
    check = ("check", "--fleet", "--device", "cpu", "--runner", "slurm", "--nodes", 2, "--json")
    code, out, err = login.run(*check)
    found = json.loads(out)
    assert code == (1 if found["differ"] else 0), err
    assert found["hosts"] == ["n1", "n2"]
    assert [(link["first"], link["second"]) for link in found["links"]] == [(0, 1)]
    assert found["exclude"] == "" and not found["slow_nodes"]  # two nodes have no majority


def test_a_job_on_two_nodes_is_one_run(login: Login, tmp_path: Path) -> None:
    run = [
        "launch",
        "pix2pix_resnet_6blocks",
        4,
        2,
        "FP32",
        *login.small,
        "--steps",
        6,
        "--warmup",
        2,
        "--deterministic",
    ]
    code, out, err = login.run(*run, "--nodes", 2, "--json")
    assert code == 0, err
    folder = the_run(login.folder)
    assert (login.slurm.job(login.job)["NumNodes"], login.slurm.job(login.job)["NodeList"]) == ("2", "n[1-2]")
    record = yaml.safe_load(Path(json.loads(out)["paths"]["record"]).read_text())
    assert (record["dev_num"], record["extra"]["spec"]["nodes"]) == (2, 2)
    assert [one["node"]["number"] for one in record["extra"]["nodes"]] == [0, 1]
    assert all(one["worker"]["torch"] == torch.__version__ for one in record["extra"]["nodes"])

    (tmp_path / "here").mkdir()
    here = Login(tmp_path / "here", login.slurm, [])
    code, _, err = here.run(*run, "--runner", "local")
    assert code == 0, err
    for rank in (0, 1):
        there, alone = folder.steps(rank), the_run(here.folder).steps(rank)
        assert [step.losses for step in there] == [step.losses for step in alone]
