"""What a run asks of the Docker engine, and what it prints meanwhile: every request that changes something, whole.

The engine is the simulated one, by HTTP. The real one is in tests/system/.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

import engine as simulated
from engine import Answer, Engine, Requests
from gbench import __version__
from gbench.errors import GbenchError
from gbench.runners.containers import OWNER_LABEL, RUN_ID_LABEL, Owner, clear_away
from gbench.runners.docker import Caller, DockerRunner
from gbench.runners.engine import connect
from gbench.settings.spec import RunSpec
from golden import check_golden

MakeSpec = Callable[..., RunSpec]
DIGEST = "team/bench@sha256:" + "0" * 64


class Noted(Engine):
    """An engine that notes what it is asked, and shows the labels of what it built and the digest of what it pulled."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, {"PATH": os.environ["PATH"]})
        self.notes: list[str] = []
        self.labels: dict[str, dict[str, str]] = {}
        self.RequestHandlerClass = NotedRequests

    def note(self, method: str, target: str, body: bytes) -> None:
        url = urlsplit(target)
        path, query = re.sub(r"^/v[\d.]+", "", url.path), dict(sorted(parse_qsl(url.query)))
        if method == "GET" and path != "/containers/json":
            return
        if path == "/build":
            self.labels[query["t"]] = json.loads(query["labels"])
        if path == "/images/create":
            self.images[f"{query['fromImage']}@{query['tag']}"] = f"sha256:{'0' * 64}"
        asked = [f"{name} = {value}" for name, value in query.items()]
        if path == "/containers/create":
            asked += [f"{name}: {json.dumps(value)}" for name, value in sorted(json.loads(body).items())]
        self.notes.append("\n".join([f"{method} {path}", *(f"    {line}" for line in asked)]))


class NotedRequests(Requests):
    def body(self) -> bytes:
        data = super().body()
        assert isinstance(self.engine, Noted)
        self.engine.note(self.command, self.path, data)
        return data

    def shown_image(self, body: bytes, name: str) -> None:
        assert isinstance(self.engine, Noted)
        tag = next((tag for tag, number in self.engine.images.items() if name in (tag, number)), None)
        if tag is None:
            self.say({"message": f"No such image: {name}"}, 404)
            return
        digests = [f"{tag.partition(':')[0]}@sha256:{'1' * 64}"] if tag.startswith("base") else []
        labels = {"Labels": self.engine.labels.get(tag, {})}
        self.say({"Id": self.engine.images[tag], "RepoTags": [tag], "RepoDigests": digests, "Config": labels})


@pytest.fixture
def docker_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Noted]:
    monkeypatch.setattr(
        simulated, "ROUTES", [("GET", "/images/(.+)/json", NotedRequests.shown_image), *simulated.ROUTES]
    )
    caller = Caller(uid=1000, gid=100, groups=(100, 998), cores=16, owner=Owner.current())
    monkeypatch.setattr(Caller, "current", classmethod(lambda cls: caller))
    with tempfile.TemporaryDirectory() as folder:  # a socket's path has 107 characters
        made = Noted(Path(folder) / "docker.sock")
        monkeypatch.setenv("DOCKER_HOST", made.url)
        yield made
        made.close()


def told(title: str, engine: Noted, act: Callable[[Callable[[str], None]], object], whole: bool = True) -> str:
    """What is printed while `act` runs, how it ends, and what the engine is asked. whole: with all that it is asked."""
    lines: list[str] = []
    engine.notes.clear()
    try:
        end = str(act(lines.append))
    except GbenchError as error:
        end = f"{type(error).__name__}: {error}"
    notes = engine.notes if whole else [note.partition("\n")[0] for note in engine.notes]
    return "\n".join([f"== {title}", *(f"> {line}" for line in lines), end, *notes])


def plain(text: str, *places: tuple[object, str]) -> str:
    """A text without what differs from run to run; ids are numbered."""
    for place, written in (*places, (Owner.current().to_label(), "OWNER"), (__version__, "VERSION")):
        text = text.replace(str(place), written)
    ids: dict[str, int] = {}
    text = re.sub(r"\b[0-9a-f]{64}\b", lambda found: f"ID{ids.setdefault(found[0], len(ids))}", text)
    return re.sub(r"(bench:1)-[0-9a-f]{12}\b", r"\1-SOURCES", text)


