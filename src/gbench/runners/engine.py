"""The connection to the Docker engine, and what `gbench check` says of it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from gbench.errors import InfrastructureError
from gbench.runners.docker_errors import engine_errors

if TYPE_CHECKING:
    import docker


class Status(NamedTuple):
    """One line of a check: fine or not, what was found, and the mend when it is not fine."""

    ok: bool
    text: str
    hint: str


def connect() -> docker.DockerClient:
    """A client of the engine that Docker's own variables (DOCKER_HOST ...) name, or of this machine's.

    Raises:
        InfrastructureError: no engine answers, or it is not to be used by this user.
    """
    import docker

    with engine_errors("be used"):
        client = docker.from_env()
        if _is_rootless(client.info()):
            raise InfrastructureError(
                "Docker can't be used: a rootless engine can't give the run's files to their owner",
                "use the system's engine (unset DOCKER_HOST), or go without Docker: --runner local",
            )
        return client


def docker_status() -> Status:
    """Whether this user can reach a Docker engine, and which."""
    try:
        info = connect().info()
    except InfrastructureError as error:
        return Status(False, error.what, error.hint)
    return Status(True, f"Docker engine {info['ServerVersion']}, data in {info['DockerRootDir']}", "")


def gpu_container_status() -> Status:
    """Whether the Docker engine can hand GPUs to a container, as far as that shows without starting one."""
    try:
        found = _gpu_support(connect().info())
    except InfrastructureError as error:
        return Status(False, error.what, error.hint)
    if found:
        return Status(True, f"Docker can hand over GPUs ({found})", "")
    return Status(
        False,
        "Docker has no NVIDIA container toolkit to hand over GPUs with",
        "install nvidia-container-toolkit and restart Docker, or run on the CPU: --device cpu",
    )


def _gpu_support(info: dict[str, Any]) -> str | None:
    """By what the engine hands over GPUs: its nvidia runtime, CDI devices, or the toolkit's hook that --gpus needs."""
    if "nvidia" in info.get("Runtimes", {}):
        return "nvidia runtime"
    devices = [device.get("ID", "") for device in info.get("DiscoveredDevices") or []]
    if any(device.startswith("nvidia.com/gpu") for device in devices):
        return "CDI"
    hook = shutil.which("nvidia-container-runtime-hook")
    return hook and str(hook)


def _is_rootless(info: dict[str, Any]) -> bool:
    return "name=rootless" in info.get("SecurityOptions", [])
