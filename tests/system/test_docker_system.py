"""The docker runner with the real engine: images, runs, and every way a run can end."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from docker_engine import make_base_image
from gbench.base.paths import project_file
from gbench.errors import ExitCode, InfrastructureError
from gbench.runners import containers
from gbench.runners import docker as docker_runner
from gbench.runners.containers import RUN_ID_LABEL
from gbench.runners.docker import DockerRunner
from gbench.runners.engine import docker_status, gpu_container_status
from gbench.runners.image import BASE_LABEL
from gbench.runners.plan import Outcome
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec

pytestmark = pytest.mark.system

DRIVER = Path(__file__).parents[1] / "helpers" / "drive_docker.py"
OTHER_UID, OTHER_GID = 12345, 23456
# Prints that it runs, waits for a request to stop, and records that.
WAITING = 'trap "echo told to stop | tee stopped; exit 9" TERM; echo kept > kept; echo waiting; sleep 600 & wait'


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
        return self.process.wait(timeout=60), rest


def ours(client: docker.DockerClient) -> list[str]:
    """Names of the containers with a run's label."""
    return [container.name for container in client.containers.list(all=True, filters={"label": RUN_ID_LABEL})]


@pytest.fixture(autouse=True)
def nothing_is_left(docker_client: docker.DockerClient) -> Iterator[None]:
    """After each test the engine holds the containers it held before, running or not."""
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


# --- Images -------------------------------------------------------------------------------------------------------


def test_base_image_is_made_once_and_imports_torch(docker_client: docker.DockerClient, base_image: str) -> None:
    before = docker_client.images.get(base_image).id
    assert "exists; --force rebuilds it" in make_base_image(base_image)
    assert docker_client.images.get(base_image).id == before
    code = "import hatchling, torch, torchvision; print(float(torch.eye(3).sum()))"
    assert docker_client.containers.run(base_image, ["python3", "-c", code], remove=True) == b"3.0\n"


def test_image_is_built_once_and_keeps_the_torch_of_its_base(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path
) -> None:
    spec = make_spec(tmp_path, base_image, "python3 -c 'import torch, gbench; print(torch.__version__)'")
    runner, log = DockerRunner(spec, rebuild=True), list[str]()
    runner.prepare(log.append)
    assert any(line.startswith("Step 2/") for line in log)
    assert any(line.startswith("Successfully tagged gbench-test:pix2pix-") for line in log)
    facts = runner.facts()
    assert facts["base_image"] == base_image
    assert facts["docker_version"] == docker_client.version()["Version"]
    assert docker_client.images.get(facts["image"]).id == facts["image_id"]

    again, log = DockerRunner(spec), []
    again.prepare(log.append)
    assert log == [f"image {facts['image']} exists, built from the same sources"]
    assert again.facts() == facts

    print_version = ["python3", "-c", "import torch; print(torch.__version__)"]
    version = docker_client.containers.run(base_image, print_version, remove=True).decode().strip()
    lines: list[str] = []
    assert again.run(make_run_dir(spec), lines.append) == Outcome(0)
    assert lines == [version]


