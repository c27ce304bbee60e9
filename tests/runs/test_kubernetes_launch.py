"""`--runner kubernetes` against a server that speaks the API, by the official client. The pods are real processes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import SMALL, Answer, two_ranks

from gbench.runfolder.folder import RunFolder
from gbench.runfolder.node_facts import NodeAttempt, NodeFacts, write_node
from gbench.runfolder.state import state_of
from gbench.runners import following, kubernetes, kubernetes_api
from gbench.runs import kubernetes_task
from gbench.settings.spec import RunSpec
from kubernetes_server import JOBS, PODS, Kubernetes, shown_pod, until
from shared_runs import the_run

SETTINGS = [argument for key, value in SMALL.items() for argument in ("--set", f"{key}={value}")]
HERE = ["--device", "cpu", "--runner", "kubernetes", "--image", "registry.example/gbench:1", "--claim", "datasets"]
SMALLEST = [*HERE, "--dataset", "facades", *SETTINGS, "--steps", 6, "--warmup", 2]
ASK = "ask its administrators for the rights in docs/kubernetes.md"
REFUSES = "the cluster's API refuses that"
INSTALL = "install Kubeflow Trainer 2.2 or later there, or choose another context"
LAUNCH = ["launch", "pix2pix_resnet_6blocks", 4, 1, "FP32", *SMALLEST]


@pytest.fixture
def cluster(tmp_path: Path, facades: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubernetes]:
    monkeypatch.setattr(following, "LOOK_S", 0.05)
    monkeypatch.setattr(following, "ASK_S", 0.1)
    monkeypatch.setattr(kubernetes, "LOG_S", 0.1)
    with Kubernetes(tmp_path / "cluster") as cluster:
        shutil.copytree(facades, cluster.claim / "facades")
        yield cluster


@pytest.fixture
def kube(cluster: Kubernetes, gbench: Callable[..., Answer]) -> Callable[..., Answer]:
    """gbench with the kubeconfig of the cluster."""
    return lambda *arguments: gbench(*arguments, KUBECONFIG=str(cluster.kubeconfig))


def shows(cluster: Kubernetes, *pods: dict[str, Any], status: dict[str, Any] | None = None) -> None:
    """Let a job be one that has these pods, of which none runs here."""

    def scripted(job: dict[str, Any]) -> list[dict[str, Any]]:
        job["status"] = status or {}
        return list(pods)

    cluster.scripted = scripted


def test_a_job_that_is_left_and_taken_up(cluster: Kubernetes, kube: Callable[..., Answer], tmp_path: Path) -> None:
    answer = kube(*LAUNCH, "--detach", "--json", "--timeout", "10m")
    assert answer.code == 0, answer.err
    name = answer.json["job"]
    assert cluster.job["metadata"]["name"] == name
    assert cluster.job["spec"]["activeDeadlineSeconds"] == 600
    folder = the_run(tmp_path)
    assert state_of(folder) == "detached"
    until(lambda: all(pod.phase != "Running" for pod in cluster.pods.values()))

    answer = kube("launch", "--attach", "latest", "--json")
    assert answer.code == 0, answer.err
    assert f"TrainJob {name} runs on worker-1" in answer.err
    assert len([line for line in answer.err.splitlines() if "iters: " in line]) == 6  # the log, each line once
    record = yaml.safe_load(Path(answer.json["paths"]["record"]).read_text())
    assert record["perf_data"]["count"] == 4
    assert (record["soft_info"]["runner"], record["soft_info"]["name"]) == ("kubernetes", "registry.example/gbench:1")
    # the machine, its checks and the dataset are those of the pod
    assert record["hard_info"]["mem"].endswith(" GB")
    assert "memory" in {check.id for check in folder.host().checks}
    assert record["extra"]["dataset_sha256"] == folder.host().dataset.sha256 is not None
    assert record["extra"]["spec"]["kubernetes"]["claim"] == "datasets"
    # nothing is left but the run folder here
    assert state_of(folder) == "complete"
    assert not cluster.jobs and not cluster.pods
    assert list((cluster.claim / "results").iterdir()) == []
    assert not list(folder.path.glob(".fetched*"))
    again = kube("launch", "--attach", "latest")
    assert (again.code, "has no job to take up" in again.err) == (2, True)
    resumed = kube("converge", "--resume", "latest")
    assert (resumed.code, "which can't be resumed" in resumed.err) == (2, True), resumed.err


def test_a_job_is_not_taken_for_deleted_by_another_cluster(
    cluster: Kubernetes, kube: Callable[..., Answer], gbench: Callable[..., Answer], tmp_path: Path
) -> None:
    shows(cluster, shown_pod("j-node-0-0", "Running"))
    assert kube(*LAUNCH, "--detach").code == 0
    with Kubernetes(tmp_path / "elsewhere") as other:
        answer = gbench("launch", "--attach", "latest", KUBECONFIG=str(other.kubeconfig))
    assert answer.code == 4
    assert f"is of cluster http://127.0.0.1:{cluster.server.server_port}, namespace lab, and http://" in answer.err
    assert state_of(the_run(tmp_path)) == "detached"
    assert cluster.jobs


@two_ranks
def test_a_job_on_two_nodes(cluster: Kubernetes, kube: Callable[..., Answer], tmp_path: Path) -> None:
    given = ["launch", "pix2pix_resnet_6blocks", 4, 2, "FP32", "false", "ignore_check"]
    answer = kube(*given, *SMALLEST, "--nodes", 2, "--json")
    assert answer.code == 0, answer.err
    folder = the_run(tmp_path)
    (other,) = folder.of_further_nodes()
    assert (folder.host().node.number, other.host().node.number) == (0, 1)  # type: ignore[union-attr]
    assert folder.has("steps-rank0.jsonl") and folder.has("steps-rank1.jsonl")
    record = yaml.safe_load(Path(answer.json["paths"]["record"]).read_text())
    assert (record["dev_num"], record["extra"]["spec"]["nodes"]) == (2, 2)


@pytest.mark.parametrize(
    ("pod", "code", "says"),
    [
        (
            shown_pod("p", "Pending", [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such"}}}]),
            4,
            "can't get its image (ImagePullBackOff: no such)",
        ),
        (
            shown_pod("p", "Failed", [{"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]),
            1,
            "was killed on worker-1 for using more memory than it may",
        ),
        (shown_pod("p", "Failed", reason="Evicted", message="low on disk"), 4, "was evicted from worker-1"),
        (
            shown_pod("p", "Failed", [{"state": {"terminated": {"exitCode": 7, "reason": "Error"}}}]),
            1,
            "the run script ended with exit code 7",
        ),
    ],
)
def test_a_job_that_fails(
    cluster: Kubernetes, kube: Callable[..., Answer], pod: dict[str, Any], code: int, says: str
) -> None:
    shows(cluster, pod)
    answer = kube(*LAUNCH)
    assert (answer.code, says in answer.err) == (code, True), answer.err
    # what there is of the run folder is asked for, unless nothing began
    assert ("stays on the claim, in /claim/results/" in answer.err) == (pod["status"]["phase"] != "Pending")
    assert not cluster.jobs and not cluster.pods


def test_a_deadline(cluster: Kubernetes, kube: Callable[..., Answer]) -> None:
    late = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "TrainJob exceeded"}
    shows(cluster, status={"conditions": [late]})
    answer = kube(*LAUNCH, "--timeout", "10m")
    assert (answer.code, "reached its deadline, --timeout 600s" in answer.err) == (1, True), answer.err


def test_a_job_that_waits_for_too_long(cluster: Kubernetes, kube: Callable[..., Answer]) -> None:
    why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
    shows(cluster, shown_pod("p", "Pending", conditions=[why]))
    answer = kube(*LAUNCH, "--queue-timeout", "0.2s")
    assert answer.code == 4
    assert "waits: Unschedulable: 0/3 nodes are available\n" in answer.err
    assert "did not start within --queue-timeout 0.2s (Unschedulable: 0/3 nodes are available)" in answer.err
    assert not cluster.jobs


def test_a_job_that_somebody_deletes(cluster: Kubernetes, kube: Callable[..., Answer]) -> None:
    cluster.refuse = lambda method, path: (404, "not found") if "/trainjobs/" in path else None
    shows(cluster)
    answer = kube(*LAUNCH)
    assert (answer.code, "was deleted by somebody" in answer.err) == (130, True), answer.err


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "the cluster does not accept your credentials (401: no); log in again"),
        (403, f"you may not do this in the cluster (403: no); {ASK}"),
        (
            404,
            f"the cluster knows no TrainJob in the namespace lab ({REFUSES} (404: no)); {INSTALL}",
        ),
        (409, f"the cluster has a TrainJob JOB already ({REFUSES} (409: no)); launch it again"),
        (422, f"{REFUSES} (422: no); fix that, then try again"),
        (503, "the cluster's API did not take the job (503 no); see `kubectl cluster-info`, then try again"),
    ],
)
def test_a_cluster_that_does_not_take_the_job(
    cluster: Kubernetes, kube: Callable[..., Answer], status: int, says: str
) -> None:
    cluster.refuse = lambda method, path: (status, "no") if method == "POST" else None
    answer = kube(*LAUNCH)
    error = re.sub(r"gbench-\d{8}t\d{6}z-\w+", "JOB", answer.err.splitlines()[-1])
    assert (answer.code, error) == (4, f"gbench: error: {says}"), answer.err
    # it may have been taken all the same; one of this name that is another's stays
    assert any(call.startswith("DELETE") for call in cluster.calls) == (status == 503)


def test_a_cluster_that_hangs(
    cluster: Kubernetes, kube: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_api, "ANSWER_S", 0.2)
    cluster.silent = lambda method, path: True
    answer = kube(*LAUNCH)
    assert (answer.code, "the cluster's API did not take the job" in answer.err) == (4, True), answer.err


@pytest.mark.parametrize(
    ("status", "says"), [(401, "does not accept your credentials"), (500, "the cluster's API has not answered for 0")]
)
def test_a_job_that_can_not_be_followed_is_left(
    cluster: Kubernetes,
    kube: Callable[..., Answer],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    status: int,
    says: str,
) -> None:
    monkeypatch.setattr(following, "SILENT_S", 0.3)
    shows(cluster, shown_pod("p", "Pending"))
    cluster.refuse = lambda method, path: (status, "no") if method == "GET" else None
    answer = kube(*LAUNCH)
    assert (answer.code, says in answer.err) == (4, True), answer.err
    assert "may still run; take it up with gbench launch --attach" in answer.err
    assert cluster.jobs and state_of(the_run(tmp_path)) == "detached"


def test_a_run_folder_that_does_not_come_is_fetched_later(
    cluster: Kubernetes, kube: Callable[..., Answer], tmp_path: Path
) -> None:
    done = {"type": "Complete", "status": "True", "reason": "AllJobsCompleted", "message": "done"}
    shows(cluster, shown_pod("p", "Succeeded"), status={"conditions": [done]})
    answer = kube(*LAUNCH)
    assert answer.code == 4
    assert "is complete, but the claim has no run folder of" in answer.err
    assert "fetch it with gbench launch --attach" in answer.err
    folder = the_run(tmp_path)
    assert cluster.jobs and state_of(folder) == "detached"
    # a link in what comes is refused, whoever put it there
    there = cluster.claim / "results" / folder.path.name
    there.mkdir(parents=True)
    (there / "result.json").symlink_to("/etc/passwd")
    answer = kube("launch", "--attach", "latest")
    assert (answer.code, "is a link or a device, so nothing was unpacked" in answer.err) == (4, True), answer.err
    assert not (folder.path / "result.json").is_symlink() and cluster.jobs


@pytest.mark.parametrize("detached", [False, True])
def test_ctrl_c(cluster: Kubernetes, kube: Callable[..., Answer], tmp_path: Path, detached: bool) -> None:
    """It ends the job, or leaves one that was detached."""
    shows(cluster, shown_pod("p", "Pending"))
    words = [*LAUNCH]
    if detached:
        assert kube(*LAUNCH, "--detach").code == 0
        words = ["launch", "--attach", "latest"]
    environ = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    command = [sys.executable, "-m", "gbench", *map(str, words)]
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        seen = []
        for line in process.stderr:
            seen.append(line)
            if "waits: " in line:
                break
        else:
            pytest.fail("".join(seen))
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130
    assert bool(cluster.jobs) == detached, rest
    assert ("goes on; take it up with gbench launch --attach" in rest) == detached, rest


def test_there_is_no_client(cluster: Kubernetes, kube: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    answer = kube(*LAUNCH)
    assert (answer.code, "pip install 'gbench[kubernetes]'" in answer.err) == (4, True), answer.err


@pytest.mark.parametrize("content", ["", "[", "current-context: x", "{clusters: [], contexts: [], users: []}"])
def test_a_broken_kubeconfig(gbench: Callable[..., Answer], tmp_path: Path, content: str) -> None:
    (tmp_path / "kubeconfig").write_text(content)
    answer = gbench(*LAUNCH, KUBECONFIG=str(tmp_path / "kubeconfig"))
    assert (answer.code, "kubeconfig can't be used (" in answer.err) == (4, True), answer.err


def test_a_pod_that_is_started_again_measures_nothing(
    make_spec: Callable[..., RunSpec], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder.create(make_spec())
    write_node(folder, NodeFacts(attempts=[NodeAttempt(started_s=1.0)]))
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    monkeypatch.setenv("GBENCH_SPEC", folder.spec().model_dump_json())
    assert kubernetes_task.main() == 1
    assert "this pod was started again after a failure" in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in folder.path.iterdir()}


def test_where_the_nodes_meet() -> None:
    variables = {"PET_MASTER_ADDR": "gbench-1-node-0-0.gbench-1", "PET_MASTER_PORT": "29500"}
    variables["GBENCH_POD_IP"] = "fd00::7"
    assert kubernetes_task.endpoint(variables, 0) == "[fd00::7]:29500"  # node 0 itself: the name may not be known yet
    assert kubernetes_task.endpoint(variables, 1) == "gbench-1-node-0-0.gbench-1:29500"


def test_the_server_checks_who_calls(cluster: Kubernetes, kube: Callable[..., Answer]) -> None:
    cluster.kubeconfig.write_text(cluster.kubeconfig.read_text().replace("a-token", "another"))
    answer = kube(*LAUNCH)
    assert (answer.code, "(401: Unauthorized)" in answer.err) == (4, True), answer.err
    assert not [call for call in cluster.calls if call.startswith((f"GET {PODS}", f"GET {JOBS}/"))]
