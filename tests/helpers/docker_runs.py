"""Runs of the docker runner with the real engine, in this process or in one of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from gbench.runners.containers import RUN_ID_LABEL
from gbench.runners.docker import DockerRunner
from gbench.runners.plan import Outcome
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec

DRIVER = Path(__file__).with_name("drive_docker.py")
OTHER_UID, OTHER_GID = 12345, 23456


def make_spec(folder: Path, base: str, script: str, **changes: Any) -> RunSpec:
    """The spec of a CPU run of `script` in a base image."""
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "sample.txt").write_text("a sample\n")
    (folder / "run.sh").write_text(script + "\n")
    request = Request(
        "pix2pix_resnet_9blocks",
        batch_size=4,
        device_count=2,
        precision="FP32",
        device="cpu",
        from_image=base,
        image="gbench-test:pix2pix",
        run_model_file=str(folder / "run.sh"),
        datasets_dir=str(folder / "data"),
        results_dir=str(folder / "results"),
    )
    return resolve(request, {}).spec.model_copy(update=changes)


def make_run_dir(spec: RunSpec) -> Path:
    run_dir = Path(spec.results_dir) / spec.run_id
    run_dir.mkdir(parents=True)
    return run_dir


def run(spec: RunSpec) -> tuple[Outcome, list[str]]:
    """Prepare and run in this process; the outcome and the lines of the run alone."""
    runner = DockerRunner(spec)
    runner.prepare(lambda line: None)
    lines: list[str] = []
    return runner.run(make_run_dir(spec), lines.append), lines


class Driven:
    """A gbench in a process of its own; with `groups`, one of another user who is in these groups."""

    def __init__(self, spec: RunSpec, folder: Path, groups: str | None = None) -> None:
        self.run_dir = make_run_dir(spec)
        spec_file = folder / f"{spec.run_id}.json"
        spec_file.write_text(spec.model_dump_json())
        command = [sys.executable, DRIVER, spec_file, self.run_dir]
        if groups is not None:
            os.chown(self.run_dir, OTHER_UID, OTHER_GID)
            # may read all, since this Python and the project may lie where only root can, and no more
            capability = "-all,+dac_read_search"
            identity = [f"--reuid={OTHER_UID}", f"--regid={OTHER_GID}", f"--groups={groups}"]
            identity += [f"--inh-caps={capability}", f"--ambient-caps={capability}"]
            command = ["setpriv", *identity, *command]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.output = self.process.stdout

    def wait_for(self, line: str) -> None:
        seen = []
        for text in self.output:
            seen.append(text)
            if text.strip() == line:
                return
        pytest.fail(f"{line!r} did not come, but {''.join(seen)}")

    def finish(self) -> tuple[int, str]:
        rest = self.output.read()
        return self.process.wait(timeout=300), rest


def ours(client: docker.DockerClient) -> list[str]:
    """Names of the containers with a run's label."""
    return [container.name for container in client.containers.list(all=True, filters={"label": RUN_ID_LABEL})]


@pytest.fixture
def nothing_is_left(docker_client: docker.DockerClient) -> Iterator[None]:
    """After the test the engine holds the containers it held before, running or not."""
    before = {container.id for container in docker_client.containers.list(all=True)}
    yield
    assert {container.id for container in docker_client.containers.list(all=True)} == before


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp(prefix="gbench-test."))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
