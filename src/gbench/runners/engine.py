"""The connection to the Docker engine, and its status for `gbench check`."""

import shutil
from typing import TYPE_CHECKING, Any

from gbench.errors import InfrastructureError
from gbench.runners.docker_errors import engine_errors

if TYPE_CHECKING:
    import docker

CDI_KIND = "nvidia.com/gpu="


def connect() -> "docker.DockerClient":
    """A client of the engine that Docker's variables (DOCKER_HOST ...) name, or of this machine's.

    Raises InfrastructureError: no engine answers, or this user may not use it.
    """
    import docker

    with engine_errors("be used"):
        client = docker.from_env()
        if "name=rootless" in client.info().get("SecurityOptions", []):
            raise InfrastructureError(
                "Docker can't be used: a rootless engine can't give the run's files to their owner",
                "use the system's engine (unset DOCKER_HOST), or run without Docker: --runner local",
            )
        return client


def docker_status() -> str:
    """The engine that this user can reach. Raises InfrastructureError: there is none."""
    info = connect().info()
    return f"Docker engine {info['ServerVersion']}, data in {info['DockerRootDir']}"


def gpu_container_status() -> str:
    """How the engine passes GPUs to a container, as far as can be seen without starting one.

    Raises InfrastructureError: no engine answers, or it can't.
    """
    if way := gpu_support(connect().info()):
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
