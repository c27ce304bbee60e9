"""A docker client, as docker.from_env gives it, with an imagined engine behind it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import docker.errors


class Engine:
    """images: the variables of each image, by how its name begins. info: what `docker info` says beside its version."""

    def __init__(self, images: dict[str, list[str]] | None = None, **info: Any) -> None:
        self._images, self._info = images or {}, info
        self.images = self

    def info(self) -> dict[str, Any]:
        return {"ServerVersion": "28.0", "DockerRootDir": "/var/lib/docker", **self._info}

    def get(self, name: str) -> Any:
        found = next((variables for begin, variables in self._images.items() if name.startswith(begin)), None)
        if found is None:
            raise docker.errors.ImageNotFound(name)
        return SimpleNamespace(attrs={"Config": {"Env": found}})