def test_docker_build_by_hand_makes_the_same_image(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path
) -> None:
    argument = f"FROM_IMAGE_NAME={base_image}"
    built = subprocess.run(
        ["docker", "build", "--tag", "gbench-test:by-hand", "--build-arg", argument, project_file("Dockerfile").parent],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    list_files = ["find", "/opt/gbench", "-type", "f", "-exec", "sha256sum", "{}", "+"]
    by_hand = docker_client.containers.run("gbench-test:by-hand", list_files, remove=True)
    runner = DockerRunner(make_spec(tmp_path, base_image, ""))
    runner.prepare(lambda line: None)
    by_gbench = docker_client.containers.run(runner.facts()["image_id"], list_files, remove=True)
    assert sorted(by_hand.splitlines()) == sorted(by_gbench.splitlines())


def test_a_new_base_under_the_old_name_is_noticed(docker_client: docker.DockerClient, tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("ARG FROM_IMAGE_NAME\nFROM ${FROM_IMAGE_NAME}\nCOPY src /src\n")
    spec = make_spec(tmp_path, "gbench-test:tiny", "", dockerfile=str(dockerfile))
    facts = []
    for content in ("one", None, "two"):
        if content:
            tiny_base(docker_client, content)
        runner = DockerRunner(spec)
        runner.prepare(lambda line: None)
        facts.append(runner.facts())
    assert len({fact["image"] for fact in facts}) == 1
    assert facts[0]["image_id"] == facts[1]["image_id"] != facts[2]["image_id"]
    base = docker_client.images.get("gbench-test:tiny")
    assert docker_client.images.get(facts[2]["image_id"]).labels[BASE_LABEL] == base.id


def test_a_pinned_image_runs_as_it_is(docker_client: docker.DockerClient, base_image: str, tmp_path: Path) -> None:
    pinned = str(docker_client.images.get(base_image).id)
    spec = make_spec(tmp_path, base_image, "id -u", image=pinned, from_image=None)
    assert run(spec) == (Outcome(0), [str(os.getuid())])
    missing = spec.model_copy(update={"image": "sha256:" + "0" * 64})
    with pytest.raises(InfrastructureError, match=r"there is no image sha256:0+ on this machine"):
        DockerRunner(missing).prepare(lambda line: None)


@pytest.mark.parametrize(
    ("dockerfile", "sentence"),
    [
        (
            "ARG FROM_IMAGE_NAME\nFROM $FROM_IMAGE_NAME\nRUN echo why && exit 5\n",
            "a step of the Dockerfile ended with exit code 5",
        ),
        ("ARG FROM_IMAGE_NAME\nFROM $FROM_IMAGE_NAME\nRUNN true\n", "unknown instruction: RUNN"),
        ("FROM gbench-test-nowhere:1\n", "make-base-image.sh"),
    ],
)
def test_a_build_that_fails_says_why(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path, dockerfile: str, sentence: str
) -> None:
    (tmp_path / "Dockerfile").write_text(dockerfile)
    base = base_image if "ARG" in dockerfile else None
    spec = make_spec(tmp_path, base_image, "", dockerfile=str(tmp_path / "Dockerfile"), from_image=base)
    log: list[str] = []
    with pytest.raises(InfrastructureError, match=re.escape(sentence)):
        DockerRunner(spec).prepare(log.append)
    assert ("why" in log) == ("echo why" in dockerfile)


@pytest.mark.parametrize("named", ["base", "pinned"])
def test_an_image_that_can_not_be_pulled(docker_client: docker.DockerClient, tmp_path: Path, named: str) -> None:
    nowhere = "127.0.0.1:9/gbench-test-nowhere@sha256:" + "0" * 64  # nothing listens there
    changes = {"image": nowhere, "from_image": None} if named == "pinned" else {}
    spec = make_spec(tmp_path, nowhere, "", **changes)
    with pytest.raises(
        InfrastructureError, match=r"can't pull the image 127\.0\.0\.1:9/.*make-base-image\.sh.*--from-image"
    ):
        DockerRunner(spec).prepare(lambda line: None)


def test_ctrl_c_in_a_build_leaves_nothing(docker_client: docker.DockerClient, base_image: str, tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("ARG FROM_IMAGE_NAME\nFROM $FROM_IMAGE_NAME\nRUN echo building && sleep 600\n")
    driven = Driven(make_spec(tmp_path, base_image, "", dockerfile=str(dockerfile)), tmp_path)
    driven.wait_for("building")
    driven.process.send_signal(signal.SIGINT)
    assert driven.finish() == (ExitCode.INTERRUPTED, "stopped by Ctrl-C; what the run had written is kept\n")
    for _ in range(100):  # the engine gives a build up when gbench's connection ends, and takes a moment
        if not docker_client.containers.list(all=True, ignore_removed=True):
            break
        time.sleep(0.1)


# --- A run, and how it ends ---------------------------------------------------------------------------------------


def test_a_run_sees_its_places_and_hands_over_its_lines(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path
) -> None:
    script = r"""
        cat "$DATA_DIR/sample.txt"
        echo "$MODEL $BATCH_SIZE $DEVICE_COUNT $PRECISION $DEVICE"
        ls "$CONFIG" | grep -c yaml
        touch "$DATASETS_DIR/x" "$CONFIG/x" 2>/dev/null || echo read-only
        printf 'half '; printf 'of it' >&2; printf 'a line\n'; printf ' was stderr\n' >&2
        printf 'not UTF-8: \377\n'
        python3 -c 'import getpass, torch; print(getpass.getuser())'
        mkdir images; echo written > "$RUN_DIR/images/file"
        printf 'no newline'
    """
    spec = make_spec(tmp_path, base_image, script)
    outcome, lines = run(spec)
    assert outcome == Outcome(0)
    lines.remove("of it was stderr")  # which comes where it may: Docker keeps the two streams apart
    configs = str(len(list(Path(spec.config_dir).glob("*.yaml"))))
    assert lines[:4] == ["a sample", "pix2pix_resnet_9blocks 4 2 FP32 cpu", configs, "read-only"]
    assert lines[4:] == ["half a line", "not UTF-8: \ufffd", "gbench", "no newline"]
    assert (Path(spec.results_dir) / spec.run_id / "images" / "file").read_text() == "written\n"


def test_the_image_that_runs_is_the_image_of_the_facts(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path
) -> None:
    spec = make_spec(tmp_path, base_image, "echo here")
    runner = DockerRunner(spec)
    runner.prepare(lambda line: None)
    ran = []

    def look(line: str) -> None:
        ran.append(docker_client.containers.get(f"gbench-{spec.run_id}").attrs["Image"])

    assert runner.run(make_run_dir(spec), look) == Outcome(0)
    assert ran == [runner.facts()["image_id"]]


def test_files_belong_to_the_caller(docker_client: docker.DockerClient, base_image: str, open_folder: Path) -> None:
    script = "id -u; id -g; id -G; mkdir -p a/b; touch a/b/c; python3 -c 'import torch, getpass; getpass.getuser()'"
    spec = make_spec(open_folder, base_image, script)
    docker_group = Path(docker_socket()).stat().st_gid
    driven = Driven(spec, open_folder, groups=f"{docker_group},{OTHER_GID}")
    code, printed = driven.finish()
    assert code == 0, printed
    uid, gid, groups = printed.splitlines()[-3:]
    assert (uid, gid) == (str(OTHER_UID), str(OTHER_GID))
    assert str(docker_group) in groups.split()
    for path in (driven.run_dir / "a", driven.run_dir / "a" / "b", driven.run_dir / "a" / "b" / "c"):
        assert (path.stat().st_uid, path.stat().st_gid) == (OTHER_UID, OTHER_GID)


def test_a_user_without_permission_is_told(
    docker_client: docker.DockerClient, base_image: str, open_folder: Path
) -> None:
    spec = make_spec(open_folder, base_image, "")
    driven = Driven(spec, open_folder, groups=str(OTHER_GID))
    code, printed = driven.finish()
    assert code == ExitCode.INFRASTRUCTURE
    assert printed.startswith("Docker can't be used: you have no permission on its socket; join its group")


def test_a_failing_script_keeps_its_exit_code(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path
) -> None:
    assert run(make_spec(tmp_path, base_image, "echo no >&2; exit 7")) == (Outcome(7), ["no"])
    assert run(make_spec(tmp_path, base_image, "kill -9 $$")) == (Outcome(137), [])


def test_running_out_of_memory_is_noticed(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlimited = docker_runner.container_request
    monkeypatch.setattr(
        docker_runner,
        "container_request",
        lambda *args: {**unlimited(*args), "mem_limit": "64m", "memswap_limit": "64m"},
    )
    outcome, _ = run(make_spec(tmp_path, base_image, "exec python3 -c 'bytearray(10**9)'"))
    assert outcome == Outcome(137, out_of_memory=True)


def test_a_full_disk_is_named(docker_client: docker.DockerClient, base_image: str, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base_image, "head -c 2000000 /dev/zero > big")
    runner, run_dir = DockerRunner(spec), make_run_dir(spec)
    runner.prepare(lambda line: None)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", run_dir], check=True)
    try:
        with pytest.raises(InfrastructureError, match="exit code 1: the disk is full"):
            runner.run(run_dir, lambda line: None)
    finally:
        subprocess.run(["umount", run_dir], check=True)


def test_a_missing_dataset_folder_is_named(docker_client: docker.DockerClient, base_image: str, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base_image, "true", datasets_dir=str(tmp_path / "nowhere"))
    with pytest.raises(InfrastructureError, match=re.escape(f"{tmp_path / 'nowhere'} does not exist")):
        run(spec)


def test_a_gpu_without_the_toolkit_gets_its_own_sentence(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path
) -> None:
    spec = make_spec(tmp_path, base_image, "true", device="cuda")
    if gpu_container_status().ok:
        assert run(spec)[0] == Outcome(0)
        return
    with pytest.raises(InfrastructureError, match=r"no NVIDIA container toolkit.*--device cpu"):
        run(spec)


def test_status_names_the_engine(docker_client: docker.DockerClient) -> None:
    assert docker_status().ok
    assert docker_client.version()["Version"] in docker_status().text


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGINT, "stopped by Ctrl-C"), (signal.SIGTERM, "stopped by SIGTERM")]
)
def test_being_told_to_stop(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path, number: signal.Signals, said: str
) -> None:
    driven = Driven(make_spec(tmp_path, base_image, WAITING), tmp_path)
    driven.wait_for("waiting")
    driven.process.send_signal(number)
    code, printed = driven.finish()
    assert (code, printed) == (ExitCode.INTERRUPTED, f"{said}; what the run had written is kept\n")
    assert sorted(path.name for path in driven.run_dir.iterdir()) == ["kept", "stopped"]


def test_a_timeout_ends_the_run(docker_client: docker.DockerClient, base_image: str, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base_image, WAITING, timeout_s=4.0)
    DockerRunner(spec).prepare(lambda line: None)  # so that no build falls into the time
    driven = Driven(spec, tmp_path)
    code, printed = driven.finish()
    assert code == ExitCode.FAILED
    assert "the run was not done after --timeout 4s" in printed
    assert (driven.run_dir / "stopped").exists()


def test_a_script_that_will_not_stop_is_killed(
    docker_client: docker.DockerClient, base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "GRACE_S", 1)
    runner = DockerRunner(spec := make_spec(tmp_path, base_image, "trap '' TERM; echo deaf; while :; do sleep 1; done"))
    runner.prepare(lambda line: None)

    def crash(line: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        runner.run(make_run_dir(spec), crash)
    assert ours(docker_client) == []


def test_two_runs_at_once_and_a_dead_one(docker_client: docker.DockerClient, base_image: str, tmp_path: Path) -> None:
    """A container whose gbench was killed goes at the next start; a live run's, and a stranger's, stay."""
    stranger = docker_client.containers.create(base_image, ["true"], name="gbench-stranger", labels={"run": "mine"})
    killed = Driven(make_spec(tmp_path, base_image, WAITING), tmp_path)
    killed.wait_for("waiting")
    live = Driven(make_spec(tmp_path, base_image, WAITING), tmp_path)
    live.wait_for("waiting")
    try:
        assert len(ours(docker_client)) == 2
        killed.process.kill()
        killed.finish()
        assert len(ours(docker_client)) == 2, "nothing could have removed it yet"

        spec = make_spec(tmp_path, base_image, "echo third")
        runner, said = DockerRunner(spec), list[str]()
        runner.prepare(said.append)
        assert said[0] == f"removed gbench-{killed.run_dir.name}: the gbench that started it is dead"
        assert ours(docker_client) == [f"gbench-{live.run_dir.name}"]
        assert runner.run(make_run_dir(spec), said.append) == Outcome(0)
        assert ours(docker_client) == [f"gbench-{live.run_dir.name}"]
        assert (killed.run_dir / "kept").exists()
    finally:
        live.process.terminate()
        assert live.finish()[0] == ExitCode.INTERRUPTED
        assert docker_client.containers.get(stranger.id).status == "created"
        stranger.remove()


# --- Helpers that need the engine ---------------------------------------------------------------------------------


def tiny_base(client: docker.DockerClient, content: str) -> None:
    """(Re)make the image gbench-test:tiny, which holds one file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("content")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content.encode()))
    client.api.import_image_from_data(archive.getvalue(), repository="gbench-test", tag="tiny")


def docker_socket() -> str:
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
