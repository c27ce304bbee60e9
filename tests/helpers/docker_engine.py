"""The real Docker engine for the tests marked `system`.

Uses the engine that GBENCH_TEST_DOCKER_HOST names (a developer's, so that the base image is built only once), else that
of DOCKER_HOST or of this machine. If there is none, starts one for the session, with its data in a folder that is
deleted afterwards. If that fails, the tests fail: a skipped system test proves nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import docker
import docker.errors
import pytest

from gbench.base.paths import project_file

START_TIMEOUT_S = 60
# Layers are not changed once they are made. An engine mounts its folder onto itself, which forbids links.
LINK_IMAGES = 'umount -lq "$1/overlay2" "$1" || true; cp -a "$1/image" "$2/image"; cp -al "$1/overlay2" "$2/overlay2"'


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    """A client of the engine; sets DOCKER_HOST to it for the rest of the session."""
    with contextlib.ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        host = os.environ.get("GBENCH_TEST_DOCKER_HOST")
        if host is None and not _answers(None):
            host = stack.enter_context(own_engine())
        if host is not None:
            environment.setenv("DOCKER_HOST", host)
        client = docker.from_env()
        yield client
        for image in client.images.list("gbench-test"):
            client.images.remove(image.id, force=True)
        client.close()


@pytest.fixture(scope="session")
def base_image(docker_client: docker.DockerClient) -> str:
    """An image with PyTorch and the project's dependencies, built without a registry."""
    scripts = [project_file(f"scripts/{name}") for name in ("make-base-image.sh", "image-requirements.txt")]
    inputs = "".join(script.read_text() for script in scripts) + repr(metadata.requires("gbench"))
    name = f"gbench-test-base:{hashlib.sha256(inputs.encode()).hexdigest()[:12]}"
    make_base_image(name)
    return name


def make_base_image(name: str) -> str:
    """Run the script and return its output."""
    script = project_file("scripts/make-base-image.sh")
    made = subprocess.run(
        [script, "--python", sys.executable, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert made.returncode == 0, made.stdout
    return made.stdout


@contextlib.contextmanager
def own_engine(images_of: Path | None = None, inside: Sequence[str] = ()) -> Iterator[str]:
    """Start dockerd with its data in a separate folder; yields its address.

    Args:
        images_of: data folder of an engine whose images it has too. Their layers are links: they take no space.
        inside: a command that starts dockerd elsewhere, as in a network namespace.
    """
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        pytest.fail("no Docker engine answers; start one, or run as root where dockerd is installed")
    folder = Path(tempfile.mkdtemp(prefix="gbench-docker.", dir="/var/tmp"))  # not /tmp: it may be in memory
    folder.chmod(0o755)
    if images_of is not None:
        (folder / "data").mkdir()
        subprocess.run(["unshare", "--mount", "sh", "-ec", LINK_IMAGES, "sh", images_of, folder / "data"], check=True)
    host = f"unix://{folder}/docker.sock"
    command = [*inside, "dockerd", "--host", host, "--data-root", folder / "data", "--exec-root", folder / "exec"]
    # The tests need no connection out of Docker's network, so leave the machine's packet filter unchanged.
    command += ["--pidfile", folder / "pid", "--iptables=false", "--storage-driver=overlay2"]
    with (folder / "log").open("wb") as log:
        engine = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(host):
            if engine.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"dockerd did not start:\n{(folder / 'log').read_text()[-3000:]}")
            time.sleep(0.1)
        yield host
    finally:
        engine.terminate()
        engine.wait()
        for mount in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            if (place := mount.split()[1]).startswith(str(folder)):  # it leaves the host's network namespace mounted
                subprocess.run(["umount", place], check=True)
        shutil.rmtree(folder)


def _answers(host: str | None) -> bool:
    """Whether an engine answers at `host`, or at Docker's default address."""
    try:
        client = docker.DockerClient(base_url=host) if host else docker.from_env()
    except docker.errors.DockerException:
        return False
    client.close()
    return True
