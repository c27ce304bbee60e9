"""How a run ended, in host.json, `gbench runs` and its page: by its runner, a timeout, a stop, a resumption."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import Answer

from gbench.base.files import cant_write
from gbench.errors import InfrastructureError, Interrupted, RunFailed
from gbench.reports.run_data import RunData
from gbench.runfolder.error_file import forget_error, write_error
from gbench.runfolder.evaluation_result import final_of
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import HostFacts
from gbench.runfolder.state import state_of
from gbench.runners.local import LocalRunner
from gbench.runs import attempt
from gbench.runs.attempt import close_trained
from gbench.settings.spec import RunSpec
from run_folders import write_run
from shared_runs import the_run

Gbench = Callable[..., Answer]
MakeSpec = Callable[..., RunSpec]
OUT_OF_SHM = InfrastructureError("the run script ended with exit code 1: /dev/shm is full", "enlarge it")


@pytest.mark.parametrize(
    ("raised", "exit_code", "state", "said"),
    [
        (OUT_OF_SHM, 4, "failed", "The run script ended with exit code 1: /dev/shm is full; enlarge it"),
        (Interrupted("stopped by Ctrl-C", "it is kept"), 130, "stopped", "It was stopped before its run script ended"),
        (KeyError("x"), 70, "failed", "KeyError('x')"),
    ],
)
def test_what_the_runner_raises_is_how_it_ended(
    gbench: Gbench,
    small_launch: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    exit_code: int,
    state: str,
    said: str,
) -> None:
    def run(*_: object) -> None:
        raise raised

    monkeypatch.setattr(LocalRunner, "run", run)
    assert gbench("launch", "pix2pix_resnet_9blocks", 4, 1, "FP32", *small_launch).code == exit_code
    folder = the_run(tmp_path)
    assert [row["state"] for row in gbench("runs", "--json").json] == [state]
    assert gbench("report", folder.path).code == 0
    page = (folder.path / "report.html").read_text()
    assert said in page.replace("&#x27;", "'").replace("&#39;", "'")
    assert ('"status failed"' in page) == (state == "failed")


def test_the_record_of_a_failed_run_enters_nothing(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.sh").write_text("exit 7\n")
    run = ["pix2pix_resnet_9blocks", 4, 1, "FP32", *small_launch, "--run-model-file", "mine.sh"]
    assert gbench("launch", *run).code == 1
    failed = the_run(tmp_path).path / "failed.yaml"
    extra = yaml.safe_load(failed.read_text())["extra"]
    assert extra["status"] == "failed" and extra["failure"].startswith("the run script ended with exit code 7")
    said = "it is of a run that failed (the run script ended with exit code 7"
    for command in (["compare", failed, failed], ["cndb", "submit", failed], ["report", failed], ["replay", failed]):
        answer = gbench(*command)
        assert answer.code in (1, 2, 4) and said in answer.err, answer
    assert not (tmp_path / "cndb" / "records").exists()
    assert gbench("cndb", "list", "--json").code == 4  # there is no database


def test_a_run_that_never_started_says_why(
    gbench: Gbench, small_launch: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    run = ["pix2pix_resnet_9blocks", 4, 1, "FP32", *small_launch, "--runner", "docker"]
    assert gbench("launch", *run).code == 4
    folder = the_run(tmp_path)
    assert (state_of(folder), folder.host().exit_code) == ("failed", None)
    assert (folder.host().failure or "").startswith("Docker can't be used: no engine answers at DOCKER_HOST")
    assert (folder.path / "failed.yaml").exists()


def test_a_timeout_is_a_failure(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.sh").write_text("exec sleep 60\n")
    run = ["pix2pix_resnet_9blocks", 4, 1, "FP32", *small_launch, "--run-model-file", "mine.sh", "--timeout", 1]
    assert gbench("launch", *run).code == 1
    assert [row["state"] for row in gbench("runs", "--json").json] == ["failed"]
    assert (the_run(tmp_path).host().failure or "").startswith("the run was not done after --timeout 1s")


def test_a_resumption_of_a_trained_run_ends_its_failure(make_spec: MakeSpec) -> None:
    folder = write_run(make_spec(), host={"exit_code": 137, "failure": "a process was killed", "warnings": ["warm"]})
    write_error(folder, RunFailed("it fell", ""))
    assert state_of(folder) == "failed"
    close_trained(folder, "warm")
    host = folder.host()
    assert (state_of(folder), host.failure, host.warnings) == ("complete", None, ["warm"])
    assert host.ended_utc == "2026-01-02T03:05:05.678+00:00"


@pytest.mark.parametrize(
    ("end", "state"),
    [
        ({"exit_code": 1}, "failed"),
        ({"exit_code": None, "failure": "too late"}, "failed"),
        ({"exit_code": None}, "stopped"),
        ({"exit_code": 0}, "complete"),
    ],
)
def test_a_convergence_run_ends_with_its_evaluation(make_spec: MakeSpec, end: dict[str, object], state: str) -> None:
    folder = write_run(make_spec())
    assert state_of(folder) == "complete"
    final: RunFolder = final_of(folder)
    RunFolder.create(make_spec().replaced(recipe="evaluation", results_dir=str(final.path.parent), run_id="final"))
    final.write("host.json", {"started_utc": "2026-01-02T03:04:05Z", "ended_utc": "2026-01-02T03:05:05Z", **end})
    assert state_of(folder) == state
    problems = RunData.read(folder).problems
    assert (problems == []) == (state == "complete") and all(one.startswith("Evaluation: ") for one in problems)


def test_a_stop_before_the_worker_starts_is_stopped(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    run = ["pix2pix_resnet_9blocks", 4, 1, "FP32", *small_launch]

    def stopped(*arguments: object) -> None:
        raise Interrupted("stopped by Ctrl-C", "it is kept")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempt, "checks_here", stopped)
        assert gbench("launch", *run).code == 130
    (row,) = gbench("runs", "--json").json
    assert row["state"] == "stopped"
    assert the_run(tmp_path).host().command_line


def test_a_run_that_fills_the_disk_is_failed(
    gbench: Gbench, small_launch: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unless_ended(folder: RunFolder, facts: HostFacts, write: Callable[..., None] = RunFolder.write_host) -> None:
        if facts.ended_utc:
            raise cant_write(folder.path, OSError(errno.ENOSPC, "No space left on device"))
        write(folder, facts)

    (tmp_path / "mine.sh").write_text("echo no space >&2; exit 4\n")
    monkeypatch.setattr(RunFolder, "write_host", unless_ended)
    run = ["pix2pix_resnet_9blocks", 4, 1, "FP32", *small_launch, "--run-model-file", "mine.sh"]
    assert gbench("launch", *run).code in (1, 4)
    folder = the_run(tmp_path)
    assert (folder.host().ended_utc, state_of(folder)) == (None, "failed")
    forget_error(folder)
    assert state_of(folder) == "killed"
