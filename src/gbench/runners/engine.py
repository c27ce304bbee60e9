"""The connection to the Docker engine, and its status for `gbench check`."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gbench.base import strict_json
from gbench.base.files import read_file
from gbench.base.paths import user_dir
from gbench.base.threads import raising_in_main
from gbench.errors import InfrastructureError
from gbench.runners.docker_errors import SILENT, engine_errors, explain

if TYPE_CHECKING:
    import docker

CDI_KIND = "nvidia.com/gpu="
ANSWER_S = 60  # for any request but those whose answer goes on for as long as a build or a container does
LOOK_S, LOOKS = 20.0, 3  # how often to ask meanwhile whether the engine still answers; how often it may fail to


def connect() -> "docker.DockerClient":
    """A client of the engine that Docker's variables (DOCKER_HOST ...) name, or of this machine's.

    Raises InfrastructureError: no engine answers, or this user may not use it.
    """
    import docker

    if (host := os.environ.get("DOCKER_HOST", "")).startswith("ssh://"):
        raise InfrastructureError(
            f"Docker can't be used: DOCKER_HOST is {host}, and a container mounts folders of this machine",
            "unset DOCKER_HOST, and run gbench on the machine of the engine",
        )
    with engine_errors("be used"):
        try:
            client = docker.from_env(timeout=ANSWER_S)
        except ValueError as error:
            raise InfrastructureError(
                f"Docker can't be used: DOCKER_HOST {host!r} is no address ({error})", "fix or unset DOCKER_HOST"
            ) from error
        if "name=rootless" in engine_info(client).get("SecurityOptions", []):
            raise InfrastructureError(
                "Docker can't be used: a rootless engine can't give the run's files to their owner",
                "use the system's engine (unset DOCKER_HOST), or run without Docker: --runner local",
            )
        return client


def engine_info(client: "docker.DockerClient") -> dict[str, Any]:
    """What `docker info` says, without its nulls, which some engines send for an empty list. Raises as `connect`."""
    with engine_errors("describe itself"):
        return {name: value for name, value in client.info().items() if value is not None}


@contextmanager
def answering(doing: str) -> Iterator[None]:
    """Raise InfrastructureError in this context once the engine answers no more; only in the main thread.

    Docker's client itself waits for ever for the next output of a build, a pull or a container.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        failed = 0
        while failed < LOOKS:
            if ended.wait(LOOK_S):
                return
            failed = 0 if _answers() else failed + 1
        raise_in_main(explain(SILENT, doing))

    with raising_in_main() as raise_in_main:
        threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            ended.set()


def _answers() -> bool:
    """Whether the engine answers, on a connection of its own."""
    import docker

    with suppress(Exception):
        client = docker.from_env(timeout=ANSWER_S)
        client.close()
        return True
    return False


def unused_context() -> str | None:
    """A warning that the context of Docker's own command line is not that of gbench; None if it is."""
    if os.environ.get("DOCKER_HOST"):
        return None  # Docker's command line takes it too, and no context
    folder = Path(os.environ.get("DOCKER_CONFIG") or user_dir({}, "", ".docker"))
    context = os.environ.get("DOCKER_CONTEXT")
    if not context:
        with suppress(OSError, ValueError, AttributeError):
            context = strict_json.loads(read_file(folder / "config.json")).get("currentContext")
    if context in (None, "", "default"):
        return None
    return f"the Docker context {context!r} is not taken: to use its engine, set DOCKER_HOST"


def docker_status() -> str:
    """The engine that this user can reach. Raises InfrastructureError: there is none."""
    info = engine_info(connect())
    found = f"Docker engine {info.get('ServerVersion')}, data in {info.get('DockerRootDir')}"
    return "; ".join(filter(None, (found, unused_context())))


def gpu_container_status() -> str:
    """How the engine passes GPUs to a container, as far as can be seen without starting one.

    Raises InfrastructureError: no engine answers, or it can't.
    """
    if way := gpu_support(engine_info(connect())):
        return f"Docker can pass GPUs to a container ({way})"
    raise InfrastructureError(
        "Docker has no NVIDIA container toolkit to pass GPUs to a container",
        "install nvidia-container-toolkit and restart Docker, or run on the CPU: --device cpu",
    )


def gpu_support(info: dict[str, Any]) -> str | None:
    """How the engine passes GPUs: its nvidia runtime, the toolkit's hook that --gpus needs, or only CDI devices."""
    if "nvidia" in info.get("Runtimes", {}):
        return "nvidia runtime"
    if hook := shutil.which("nvidia-container-runtime-hook"):
        return str(hook)
    return "CDI" if cdi_gpus(info) else None


def cdi_gpus(info: dict[str, Any]) -> list[str]:
    """The GPUs that the engine lists as CDI devices: `nvidia.com/gpu=0`."""
    names = [device.get("ID", "") for device in info.get("DiscoveredDevices") or []]
    return [name for name in names if name.startswith(CDI_KIND)]
