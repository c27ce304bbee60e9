"""What Kubernetes says of a job and its pods, and how each end is reported."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gbench.base.paths import project_file
from gbench.errors import ExitCode, Interrupted, OutOfMemory
from gbench.runners.kubernetes_states import ENDS, TrainJobState, state_of
from golden import check_golden
from kubernetes_server import shown_pod

CODES = {
    "Pending": ExitCode.INFRASTRUCTURE,
    "ImagePullBackOff": ExitCode.INFRASTRUCTURE,
    "CreateContainerError": ExitCode.INFRASTRUCTURE,
    "OOMKilled": ExitCode.FAILED,
    "Evicted": ExitCode.INFRASTRUCTURE,
    "Preempted": ExitCode.INFRASTRUCTURE,
    "DeadlineExceeded": ExitCode.FAILED,
    "Failed": ExitCode.FAILED,
    "Deleted": ExitCode.INTERRUPTED,
}
RUNNING = {"state": {"running": {}}}


def condition(kind: str, reason: str, message: str, status: str = "True") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def job(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"status": {"conditions": list(conditions)}}


def waiting(reason: str) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": "says why"}}}


def ended(code: int, reason: str = "Error", at: str = "", when: str = "state") -> dict[str, Any]:
    return {when: {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at}}}


def pod(phase: str, *statuses: dict[str, Any], number: int = 0, **status: Any) -> dict[str, Any]:
    labels = {"batch.kubernetes.io/job-completion-index": str(number)}
    return shown_pod(f"pod-{number}", phase, list(statuses), labels=labels, **status)


UNSCHEDULABLE = condition("PodScheduled", "Unschedulable", "0/3 nodes are available", "False")


@pytest.mark.parametrize(
    ("conditions", "pods", "reason"),
    [
        ([], [], "no pod has started yet"),
        ([condition("Suspended", "Suspended", "TrainJob is suspended")], [], "Suspended: TrainJob is suspended"),
        ([], [pod("Pending", conditions=[UNSCHEDULABLE])], "Unschedulable: 0/3 nodes are available"),
        ([], [pod("Pending", waiting("ContainerCreating"))], "ContainerCreating: says why"),
        ([], [pod("Pending", waiting("ErrImagePull"))], "ErrImagePull: says why"),
    ],
)
def test_a_job_that_waits(conditions: list[Any], pods: list[Any], reason: str) -> None:
    state = state_of(job(*conditions), pods)
    assert (state.waits, state.reason, state.end, state.first) == (True, reason, "", "")


def test_a_running_job() -> None:
    state = state_of(job(), [pod("Running", RUNNING, number=1), pod("Running", RUNNING)])
    assert (state.waits, state.nodes, state.first, state.end) == (False, "worker-1", "pod-0", "")


ENDINGS: list[tuple[list[Any], str]] = [
    ([pod("Pending", waiting("ImagePullBackOff"))], "ImagePullBackOff"),
    ([pod("Pending", waiting("InvalidImageName"))], "ImagePullBackOff"),
    ([pod("Pending", waiting("CreateContainerConfigError"))], "CreateContainerError"),
    ([pod("Failed", ended(137, "OOMKilled"))], "OOMKilled"),
    # started again in place, as the runtime's rule may say
    ([pod("Running", {**waiting("CrashLoopBackOff"), **ended(137, "OOMKilled", when="lastState")})], "OOMKilled"),
    ([pod("Failed", reason="Evicted", message="The node was low on memory")], "Evicted"),
    ([pod("Failed", conditions=[condition("DisruptionTarget", "DeletionByTaintManager", "gone")])], "Evicted"),
    (
        [pod("Failed", conditions=[condition("DisruptionTarget", "PreemptionByScheduler", "")])],
        "Preempted",
    ),
    ([pod("Failed", reason="DeadlineExceeded")], "DeadlineExceeded"),
    ([pod("Failed")], "Failed"),
    # the cause, not what follows from it
    ([pod("Failed", ended(143)), pod("Failed", ended(137, "OOMKilled"), number=1)], "OOMKilled"),
    ([pod("Failed", ended(2))], "Exited"),
    ([pod("Succeeded", ended(0, "Completed"))], ""),
    ([pod("Failed", reason="NodeLost", message="of its node")], "Failed"),
    ([pod("Failed", ended(0, "OOMKilled"))], "OOMKilled"),  # a process of the container, not its first one
    ([pod("Pending", waiting("RunContainerError")), pod("Running", RUNNING, number=1)], "CreateContainerError"),
]


@pytest.mark.parametrize(("pods", "end"), ENDINGS)
def test_how_pods_end(pods: list[Any], end: str) -> None:
    assert state_of(job(), pods).end == end


def test_all_that_is_known_of_pods_that_end() -> None:
    said = [f"{state_of(job(condition('Failed', 'FailedJobs', 'jobset failed')), pods)}\n" for pods, _ in ENDINGS]
    check_golden("kubernetes-states.txt", "".join(said))


def test_how_a_job_ends() -> None:
    done = [pod("Succeeded", ended(0, "Completed"))]
    assert state_of(job(condition("Complete", "AllJobsCompleted", "")), done).end == "Complete"
    late = condition("Failed", "DeadlineExceeded", "TrainJob exceeded its active deadline")
    assert state_of(job(late), []).end == "DeadlineExceeded"
    failed = state_of(job(condition("Failed", "FailedJobs", "jobset failed")), [])
    assert (failed.end, failed.reason) == ("Failed", "FailedJobs: jobset failed")


def test_the_exit_code_is_that_of_the_first_that_failed() -> None:
    pods = [pod("Failed", ended(143, at="2026-11-30T10:00:09Z")), pod("Failed", ended(3, at="2026-11-30T10:00:01Z"))]
    assert state_of(job(), pods) == TrainJobState(False, "Error", "worker-1", "pod-0", "Exited", 3)


@pytest.mark.parametrize(("end", "code"), CODES.items())
def test_each_end_has_its_sentence_and_exit_code(end: str, code: ExitCode) -> None:
    error = ENDS[end].to_raise(job="gbench-1", nodes="worker-1", reason="why", limit="90s")
    assert "TrainJob gbench-1" in error.what and "{" not in str(error) and error.hint
    assert error.exit_code == code
    assert isinstance(error, OutOfMemory) == (end == "OOMKilled")
    assert isinstance(error, Interrupted) == (end == "Deleted")


def test_the_table_of_the_docs_is_that_of_the_code() -> None:
    assert CODES.keys() == ENDS.keys()
    text = project_file("docs/kubernetes.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    assert {state: (int(code), sentence, hint) for state, code, sentence, hint in rows} == {
        state: (end.error.exit_code, re.sub(r"{(\w+)}", lambda word: word[1].upper(), end.what), end.hint)
        for state, end in ENDS.items()
    }