def test_images(make_spec: MakeSpec, docker_engine: Noted) -> None:
    ours = make_spec(runner="docker", image="bench:1", from_image="base:1")
    pinned = [ours.replaced(image=name, from_image=None) for name in (DIGEST, DIGEST.partition("@")[2])]
    runner = DockerRunner(ours)
    said = [told("a first build", docker_engine, runner.prepare)]
    said.append(told("its facts", docker_engine, lambda on_line: json.dumps(runner.facts())))
    docker_engine.answers["^GET /version$"] = Answer(500, "a shard is missing")
    said.append(told("its facts from a broken engine", docker_engine, lambda on_line: json.dumps(runner.facts())))
    docker_engine.answers.clear()
    said.append(told("the same sources", docker_engine, DockerRunner(ours).prepare, whole=False))
    said.append(told("--rebuild", docker_engine, DockerRunner(ours, rebuild=True).prepare))
    docker_engine.images["base:1"] = f"sha256:{'2' * 64}"
    said.append(told("another base of that name", docker_engine, DockerRunner(ours).prepare))
    said += [told(f"pinned as {spec.image}", docker_engine, DockerRunner(spec).prepare) for spec in pinned[:1]]
    docker_engine.images.pop(DIGEST)
    said += [told("nothing of that id", docker_engine, DockerRunner(pinned[1]).prepare, whole=False)]
    docker_engine.images[DIGEST] = f"sha256:{'0' * 64}"
    said += [told(f"{spec.image} is there", docker_engine, DockerRunner(spec).prepare, whole=False) for spec in pinned]
    check_golden("docker-images.txt", plain("\n".join(said)) + "\n")


def test_a_run(make_spec: MakeSpec, docker_engine: Noted, facades: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.touch()
    spec = make_spec(runner="docker", image="bench:1", from_image="base:1", run_model_file=str(script))
    spec = spec.replaced(run_id="RUN")
    run_dir = tmp_path / "results/RUN"
    run_dir.mkdir(parents=True)
    runner = DockerRunner(spec)
    runner.prepare(lambda line: None)
    said = []
    for title, program in (
        ("a script that ends well", "echo one; echo two >&2"),
        ("a script that fails", "exit 3"),
        ("a script that fails on a full disk", "echo 'OSError: [Errno 28] No space left on device'; exit 1"),
        ("a script that a full disk does not stop", "echo 'OSError: [Errno 28] No space left on device'"),
    ):
        script.write_text(f"{program}\n")
        said.append(told(title, docker_engine, lambda on_line: runner.run(run_dir, on_line), whole=not said))
    other = runner.with_spec(spec.replaced(run_id="OTHER"))  # needs no engine to be prepared again
    said.append(told("another run", docker_engine, lambda on_line: other.run(run_dir, on_line)))
    said[-1] = "\n".join(line for line in said[-1].splitlines() if "OTHER" in line or line.startswith("=="))
    docker_engine.answers["^DELETE /containers/"] = Answer(500, "no")
    script.write_text("true\n")
    said.append(
        told("a container that stays", docker_engine, lambda on_line: runner.run(run_dir, on_line), whole=False)
    )
    assert len(docker_engine.containers) == 1
    places = ((facades, "FACADES"), (tmp_path, "HERE"), (spec.config_dir, "CONFIGS"))
    check_golden("docker-run.txt", plain("\n".join(said), *places) + "\n")


def test_containers_of_the_dead_go_those_of_the_living_stay(make_spec: MakeSpec, docker_engine: Noted) -> None:
    here = Owner.current()
    dead = Owner(here.host, "earlier-boot", here.pid_namespace, 1, 1)
    client = connect()
    for name, labels in {
        "dead": {OWNER_LABEL: dead.to_label()},
        "alive": {OWNER_LABEL: here.to_label(), RUN_ID_LABEL: "RUN"},
        "other": {OWNER_LABEL: here.to_label(), RUN_ID_LABEL: "OTHER"},
        "unreadable": {OWNER_LABEL: "what another version wrote"},
        "strange": {},
    }.items():
        client.containers.create("bench:1", name=name, labels=labels)
    lines: list[str] = []
    DockerRunner(make_spec(runner="docker", image="bench:1", from_image="base:1")).prepare(lines.append)
    assert lines[0] == "removed dead: the gbench that started it is dead"
    assert {one.name for one in docker_engine.containers.values()} == {"alive", "other", "unreadable", "strange"}
    assert clear_away(client, "RUN")
    assert {one.name for one in docker_engine.containers.values()} == {"other", "unreadable", "strange"}
    docker_engine.answers["^GET /containers/json"] = Answer(500, "no")
    assert not clear_away(client, "RUN")


@pytest.mark.parametrize("status", [404, 409])
def test_a_container_that_another_removes_is_not_told(make_spec: MakeSpec, docker_engine: Noted, status: int) -> None:
    here = Owner.current()
    dead = Owner(here.host, "earlier-boot", here.pid_namespace, 1, 1)
    connect().containers.create("bench:1", name="dead", labels={OWNER_LABEL: dead.to_label()})
    docker_engine.answers["^DELETE /containers/"] = Answer(status, "removal is in progress")
    lines: list[str] = []
    DockerRunner(make_spec(runner="docker", image="bench:1", from_image="base:1")).prepare(lines.append)
    assert not [line for line in lines if "removed" in line]
