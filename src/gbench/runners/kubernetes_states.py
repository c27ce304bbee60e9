"""What Kubernetes says of a TrainJob and its pods, and how each end is reported: one sentence and one exit code."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gbench.errors import InfrastructureError, Interrupted, OutOfMemory, RunFailed
from gbench.runners.cluster_job import AGAIN, JobEnd

COMPLETE, EXITED, FAILED, DEADLINE = "Complete", "Exited", "Failed", "DeadlineExceeded"
# Why a container does not start, and will not without a person: the end that it counts as
HOPELESS = {
    **dict.fromkeys(("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"), "ImagePullBackOff"),
    **dict.fromkeys(
        ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"), "CreateContainerError"
    ),
}
ENDED = ("Succeeded", "Failed")  # phases of a pod

# The states in which a run ends without its result. docs/kubernetes.md has the same table.
ENDS = {
    "Pending": JobEnd(
        InfrastructureError,
        "TrainJob {job} did not start within --queue-timeout {limit} ({reason}) and was deleted",
        "give it longer, or ask for less; `kubectl get nodes` shows what the cluster has",
    ),
    "ImagePullBackOff": JobEnd(
        InfrastructureError,
        "TrainJob {job} can't get its image ({reason})",
        "check that the nodes reach the registry, and the name that --image gives",
    ),
    "CreateContainerError": JobEnd(
        InfrastructureError,
        "TrainJob {job} can't start its container ({reason})",
        "fix what the reason names, such as --claim, then launch it again",
    ),
    "OOMKilled": JobEnd(
        OutOfMemory,
        "TrainJob {job} was killed on {nodes} for using more memory than it may",
        "take a smaller batch, or raise the limit in the cluster's runtime",
    ),
    "Evicted": JobEnd(InfrastructureError, "TrainJob {job} was evicted from {nodes} ({reason})", AGAIN),
    "Preempted": JobEnd(
        InfrastructureError,
        "TrainJob {job} was pre-empted on {nodes} by pods of higher priority",
        "launch it again when the cluster has room",
    ),
    DEADLINE: JobEnd(
        RunFailed, "TrainJob {job} reached its deadline, --timeout {limit}", "give it longer, or less to do"
    ),
    FAILED: JobEnd(
        RunFailed,
        "TrainJob {job} failed and left no exit code ({reason})",
        "see `kubectl describe` of it and of its pods in the cluster's events",
    ),
    "Deleted": JobEnd(
        Interrupted, "TrainJob {job} was deleted by somebody", "what the run had written is kept on the claim"
    ),
}


@dataclass(frozen=True)
class TrainJobState:
    """A TrainJob and its pods."""

    waits: bool
    """No pod has begun."""
    reason: str
    """Why it waits, or how it ended."""
    nodes: str
    """Where its pods are; empty if nowhere."""
    first: str = ""
    """The pod of node 0, once its container has begun."""
    end: str = ""
    """COMPLETE, EXITED, or one of ENDS; empty while it goes on."""
    exit_code: int = 0
    """Of the first container that failed."""


def state_of(job: dict[str, Any], pods: Sequence[dict[str, Any]]) -> TrainJobState:
    """The state of a job, from its TrainJob and its pods as the API describes them."""
    conditions = _true_conditions(job)
    ends = sorted(ending for pod in pods for ending in _endings(pod))
    waits = not any(_containers(pod, "running", "terminated") or _phase(pod) in ENDED for pod in pods)
    end, reason, code = "", _why_it_waits(conditions, pods) if waits else "", 0
    if COMPLETE in conditions:
        end = COMPLETE
    elif FAILED in conditions and conditions[FAILED]["reason"] == DEADLINE:
        end, reason = DEADLINE, _text(conditions[FAILED])
    elif ends:
        _, _, end, reason, code = ends[0]
    elif FAILED in conditions:
        end, reason = FAILED, _text(conditions[FAILED])
    first = [pod for pod in pods if _number(pod) == "0" and _containers(pod, "running", "terminated")]
    return TrainJobState(
        waits=waits,
        reason=reason,
        nodes=", ".join(dict.fromkeys(node for pod in pods if (node := pod.get("spec", {}).get("nodeName")))),
        first=first[0]["metadata"]["name"] if first else "",
        end=end,
        exit_code=code,
    )


def _endings(pod: dict[str, Any]) -> Iterator[tuple[int, str, str, str, int]]:
    """The ends of a pod: what sorts it among the others (what names a cause, then time), end, reason, exit code."""
    status = pod.get("status", {})
    disrupted = _true_conditions(pod).get("DisruptionTarget")
    if disrupted is not None and disrupted.get("reason") == "PreemptionByScheduler":
        yield 0, "", "Preempted", _text(disrupted), 0
    elif disrupted is not None or status.get("reason") == "Evicted":
        yield 0, "", "Evicted", _text(status) or _text(disrupted or {}), 0
    elif status.get("reason") == DEADLINE:
        yield 0, "", DEADLINE, _text(status), 0
    for waiting in _containers(pod, "waiting"):
        if (end := HOPELESS.get(waiting.get("reason", ""))) is not None:
            yield 0, "", end, _text(waiting), 0
    codes = [one for one in _containers(pod, "terminated") if one.get("exitCode") or one.get("reason") == "OOMKilled"]
    for one in codes:
        if one.get("reason") == "OOMKilled":
            yield 0, "", "OOMKilled", _text(one), 0
        else:
            yield 1, one.get("finishedAt") or "", EXITED, _text(one), int(one["exitCode"])
    if _phase(pod) == "Failed" and not codes:
        yield 2, "", FAILED, _text(status), 0


def _containers(pod: dict[str, Any], *kinds: str) -> list[dict[str, Any]]:
    """The states of these kinds of a pod's containers, those before a restart included."""
    statuses = pod.get("status", {}).get("containerStatuses") or []
    states = [one.get(when) or {} for one in statuses for when in ("state", "lastState")]
    return [state[kind] for state in states for kind in kinds if state.get(kind) is not None]


def _why_it_waits(conditions: dict[str, Any], pods: Sequence[dict[str, Any]]) -> str:
    if "Suspended" in conditions:
        return _text(conditions["Suspended"])
    for pod in pods:
        for one in pod.get("status", {}).get("conditions") or []:
            if one.get("type") == "PodScheduled" and one.get("status") == "False":
                return _text(one)
    waiting = [_text(one) for pod in pods for one in _containers(pod, "waiting")]
    return waiting[0] if waiting else "no pod has started yet"


def _phase(pod: dict[str, Any]) -> str:
    return str(pod.get("status", {}).get("phase", ""))


def _number(pod: dict[str, Any]) -> str:
    """The number of a pod's node in the job."""
    known = {**(pod["metadata"].get("annotations") or {}), **(pod["metadata"].get("labels") or {})}
    return str(known.get("batch.kubernetes.io/job-completion-index", "0"))


def _true_conditions(thing: dict[str, Any]) -> dict[str, dict[str, Any]]:
    conditions = thing.get("status", {}).get("conditions") or []
    return {one["type"]: one for one in conditions if one.get("status") == "True"}


def _text(part: dict[str, Any]) -> str:
    """`Unschedulable: 0/3 nodes are available`."""
    return ": ".join(str(part[key]) for key in ("reason", "message") if part.get(key))
