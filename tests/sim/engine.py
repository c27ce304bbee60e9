"""A Docker engine for the simulated world: an HTTP server on a Unix socket that speaks the engine's API.

Its containers are processes on this machine: the command of the request, with the paths of its mounts in place of those
in the container. A test chooses how it answers: with an error, slowly, in part, or not at all; or it is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import socketserver
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

API = "1.45"
PATH_END = r"(?![\w.-])"


@dataclass
class Answer:
    """How the engine answers requests of a kind, in place of what it would."""

    status: int = 200
    message: str = ""
    delay_s: float = 0.0
    silent: bool = False
    """Never."""
    cut: bool = False
    """The connection ends within the answer."""
    then: Callable[[], None] = lambda: None
    """What happens before it."""


@dataclass
class Container:
    """A container: its request, and its process once it is started."""

    id: str
    name: str
    request: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None
    oom: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    def inspected(self) -> dict[str, Any]:
        code = self.process.poll() if self.process else None
        exit_code = 0 if code is None else code if code >= 0 else 128 - code
        status = "created" if self.process is None else "running" if code is None else "exited"
        return {
            "Id": self.id,
            "Name": f"/{self.name}",
            "Image": self.request["Image"],
            "Config": {"Labels": self.request["Labels"], "Tty": False, "Image": self.request["Image"]},
            "State": {"Status": status, "ExitCode": exit_code, "OOMKilled": self.oom, "Running": status == "running"},
        }

    def kill(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


class Engine(socketserver.ThreadingUnixStreamServer):
    """An engine at `path`, with the variables of its containers' processes."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path, variables: dict[str, str]) -> None:
        self.path, self.variables = path, variables
        self.images: dict[str, str] = {}
        self.variables_of: dict[str, list[str]] = {}  # the ENV of an image, by its id
        self.built_at: dict[str, int] = {}  # of an image, by its name: seconds since 1970
        self.labels: dict[str, dict[str, str]] = {}
        self.containers: dict[str, Container] = {}
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.connections: set[socket.socket] = set()
        self.frozen = False
        self.hold_at: str | None = None  # a part of the request to hold
        self.held, self.released = threading.Event(), threading.Event()
        self.closing = threading.Event()
        super().__init__(str(path), Requests)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def answer_to(self, request: str) -> Answer | None:
        """What a request gets in place of its answer. request: such as `POST /containers/ID/start`."""
        self.asked.append(request)
        if self.hold_at is not None and self.hold_at in request:
            self.held.set()
            while not self.released.wait(0.01) and not self.closing.is_set():
                pass
        return next((answer for part, answer in self.answers.items() if re.search(part, request)), None)

    def fall_silent(self) -> None:
        """Accept requests, and answer none; streams get nothing more."""
        self.answers, self.frozen = {"": Answer(silent=True)}, True

    def die(self) -> None:
        """End as by SIGKILL: its socket is closed, its connections are reset, and its containers go on."""
        self.shutdown()
        self.server_close()
        self.path.unlink(missing_ok=True)
        self.closing.set()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def restarted(self) -> Engine:
        """The engine after a restart: it knows its containers."""
        if not self.closing.is_set():
            self.die()
        other = Engine(self.path, self.variables)
        other.images, other.labels, other.containers = self.images, self.labels, self.containers
        return other

    def close(self) -> None:
        if not self.closing.is_set():
            self.die()
        for container in self.containers.values():
            container.kill(signal.SIGKILL)

    def start(self, container: Container) -> None:
        """Start the command of a container on this machine."""
        request = container.request
        mounts = {mount["Target"]: mount["Source"] for mount in request["HostConfig"].get("Mounts") or []}
        targets = "|".join(re.escape(target) for target in sorted(mounts, key=len, reverse=True))

        def here(text: str) -> str:
            return re.sub(rf"(?<![\w/.-])({targets}){PATH_END}", lambda match: mounts[match[1]], text)

        entries = [*self.variables_of.get(request["Image"], []), *map(here, request["Env"])]
        environment = dict(entry.split("=", 1) for entry in entries)
        container.process = subprocess.Popen(
            list(map(here, request["Cmd"])),
            cwd=here(request["WorkingDir"]),
            env={**environment, **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=self._reap, args=(container,), daemon=True).start()

    def _reap(self, container: Container) -> None:
        assert container.process is not None
        container.process.wait()
        container.kill(signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(container.process.pid, signal.SIGKILL)  # its pid namespace ends with its first process
        container.ended.set()


class Requests(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    @property
    def engine(self) -> Engine:
        return cast(Engine, self.server)

    def setup(self) -> None:
        self.engine.connections.add(self.request)
        super().setup()

    def finish(self) -> None:
        self.engine.connections.discard(self.request)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self.respond()

    do_POST = do_DELETE = do_HEAD = do_GET

    def respond(self) -> None:
        """Answer one request, as told or as the API says."""
        body = self.body()
        url = urlsplit(self.path)
        path = re.sub(r"^/v[\d.]+", "", url.path)
        self.query = {name: values[0] for name, values in parse_qs(url.query).items()}
        told = self.engine.answer_to(f"{self.command} {path}")
        if self.engine.closing.is_set():
            self.close_connection = True
            return
        try:
            if told is not None:
                told.then()
                self.engine.closing.wait(told.delay_s)
                if told.silent:
                    self.engine.closing.wait()
                    self.close_connection = True
                    return
                if told.cut:
                    self.wfile.write(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"
                    )
                    self.close_connection = True
                    return
                if told.status >= HTTPStatus.BAD_REQUEST:
                    self.say({"message": told.message}, told.status)
                    return
            for method, pattern, act in ROUTES:
                if method == self.command and (match := re.fullmatch(pattern, path)):
                    act(self, body, *(unquote(part) for part in match.groups()))
                    return
            self.say({"message": "page not found"}, HTTPStatus.NOT_FOUND)
        except OSError:  # the client has gone
            self.close_connection = True

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def say(self, values: Any, status: int = HTTPStatus.OK) -> None:
        data = b"" if status == HTTPStatus.NO_CONTENT else json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def container(self, name: str) -> Container | None:
        found = self.engine.containers.get(name)
        if found is None:
            self.say({"message": f"No such container: {name}"}, HTTPStatus.NOT_FOUND)
        return found

    def version(self, body: bytes) -> None:
        self.say({"ApiVersion": API, "MinAPIVersion": "1.24", "Version": "28.0"})

    def ping(self, body: bytes) -> None:
        self.say("OK")

    def info(self, body: bytes) -> None:
        self.say({"ServerVersion": "28.0", "DockerRootDir": "/var/lib/docker", "Runtimes": {"runc": {}}})

    def list_containers(self, body: bytes) -> None:
        wanted = json.loads(self.query.get("filters", "{}")).get("label", [])
        found = []
        for container in list(self.engine.containers.values()):
            labels = container.request["Labels"]
            words = {*labels, *(f"{name}={value}" for name, value in labels.items())}
            if words.issuperset(wanted):
                found.append({"Id": container.id, "Names": [f"/{container.name}"], "Labels": labels})
        self.say(found)

    def create(self, body: bytes) -> None:
        name = self.query.get("name", "")
        container = Container(os.urandom(32).hex(), name, json.loads(body))
        self.engine.containers[container.id] = container
        self.say({"Id": container.id, "Warnings": []}, HTTPStatus.CREATED)

    def inspect(self, body: bytes, name: str) -> None:
        if container := self.container(name):
            self.say(container.inspected())

    def start(self, body: bytes, name: str) -> None:
        if container := self.container(name):
            self.engine.start(container)
            self.say(None, HTTPStatus.NO_CONTENT)

    def attach(self, body: bytes, name: str) -> None:
        """Hijack the connection, and send the output in frames."""
        container = self.container(name)
        if container is None:
            return
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n")
        self.wfile.write(b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        while container.process is None:
            if self.engine.closing.wait(0.005) or container.id not in self.engine.containers:
                return
        assert container.process.stdout is not None
        while data := os.read(container.process.stdout.fileno(), 65536):
            if self.engine.frozen:
                self.engine.closing.wait()
            self.wfile.write(struct.pack(">BxxxL", 1, len(data)) + data)

    def wait(self, body: bytes, name: str) -> None:
        if container := self.container(name):
            container.ended.wait()
            self.say({"StatusCode": container.inspected()["State"]["ExitCode"]})

    def stop(self, body: bytes, name: str) -> None:
        if container := self.container(name):
            if container.process is not None:
                container.process.terminate()
                if not container.ended.wait(float(self.query.get("t", 10))):
                    container.kill(signal.SIGKILL)
                    container.ended.wait()
            self.say(None, HTTPStatus.NO_CONTENT)

    def remove(self, body: bytes, name: str) -> None:
        if container := self.container(name):
            container.kill(signal.SIGKILL)
            self.engine.containers.pop(name, None)
            self.say(None, HTTPStatus.NO_CONTENT)

    def image(self, body: bytes, name: str) -> None:
        found = self.engine.images.get(name) or (name if name in self.engine.images.values() else None)
        if found is None:
            self.say({"message": f"No such image: {name}"}, HTTPStatus.NOT_FOUND)
            return
        labels = self.engine.labels.get(name, {})
        self.say({"Id": found, **self.names_of(found), "Config": {"Labels": labels, "Env": []}})

    def names_of(self, id: str) -> dict[str, list[str]]:
        names = [name for name, of in self.engine.images.items() if of == id]
        digests = [name for name in names if "@" in name]
        return {"RepoTags": [name for name in names if name not in digests], "RepoDigests": digests}

    def list_images(self, body: bytes) -> None:
        """Of the name that is asked for, the newest first: in the order in which they are known."""
        (wanted,) = json.loads(self.query["filters"])["reference"]
        found = [
            {"Id": id, **self.names_of(id), "Created": self.engine.built_at.get(name, 1_700_000_000 + number)}
            for number, (name, id) in enumerate(self.engine.images.items())
            if name.startswith((f"{wanted}:", f"{wanted}@"))
        ]
        self.say(found[::-1])

    def events(self, *events: dict[str, Any]) -> None:
        """A stream of events, each a chunk of the answer."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            data = json.dumps(event).encode() + b"\r\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def build(self, body: bytes) -> None:
        name = self.query["t"]
        self.engine.images[name] = f"sha256:{os.urandom(32).hex()}"
        self.engine.labels[name] = json.loads(self.query.get("labels", "{}"))
        self.events({"stream": "Step 1/1 : FROM base\n"}, {"stream": f"Successfully tagged {name}\n"})

    def pull(self, body: bytes) -> None:
        name = f"{self.query['fromImage']}:{self.query.get('tag', 'latest')}"
        self.engine.images[name] = f"sha256:{os.urandom(32).hex()}"
        self.events({"status": "Pulling from library", "id": "latest"}, {"status": f"Downloaded {name}"})


ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", "/version", Requests.version),
    ("GET", "/_ping", Requests.ping),
    ("GET", "/info", Requests.info),
    ("GET", "/containers/json", Requests.list_containers),
    ("POST", "/containers/create", Requests.create),
    ("GET", "/containers/([^/]+)/json", Requests.inspect),
    ("POST", "/containers/([^/]+)/start", Requests.start),
    ("POST", "/containers/([^/]+)/attach", Requests.attach),
    ("POST", "/containers/([^/]+)/wait", Requests.wait),
    ("POST", "/containers/([^/]+)/stop", Requests.stop),
    ("DELETE", "/containers/([^/]+)", Requests.remove),
    ("GET", "/images/json", Requests.list_images),
    ("GET", "/images/(.+)/json", Requests.image),
    ("POST", "/build", Requests.build),
    ("POST", "/images/create", Requests.pull),
]


def wait_until(condition: Callable[[], object], patience_s: float = 120.0) -> None:
    """Raises AssertionError: it did not come true; only a hang takes as long."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
