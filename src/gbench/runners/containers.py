"""Which process owns a container, and whether it is still alive.

Each container of gbench has labels with the run's id and the identity of the process that owns it. If that process
crashes or is killed, the next start removes the container. A container whose owner may still be alive, or that lacks
our labels, is never touched.
"""

from __future__ import annotations

import os
from dataclasses import astuple, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

RUN_ID_LABEL = "org.gbench.run-id"
OWNER_LABEL = "org.gbench.owner"
IMAGE_LABEL = "org.gbench.image"
GRACE_S = 10  # seconds between SIGTERM and SIGKILL


@dataclass(frozen=True)
class Owner:
    """A process, distinguished from a later one with the same pid. started_ticks: clock ticks after boot."""

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    started_ticks: int

    @classmethod
    def current(cls) -> Owner:
        started = _started_ticks(os.getpid())
        assert started is not None
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        pid_namespace = str(Path("/proc/self/ns/pid").readlink())
        return cls(os.uname().nodename, boot_id, pid_namespace, os.getpid(), started)

    def to_label(self) -> str:
        """The value of a label, which `from_label` reads."""
        return " ".join(map(str, astuple(self)))

    @classmethod
    def from_label(cls, label: str) -> Owner | None:
        """None if this version did not write the label."""
        try:
            host, boot_id, pid_namespace, pid, started_ticks = label.split()
            return cls(host, boot_id, pid_namespace, int(pid), int(started_ticks))
        except ValueError:
            return None

    def is_dead(self, here: Owner) -> bool:
        """Whether the owner is known to have ended, seen from process `here`.

        A process on another host, or in another pid namespace (of a gbench in a container), can't be seen and counts as
        alive. A process from before the last boot is dead.
        """
        if self.host != here.host:
            return False
        if self.boot_id != here.boot_id:
            return True
        return self.pid_namespace == here.pid_namespace and _started_ticks(self.pid) != self.started_ticks


def sweep_orphans(client: docker.DockerClient) -> list[str]:
    """Remove the containers of runs whose gbench is dead, running or not; returns their names."""
    here = Owner.current()
    removed = []
    for container in client.containers.list(all=True, filters={"label": OWNER_LABEL}, ignore_removed=True):
        owner = Owner.from_label(container.labels[OWNER_LABEL])
        if owner is not None and owner.is_dead(here) and _remove(container):
            removed.append(str(container.name))
    return removed


def clear_away(client: docker.DockerClient, run_id: str) -> bool:
    """Stop and remove the containers that this process started for a run. False if the engine fails.

    Finds them by the run's labels, so that a container created just before an interruption is found as well.
    """
    import docker.errors
    import requests

    mine = [f"{RUN_ID_LABEL}={run_id}", f"{OWNER_LABEL}={Owner.current().to_label()}"]
    try:
        for container in client.containers.list(all=True, filters={"label": mine}, ignore_removed=True):
            try:
                container.stop(timeout=GRACE_S)
            finally:
                _remove(container)
    except (docker.errors.DockerException, requests.RequestException):
        return False
    return True


def _remove(container: Container) -> bool:
    """Remove a container by force; False if someone else has, or is doing so."""
    import docker.errors

    try:
        container.remove(force=True)
    except docker.errors.APIError as error:
        if error.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            raise
        return False
    return True


def _started_ticks(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; None if there is no such process, or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name, in parentheses, may contain spaces
    return None if fields[0] in "ZX" else int(fields[19])
