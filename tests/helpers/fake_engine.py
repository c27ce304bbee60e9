"""A docker client like that of docker.from_env, with a fake engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import docker.errors


class Engine:
    """A fake engine. images: environment variables of each image, by prefix of its name. info: as by `docker info`."""

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
