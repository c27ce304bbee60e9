"""Runs in a container of the real engine, and every way a run can end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import docker
import pytest

from docker_runs import OTHER_GID, OTHER_UID, Driven, make_run_dir, make_spec, ours, run
from gbench.errors import ExitCode, InfrastructureError
from gbench.runners import containers
from gbench.runners import docker as docker_runner
from gbench.runners.docker import DockerRunner
from gbench.runners.engine import docker_status, gpu_container_status
from gbench.runners.plan import Outcome

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_is_left")]

# Prints that it runs, waits for a request to stop, and records that.
WAITING = 'trap "echo told to stop | tee stopped; exit 9" TERM; echo kept > kept; echo waiting; sleep 600 & wait'


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
    try:
        gpu_container_status()
    except InfrastructureError as error:
        assert "no NVIDIA container toolkit" in error.what
    else:
        assert run(spec)[0] == Outcome(0)
        return
    with pytest.raises(InfrastructureError, match=r"no NVIDIA container toolkit.*--device cpu"):
        run(spec)


def test_status_names_the_engine(docker_client: docker.DockerClient) -> None:
    assert docker_client.version()["Version"] in docker_status()


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


def docker_socket() -> str:
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
