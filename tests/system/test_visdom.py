"""A real visdom server during a run: it receives losses and images, and may die and restart."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from follow_cases import Writer, followed, until
from gbench.follow import visdom as view
from gbench.follow.follower import Views
from gbench.runfolder.folder import VISUALS
from gbench.settings.spec import RunSpec
from run_folders import fake_losses

# `python -m visdom.server` fetches its scripts first, and ends where it can't; this starts the same server.
START = "import sys; from visdom.server.run_server import main; main()"


class Server:
    """A visdom server at a free port of this machine."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url, self._folder = f"http://127.0.0.1:{self.port}", folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it with nothing in it, and wait until it answers."""
        arguments = ["-port", str(self.port), "--hostname", "127.0.0.1", "-bind_local", "-env_path", str(self._folder)]
        with (self._folder.parent / "visdom.log").open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-c", START, *arguments], stdout=log, stderr=log)
        until(lambda: self.window("none") is not None)

    def kill(self) -> None:
        """Kill it, as in a crash."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def window(self, environment: str) -> dict[str, Any] | None:
        """The windows of an environment by name; None if no server answers."""
        import requests

        try:
            asked = json.dumps({"eid": environment, "win": None})
            answer = requests.post(f"{self.url}/win_data", data=asked, timeout=5)
        except requests.ConnectionError:
            return None
        return dict(json.loads(answer.text)) if answer.ok else {}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "visdom").mkdir()
    server = Server(tmp_path / "visdom")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def spec(make_spec: Callable[..., RunSpec]) -> RunSpec:
    return make_spec(recipe="convergence", steps=None, warmup=None, settings=("schedule.print_every=2",))


def losses(server: Server, environment: str) -> tuple[str, list[float], dict[str, list[float]]]:
    """Title, the first line's x, and each line's y."""
    window = (server.window(environment) or {}).get(view.LOSSES)
    if window is None:
        return "", [], {}
    lines = window["content"]["data"]
    return window["title"], lines[0]["x"], {line["name"]: line["y"] for line in lines}


@pytest.mark.system
def test_losses_and_images_are_sent_as_upstream_has_them(server: Server, spec: RunSpec) -> None:
    writer = Writer(spec)
    with followed(writer.folder, Views(visdom=server.url)) as lines:
        writer.steps(5)
        writer.images(1)
        until(lambda: view.IMAGES in (server.window(spec.run_id) or {}))
        writer.steps(3)
    title, x, y = losses(server, spec.run_id)
    assert title == "pix2pix_resnet_9blocks loss over time"
    assert x == [1.5, 2, 2.5, 3]  # upstream's epoch and share of it: the first begins at 1
    assert y == {
        name: pytest.approx([fake_losses(step)[name] for step in (2, 4, 6, 8)])
        for name in ("G_GAN", "G_L1", "D_real", "D_fake")
    }
    images = (server.window(spec.run_id) or {})[view.IMAGES]
    assert images["title"] == f"pix2pix_resnet_9blocks images, epoch 1: {', '.join(VISUALS)}"
    assert images["content"]["src"].startswith("data:image/")
    assert lines == ["a line of the run"]


@pytest.mark.system
def test_a_server_that_comes_back_empty_gets_it_all_again(server: Server, spec: RunSpec) -> None:
    writer = Writer(spec)
    with followed(writer.folder, Views(visdom=server.url)) as lines:
        writer.steps(4)
        writer.images(1)
        until(lambda: view.IMAGES in (server.window(spec.run_id) or {}))
        server.kill()
        writer.steps(4)
        until(lambda: "After epoch 2" in (writer.folder.path / "losses.svg").read_text())
        server.start()
        writer.steps(4)
    assert losses(server, spec.run_id)[1] == [1.5, 2, 2.5, 3, 3.5, 4]
    assert view.IMAGES in (server.window(spec.run_id) or {})
    (warning,) = lines[1:]
    assert warning.startswith(f"warning: visdom at {server.url} does not answer")


@pytest.mark.system
def test_a_server_that_never_answers_holds_up_nothing(spec: RunSpec) -> None:
    writer = Writer(spec)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with followed(writer.folder, Views(visdom=url)) as lines:
            writer.steps(8)
    (warning,) = lines[1:]
    assert "does not answer" in warning
    assert "After epoch 2" in (writer.folder.path / "losses.svg").read_text()


@pytest.mark.system
def test_a_real_run_outlives_the_server_that_shows_it(server: Server, small_launch: list[str], tmp_path: Path) -> None:
    schedule = {"epochs": 30, "epochs_decay": 0, "checkpoint_every": 0, "print_every": 1}
    settings = [part for key, value in schedule.items() for part in ("--set", f"schedule.{key}={value}")]
    command = [sys.executable, "-m", "gbench", "converge", "pix2pix_resnet_6blocks", "4", "1", "FP32"]
    run = subprocess.Popen(
        [*command, *small_launch, *settings, "--visdom", server.url, "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: bool(list((tmp_path / "results").glob("*/spec.json"))))
        (run_dir,) = (tmp_path / "results").iterdir()
        until(lambda: view.IMAGES in (server.window(run_dir.name) or {}))
        assert len(losses(server, run_dir.name)[1]) > 0
    finally:
        server.kill()
    out, err = run.communicate(timeout=240)
    assert run.returncode == 0, err
    assert json.loads(out)["result"]["complete"] is True
    assert err.count("does not answer") <= 1  # none if the run finished before it was due
