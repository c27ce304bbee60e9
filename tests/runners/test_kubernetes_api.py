"""The calls of the Kubernetes API, as a server gets them, and what becomes of its answers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gbench.errors import InfrastructureError
from gbench.runners import kubernetes_api, kubernetes_fetch
from gbench.runners.following import NoAnswer
from gbench.runners.kubernetes_api import Cluster, Refused
from gbench.runners.kubernetes_fetch import fetch
from gbench.runners.kubernetes_manifest import reader_pod
from gbench.settings.spec import RunSpec
from kubernetes_server import JOBS, PODS, Handler, Kubernetes, shown_pod, until

Thing = dict[str, Any]


class Noting(Handler):
    """Notes each call with its query and whether it has a body."""

    notes: list[tuple[str, dict[str, list[str]], bool]]

    def answer(self, method: str, path: str, query: dict[str, str], body: Thing, words: dict[str, list[str]]) -> None:
        self.notes.append((f"{method} {path}", words, bool(body)))
        super().answer(method, path, query, body, words)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubernetes]:
    monkeypatch.setattr(Noting, "notes", [], raising=False)
    with Kubernetes(tmp_path / "cluster") as server:
        server.server.RequestHandlerClass = Noting
        server.scripted = lambda job: []
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
        yield server


def running(command: list[str]) -> Thing:
    """A pod that runs a command on this machine."""
    mounts = [{"name": "claim", "mountPath": "/claim"}]
    volumes = [{"name": "claim", "persistentVolumeClaim": {"claimName": "data"}}]
    container = {"name": "node", "volumeMounts": mounts, "env": [], "command": command}
    return {"metadata": {"name": "p", "labels": {}}, "spec": {"volumes": volumes, "containers": [container]}}


def test_what_each_call_asks_for(server: Kubernetes) -> None:
    cluster = Cluster()
    assert cluster.namespace == "lab"
    cluster.create_job({"metadata": {"name": "j"}, "spec": {}})
    assert cluster.job("j") == {"metadata": {"name": "j"}, "spec": {}, "status": {"conditions": []}}
    cluster.create_pod(running(["sh", "-c", "echo one; echo; echo two; exec sleep 600"]))
    until(lambda: len(cluster.log("p", None)) == 3)
    assert [line.partition(" ")[2] for line in cluster.log("p", 600)] == ["one", "", "two"]
    shown = cluster.pod("p")
    assert shown is not None and shown["status"]["phase"] == "Running"
    assert cluster.pods("jobset.sigs.k8s.io/jobset-name=j") == []
    cluster.delete_pod("p")
    cluster.delete_job("j")
    assert (cluster.pod("p"), cluster.job("j")) == (None, None)
    cluster.delete_job("j")  # it is gone already
    log = {"container": ["node"], "timestamps": ["true"]}
    asked = []
    for call in Noting.notes:
        if not asked or asked[-1] != call:
            asked.append(call)
    assert asked == [
        (f"POST {JOBS}", {}, True),
        (f"GET {JOBS}/j", {}, False),
        (f"POST {PODS}", {}, True),
        (f"GET {PODS}/p/log", log, False),
        (f"GET {PODS}/p/log", {**log, "sinceSeconds": ["600"]}, False),
        (f"GET {PODS}/p", {}, False),
        (f"GET {PODS}", {"labelSelector": ["jobset.sigs.k8s.io/jobset-name=j"]}, False),
        (f"DELETE {PODS}/p", {"gracePeriodSeconds": ["0"]}, False),
        (f"DELETE {JOBS}/j", {"propagationPolicy": ["Foreground"]}, False),
        (f"GET {PODS}/p", {}, False),
        (f"GET {JOBS}/j", {}, False),
        (f"DELETE {JOBS}/j", {"propagationPolicy": ["Foreground"]}, False),
    ]


def test_a_command_in_a_pod(server: Kubernetes) -> None:
    cluster, output = Cluster(), io.BytesIO()
    cluster.create_pod(running(["sleep", "600"]))
    assert cluster.run_in("p", ["sh", "-c", "echo one; echo not this >&2"], output) == ""
    assert cluster.run_in("p", ["sh", "-c", "exit 7"], output) == "command terminated with non-zero exit code 7"
    assert output.getvalue() == b"one\n"
    (path, words, _) = Noting.notes[-1]
    assert path == f"GET {PODS}/p/exec"
    assert words.pop("command") == ["sh", "-c", "exit 7"]
    assert words == {
        "container": ["node"],
        "stdout": ["true"],
        "stderr": ["false"],
        "stdin": ["false"],
        "tty": ["false"],
    }


@pytest.mark.parametrize(
    ("status", "what", "hint"),
    [
        (401, "the cluster does not accept your credentials (401: it says why)", "log in again"),
        (
            403,
            "you may not do this in the cluster (403: it says why)",
            "ask its administrators for the rights in docs/kubernetes.md",
        ),
        (422, "the cluster's API refuses that (422: it says why)", "fix that, then try again"),
        (408, "408 it says why", None),
        (429, "429 it says why", None),
        (500, "500 it says why", None),
    ],
)
def test_a_refusal_is_for_good_and_a_failure_for_now(
    server: Kubernetes, status: int, what: str, hint: str | None
) -> None:
    server.refuse = lambda method, path: (status, "it  says\nwhy")
    with pytest.raises(NoAnswer if hint is None else Refused) as caught:
        Cluster().job("j")
    assert str(caught.value) == (what if hint is None else f"{what}; {hint}")


def test_a_cluster_that_is_gone_or_silent(server: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_api, "ANSWER_S", 0.1)
    cluster = Cluster()
    server.silent = lambda method, path: True
    with pytest.raises(NoAnswer, match=r"Read timed out"):
        cluster.job("j")
    server.server.server_close()
    with pytest.raises(NoAnswer):
        Cluster().job("j")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (b'{"status": "Success"}', ""),
        (b'{"status": "Failure", "message": "no  such\\nfile"}', "no such file"),
        (b'{"status": "Failure"}', "Failure"),
        *((broken, None) for broken in (b"", b"{}", b"[]", b"1", b"not JSON")),
    ],
)
def test_how_a_command_ended(status: bytes, said: str | None) -> None:
    if said is None:
        with pytest.raises(NoAnswer, match=r"^the connection to the pod broke off$"):
            kubernetes_api._problem(status)
    else:
        assert kubernetes_api._problem(status) == said


def test_a_long_message_is_cut() -> None:
    assert kubernetes_api._short("a " * 200) == "a " * 150


def test_what_names_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("current-context: x\n")
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(InfrastructureError) as caught:
        Cluster()
    assert caught.value.what.startswith(f"the kubeconfig {path} can't be used (")
    assert caught.value.hint == (
        "fix it, or name another with KUBECONFIG; `kubectl config current-context` must show the cluster"
    )


@pytest.fixture
def spec(make_spec: Callable[..., RunSpec]) -> RunSpec:
    given = {"runner": "kubernetes", "image": "bench:1", "claim": "data", "datasets_dir": None}
    return make_spec(**given).replaced(run_id="RUN")


NO_IMAGE = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such"}}}


@pytest.mark.parametrize(
    ("shown", "what", "hint"),
    [
        (None, "was deleted", "take the job up again"),
        (
            shown_pod("p", "Pending", [NO_IMAGE]),
            "does not run (ImagePullBackOff: no such)",
            "fix that, then take the job up again",
        ),
    ],
)
def test_a_pod_that_can_not_read_the_claim(
    server: Kubernetes, spec: RunSpec, shown: Thing | None, what: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cluster, "create_pod", lambda self, manifest: None)
    monkeypatch.setattr(Cluster, "pod", lambda self, name: shown)
    with pytest.raises(InfrastructureError) as caught:
        fetch(Cluster(), spec, spec.run_dir, remove=False)
    pod = reader_pod(spec)["metadata"]["name"]
    assert str(caught.value) == f"the pod {pod}, which reads the claim, {what}; {hint}"
    assert Noting.notes == [(f"DELETE {PODS}/{pod}", {"gracePeriodSeconds": ["0"]}, False)]


def test_a_run_folder_comes_without_what_is_of_this_host(
    server: Kubernetes, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = server.claim / "results/RUN", spec.run_dir
    (there / "node-1").mkdir(parents=True)
    (here / "node-1").mkdir(parents=True)
    (here / "node-1/old").touch()
    for name in (*kubernetes_fetch.OF_THE_HOST, "result.json", "node-1/new"):
        (there / name).write_text("theirs")
    (here / "host.json").write_text("ours")
    fetch(Cluster(), spec, here, remove=False)
    assert there.is_dir()
    found = {str(path.relative_to(here)): path.read_text() for path in here.rglob("*") if path.is_file()}
    assert found == {"host.json": "ours", "result.json": "theirs", "node-1/new": "theirs"}
    fetch(Cluster(), spec, here, remove=True)
    assert not there.exists() and not server.pods
    with pytest.raises(InfrastructureError) as caught:
        fetch(Cluster(), spec, here, remove=True)
    assert caught.value.what.startswith("the claim has no run folder of RUN that can be read (")
    assert caught.value.hint == "see what the job printed; it must be able to write to the claim"
    assert not list(here.glob(".fetched*"))
