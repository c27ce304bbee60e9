"""Versions of a run's dependencies, found without importing them."""

import platform
from importlib import metadata


def component_versions() -> dict[str, str]:
    """Versions of Python, torch, torchvision, docker, the NVIDIA driver and the Docker engine, or why there is none."""
    from gbench.machine.gpus import find_gpus

    gpus = find_gpus()
    return {
        "python": platform.python_version(),
        **{name: _installed(name) for name in ("torch", "torchvision", "docker")},
        "nvidia-driver": gpus.driver or f"none ({gpus.missing})",
        "docker-engine": _engine_version(),
    }


def _installed(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _engine_version() -> str:
    import docker
    from docker.errors import DockerException

    try:
        return str(docker.from_env(timeout=5).version()["Version"])
    except DockerException as error:
        return f"none ({' '.join(str(error).split())})"
