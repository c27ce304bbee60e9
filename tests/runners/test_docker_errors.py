"""Real error messages of the engine, and the sentences made from them."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import docker.auth
import pytest

from fake_engine import Engine
from gbench.errors import InfrastructureError
from gbench.runners.docker_errors import engine_errors, explain
from gbench.runners.engine import connect, docker_status, gpu_container_status, gpu_support, unused_context
from gbench.runners.log_failures import known_log_failure
from golden import check_golden

VERSION = "Error while fetching server API version: "
NOT_THERE = VERSION + "('Connection aborted.', FileNotFoundError(2, 'No such file or directory'))"
FORBIDDEN = VERSION + "('Connection aborted.', PermissionError(13, 'Permission denied'))"
REFUSED = (
    VERSION + "HTTPConnectionPool(host='127.0.0.1', port=1): Max retries exceeded with url: /version (Caused by "
    "NewConnectionError(\"HTTPConnection(host='127.0.0.1', port=1): Failed to establish a new connection: [Errno 111] "
    'Connection refused"))'
)
RUNC = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
IN_INIT = RUNC + "error during container init: "
NO_SUCH_GPU = (
    IN_INIT + "error running prestart hook #0: exit status 1, stdout: , stderr: Auto-detected mode as 'legacy'\n"
    "nvidia-container-cli: device error: 3: unknown device: unknown"
)
RLIMIT = (
    IN_INIT + "error setting rlimits for ready process: error setting rlimit type 8: operation not permitted: unknown"
)
PULL_DENIED = (
    "pull access denied for team/secret, repository does not exist or may require 'docker login': denied: requested "
    "access to the resource is denied"
)
SHM_TORCH = "RuntimeError: unable to allocate shared memory(shm) for file </torch_9_1_0>: No space left on device (28)"
SHM_LOADER = (
    "RuntimeError: DataLoader worker (pid 17) is killed by signal: Bus error. It is possible that dataloader's workers "
    "are out of shared memory. Please try to raise your shared memory limit."
)


LARGER = "load without it: --set data.workers=0; on the host enlarge it: sudo mount -o remount,size=64g /dev/shm"
MESSAGES = [
    NOT_THERE,
    REFUSED,
    "[Errno 104] Connection reset by peer",
    FORBIDDEN,
    'could not select device driver "" with capabilities: [[gpu]]',
    NO_SUCH_GPU,
    'invalid mount config for type "bind": stat /home/user/data: permission denied',
    IN_INIT + 'error mounting "/net/data" to rootfs at "/data": mount src=/net/data: permission denied: unknown',
    RLIMIT,
    "Error processing tar file(exit status 1): write /big: no space left on device",
    'invalid mount config for type "bind": bind source path does not exist: /datasets/facades',
    RUNC + 'exec: "bash": executable file not found in $PATH: unknown',
    'Get "https://registry-1.example/v2/": dial tcp: lookup registry-1.example on 10.0.0.1:53: no such host',
    'Get "http://127.0.0.1:5999/v2/": dial tcp 127.0.0.1:5999: connect: connection refused',
    PULL_DENIED,
    'failed to resolve reference "docker.io/library/debian:nope": docker.io/library/debian:nope: not found',
    'failed to resolve reference "a/b:1": failed to do request: Head "https://r.example/v2/a": i/o timeout',
    "manifest for debian:nope not found: manifest unknown: manifest unknown",
    "No such image: team/bench:1",
    "The command '/bin/sh -c false' returned a non-zero code: 1",
    "dockerfile parse error line 2: unknown instruction: RUNN",
    "something\n  never heard of",
]


def test_each_message_gets_its_sentence() -> None:
    errors = [explain(message, "do it") for message in MESSAGES]
    assert all(error.what.startswith("Docker can't do it: ") for error in errors)
    assert not any("\n" in str(error) for error in errors)
    check_golden("docker-errors.txt", "".join(f"{error}\n" for error in errors))


@pytest.mark.parametrize(
    ("line", "failure"),
    [
        (SHM_TORCH, ("it ran out of shared memory", LARGER)),
        (SHM_LOADER, ("it ran out of shared memory", LARGER)),
        ("Bus error (core dumped)", ("it ran out of shared memory", LARGER)),
        (
            "OSError: [Errno 28] No space left on device",
            (
                "the disk is full",
                "free some space, or choose another --results; the log above names what could not be written",
            ),
        ),
        ("RuntimeError: mat1 and mat2 shapes cannot be multiplied", None),
    ],
)
def test_a_line_of_a_failed_run_is_known(line: str, failure: tuple[str, str] | None) -> None:
    assert known_log_failure(line) == failure


@pytest.fixture
def dead_socket(tmp_path: Path) -> Path:
    """A socket whose server is gone: connecting is refused."""
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return path


def test_no_engine_is_one_sentence(dead_socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (dead_socket, dead_socket.with_name("never.sock")):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        for question in (connect, docker_status, gpu_container_status):
            with pytest.raises(InfrastructureError, match="Docker can't be used: no engine answers at DOCKER_HOST"):
                question()


@pytest.mark.parametrize(
    ("info", "found"),
    [
        ({"Runtimes": {"nvidia": {"path": "nvidia-container-runtime"}, "runc": {}}}, "nvidia runtime"),
        ({"Runtimes": {"runc": {}}, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, "CDI"),
        ({"Runtimes": {"runc": {}}, "DiscoveredDevices": None}, None),
    ],
)
def test_gpu_support_is_read_off_the_engine(
    info: dict[str, object], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpu_support(info) == found


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("tcp://build7.invalid:2375", "no engine answers at DOCKER_HOST 'tcp://build7.invalid:2375' ([Errno -"),
        ("tcp://build 7:2375", "no engine answers at DOCKER_HOST 'tcp://build 7:2375' (Failed to parse: Host"),
        ("tcp://127.0.0.1:1", "([Errno 111] Connection refused); fix or unset DOCKER_HOST"),
        ("unix:///nowhere.sock", "DOCKER_HOST 'unix:///nowhere.sock'"),
        ("nonsense", "DOCKER_HOST 'nonsense' (Invalid bind address format"),
        ("tcp://a:b", "DOCKER_HOST 'tcp://a:b' is no address"),
        ("ssh://user@build7", "DOCKER_HOST is ssh://user@build7, and a container mounts folders of this machine"),
    ],
)
def test_docker_host_is_named(monkeypatch: pytest.MonkeyPatch, host: str, said: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(InfrastructureError) as caught:
        connect()
    assert said in str(caught.value) and "registry" not in str(caught.value)
    assert "DOCKER_HOST" in caught.value.hint


def test_a_socket_closed_to_this_user_is_no_wrong_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/docker.sock")
    with pytest.raises(InfrastructureError, match="you have no permission on its socket"), engine_errors("be used"):
        raise docker.errors.DockerException(FORBIDDEN)


def test_an_answer_of_the_engine_is_its_explanation() -> None:
    message = "500 Server Error: Internal Server Error"
    for explanation, said in (("No such image: x", "the image does not exist"), (None, message)):
        with pytest.raises(InfrastructureError) as caught, engine_errors("start it"):
            raise docker.errors.APIError(message, explanation=explanation)
        assert caught.value.what == f"Docker can't start it: {said}"


@pytest.mark.parametrize("keys", [{"credsStore": "none-such"}, {"credHelpers": {"ghcr.io": "none-such"}}])
@pytest.mark.filterwarnings("ignore:docker-credential-none-such")
def test_a_credential_helper_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, object]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(keys))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(InfrastructureError) as caught, engine_errors("build the image x"):
        docker.auth.load_config().get_all_credentials()  # as a build does
    assert "its config.json names the credential helper docker-credential-none-such, which is not" in caught.value.what
    assert "config.json" in caught.value.hint


def test_null_in_info_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    nulls = dict.fromkeys(("SecurityOptions", "Runtimes", "DiscoveredDevices", "DockerRootDir"))
    monkeypatch.setattr("docker.from_env", lambda **_: Engine(**nulls))
    monkeypatch.setenv("PATH", "")
    assert docker_status() == "Docker engine 28.0, data in None"
    with pytest.raises(InfrastructureError, match="no NVIDIA container toolkit"):
        gpu_container_status()


@pytest.mark.parametrize(
    ("info", "what"),
    [
        ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, "can't be used: a rootless engine"),
        ({"Runtimes": {"runc": {}}}, "has no NVIDIA container toolkit to pass GPUs to a container"),
        ({"DiscoveredDevices": [{"Source": "cdi"}, {"ID": "other.com/gpu=0"}]}, "has no NVIDIA container toolkit"),
        ({"Runtimes": {"nvidia": {}}}, None),
        ({"DiscoveredDevices": [{"ID": "nvidia.com/gpu=0"}]}, None),
    ],
)
def test_an_engine_that_passes_no_gpus_or_no_files(
    info: dict[str, object], what: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("docker.from_env", lambda timeout: Engine(**info))
    monkeypatch.setenv("PATH", str(tmp_path))
    if what is None:
        way = "nvidia runtime" if "Runtimes" in info else "CDI"
        assert gpu_container_status() == f"Docker can pass GPUs to a container ({way})"
        return
    with pytest.raises(InfrastructureError) as caught:
        gpu_container_status()
    assert caught.value.what.startswith(f"Docker {what}")
    assert caught.value.hint == (
        "use the system's engine (unset DOCKER_HOST), or run without Docker: --runner local"
        if "rootless" in what
        else "install nvidia-container-toolkit and restart Docker, or run on the CPU: --device cpu"
    )
    hook = tmp_path / "nvidia-container-runtime-hook"
    hook.write_text("")
    hook.chmod(0o755)
    if "rootless" not in what:
        assert gpu_container_status() == f"Docker can pass GPUs to a container ({hook})"


def test_a_docker_context_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert unused_context() is None
    for text in ('{"currentContext": "default"}', "{}", "[]", "no JSON"):
        (tmp_path / "config.json").write_text(text)
        assert unused_context() is None
    (tmp_path / "config.json").write_text('{"currentContext": "far"}')
    assert unused_context() == "the Docker context 'far' is not taken: to use its engine, set DOCKER_HOST"
    monkeypatch.setattr("docker.from_env", Engine)
    assert docker_status().endswith(
        "/var/lib/docker; the Docker context 'far' is not taken: to use its engine, set DOCKER_HOST"
    )
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    assert "'other'" in str(unused_context())
    monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")
    assert unused_context() is None
