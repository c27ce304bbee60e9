"""A server that speaks the part of the Kubernetes API that a run needs: TrainJobs, pods, their logs, commands in them.

What a pod runs is a real process on this host. Its mounts are folders: the paths of mounts in its command and variables
are replaced by theirs. The server says the rest as Kubernetes 1.37 and Kubeflow Trainer 2.3 do. `refuse`, `silent` and
`scripted` make it fail, hang, or show pods of any state.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

TOKEN, NAMESPACE, NODE = "a-token", "lab", "node"
JOBS = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{NAMESPACE}/trainjobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of the WebSocket protocol
Thing = dict[str, Any]


class Kubernetes:
    """The cluster. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.claim = folder, folder / "claim"
        self.jobs: dict[str, Thing] = {}
        self.pods: dict[str, Pod] = {}
        self.calls: list[str] = []
        """METHOD /path of each call."""
        self.refuse: Callable[[str, str], tuple[int, str] | None] = lambda method, path: None
        """Status and message with which a call is refused."""
        self.silent: Callable[[str, str], bool] = lambda method, path: False
        """Whether a call is not answered."""
        self.scripted: Callable[[Thing], list[Thing]] | None = None
        """The pods of a job that are only shown; it may set the job's status. None: they run."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.cluster = self  # type: ignore[attr-defined]
        self.stopping = threading.Event()

    def __enter__(self) -> Kubernetes:
        self.claim.mkdir(parents=True)
        self.kubeconfig = self.folder / "kubeconfig"
        address = f"http://127.0.0.1:{self.server.server_port}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(content))
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        for pod in list(self.pods.values()):
            pod.stop(signal.SIGKILL)
        self.server.shutdown()
        self.server.server_close()

    @property
    def job(self) -> Thing:
        """The only job."""
        (job,) = self.jobs.values()
        return job

    def create_job(self, job: Thing) -> None:
        name, spec = job["metadata"]["name"], job["spec"]
        self.jobs[name] = job
        job["status"] = {"conditions": []}
        if self.scripted is not None:
            return
        (patch,) = spec["runtimePatches"]
        (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
        template = replicated["template"]["spec"]["template"]["spec"]
        trainer, port = spec["trainer"], _free_port()
        for number in range(trainer["numNodes"]):
            known = {
                "PET_NNODES": str(trainer["numNodes"]),
                "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
                "PET_NODE_RANK": str(number),
                "PET_MASTER_ADDR": "127.0.0.1",
                "PET_MASTER_PORT": str(port),
            }
            env = [*trainer["env"], *({"name": key, "value": value} for key, value in known.items())]
            (container,) = template["containers"]
            started = {**container, "image": trainer["image"], "command": trainer["command"], "env": env}
            labels = {"jobset.sigs.k8s.io/jobset-name": name, "batch.kubernetes.io/job-completion-index": str(number)}
            metadata = {"name": f"{name}-node-0-{number}-abcde", "labels": labels}
            self.create_pod({"metadata": metadata, "spec": {**template, "containers": [started]}})

    def create_pod(self, manifest: Thing) -> None:
        name = manifest["metadata"]["name"]
        self.pods[name] = Pod(manifest, self.claim, self.folder / name)

    def delete_job(self, name: str) -> None:
        del self.jobs[name]
        for pod in self.of_job(name):
            self.delete_pod(pod.name)

    def delete_pod(self, name: str) -> None:
        pod = self.pods.pop(name)
        pod.stop(signal.SIGTERM)

    def of_job(self, name: str) -> list[Pod]:
        label = "jobset.sigs.k8s.io/jobset-name"
        return [pod for pod in list(self.pods.values()) if pod.manifest["metadata"]["labels"].get(label) == name]

    def shown_pods(self, name: str) -> list[Thing]:
        if self.scripted is not None and name in self.jobs:
            return self.scripted(self.jobs[name])
        return [pod.shown() for pod in self.of_job(name)]

    def shown_job(self, name: str) -> Thing:
        """The job, as its controller sees it."""
        job, phases = self.jobs[name], {pod.phase for pod in self.of_job(name)}
        if "Failed" in phases:
            job["status"] = _condition("Failed", "FailedJobs", "jobset failed due to one or more job failures")
        elif phases == {"Succeeded"}:
            job["status"] = _condition("Complete", "AllJobsCompleted", "jobset completed successfully")
        return job


class Pod:
    """A pod that runs its command here."""

    def __init__(self, manifest: Thing, claim: Path, folder: Path) -> None:
        self.manifest, self.name = manifest, manifest["metadata"]["name"]
        self.lines: list[tuple[datetime, str]] = []
        (container,) = manifest["spec"]["containers"]
        volumes = {one["name"]: one for one in manifest["spec"]["volumes"]}
        self.places: dict[str, Path] = {}
        for mount in container["volumeMounts"]:
            if "persistentVolumeClaim" in volumes[mount["name"]]:
                self.places[mount["mountPath"]] = claim
            elif mount["mountPath"] not in ("/tmp", "/dev/shm"):
                self.places[mount["mountPath"]] = folder / mount["name"]
                self.places[mount["mountPath"]].mkdir(parents=True, exist_ok=True)
        self.env = {"PATH": os.environ["PATH"], "OMP_WAIT_POLICY": "PASSIVE"}
        for variable in container["env"]:
            self.env[variable["name"]] = self.placed(variable.get("value", "127.0.0.1"))  # or the pod's address
        self.process = self.start(container["command"], stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def start(self, command: list[str], stderr: int) -> subprocess.Popen[bytes]:
        words = [sys.executable if word == "python3" else self.placed(word) for word in command]
        return subprocess.Popen(words, env=self.env, stdout=subprocess.PIPE, stderr=stderr, stdin=subprocess.DEVNULL)

    def placed(self, text: str) -> str:
        """Text with the folders of mounts in the place of their paths."""
        paths = "|".join(map(re.escape, self.places))
        return re.sub(rf"(?<![\w/.-])({paths})(?=[/\"\s]|$)", lambda found: str(self.places[found[1]]), text)

    def read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append((datetime.now(timezone.utc), line.decode().rstrip("\n")))

    def stop(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    @property
    def phase(self) -> str:
        code = None if self.reader.is_alive() else self.process.wait()
        return "Running" if code is None else "Failed" if code else "Succeeded"

    def shown(self) -> Thing:
        phase = self.phase
        state: Thing = {"running": {"startedAt": "2026-11-30T00:00:00Z"}}
        if phase != "Running":
            code = self.process.returncode
            state = {"terminated": {"exitCode": code if code >= 0 else 128 - code, "reason": "Error"}}
        statuses = [{"name": NODE, "restartCount": 0, "state": state, "lastState": {}}]
        return shown_pod(self.name, phase, statuses, labels=self.manifest["metadata"]["labels"])

    def log(self, since_s: int | None) -> str:
        first = datetime.min.replace(tzinfo=timezone.utc)
        if since_s is not None:
            first = datetime.now(timezone.utc) - timedelta(seconds=since_s)
        return "".join(f"{when:%Y-%m-%dT%H:%M:%S.%f}000Z {text}\n" for when, text in self.lines if when >= first)


def shown_pod(name: str, phase: str, statuses: list[Thing] | None = None, **more: Any) -> Thing:
    """A pod as the API shows it. more: of its status, and its labels."""
    labels = more.pop("labels", {"batch.kubernetes.io/job-completion-index": "0"})
    status = {"phase": phase, "containerStatuses": statuses or [], "conditions": [], **more}
    spec = {} if phase == "Pending" else {"nodeName": "worker-1"}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def _condition(kind: str, reason: str, message: str) -> Thing:
    return {"conditions": [{"type": kind, "status": "True", "reason": reason, "message": message}]}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def cluster(self) -> Kubernetes:
        return self.server.cluster  # type: ignore[attr-defined, no-any-return]

    def log_message(self, *values: object) -> None:
        pass

    def handle_call(self) -> None:
        url = urlsplit(self.path)
        method, path = self.command, url.path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.cluster.calls.append(f"{method} {path}")
        if self.cluster.silent(method, path):
            self.cluster.stopping.wait()
            return
        refused = self.cluster.refuse(method, path)
        if refused is not None:
            self.fail(*refused)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.fail(401, "Unauthorized")
        else:
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            self.answer(method, path, query, json.loads(body) if body else {}, parse_qs(url.query))

    do_GET = do_POST = do_DELETE = handle_call

    def answer(self, method: str, path: str, query: dict[str, str], body: Thing, words: dict[str, list[str]]) -> None:
        cluster, (kind, _, rest) = self.cluster, self.parts(path)
        things: dict[str, Any] = cluster.jobs if kind == JOBS else cluster.pods
        name, _, of_pod = rest.partition("/")
        if method == "POST":
            name = body["metadata"]["name"]
            if name in things:
                self.fail(409, f'"{name}" already exists')
            else:
                (cluster.create_job if kind == JOBS else cluster.create_pod)(body)
                self.send(201, body)
        elif not name:
            self.send(200, {"items": cluster.shown_pods(query["labelSelector"].partition("=")[2])})
        elif name not in things:
            self.fail(404, f'"{name}" not found')
        elif method == "DELETE":
            (cluster.delete_job if kind == JOBS else cluster.delete_pod)(name)
            self.send(200, {"kind": "Status", "status": "Success"})
        elif of_pod == "log":
            since = query.get("sinceSeconds")
            self.send(200, cluster.pods[name].log(None if since is None else int(since)))
        elif of_pod == "exec":
            self.run_in(cluster.pods[name], words["command"])
        else:
            self.send(200, cluster.shown_job(name) if kind == JOBS else cluster.pods[name].shown())

    def parts(self, path: str) -> tuple[str, str, str]:
        for kind in (JOBS, PODS):
            if path == kind or path.startswith(f"{kind}/"):
                return kind, "/", path.removeprefix(kind).removeprefix("/")
        raise ValueError(path)

    def send(self, status: int, content: Thing | str) -> None:
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status: int, message: str) -> None:
        self.send(status, {"kind": "Status", "status": "Failure", "message": message, "code": status})

    def run_in(self, pod: Pod, command: list[str]) -> None:
        """Run a command in a pod; its output and its end go over a WebSocket."""
        key = self.headers["Sec-WebSocket-Key"].encode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key + ACCEPT).digest()).decode())
        self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        self.end_headers()
        self.close_connection = True
        process = pod.start(command, stderr=subprocess.DEVNULL)
        assert process.stdout
        while data := process.stdout.read(32 * 1024):
            self.frame(2, b"\1" + data)
        code = process.wait()
        status: Thing = {"status": "Success"}
        if code:
            status = {"status": "Failure", "message": f"command terminated with non-zero exit code {code}"}
        self.frame(2, b"\3" + json.dumps(status).encode())
        self.frame(8, struct.pack(">H", 1000))

    def frame(self, code: int, data: bytes) -> None:
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
        self.wfile.write(bytes([0x80 | code]) + size + data)


def until(holds: Callable[[], object], limit_s: float = 120) -> None:
    """Wait until a function returns true."""
    end_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.02)
