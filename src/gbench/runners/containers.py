"""Whose container is it, and is its owner still alive?

Each container that gbench makes carries the run's id and the identity of the process that owns it. A crash or SIGKILL
of that process leaves a container behind; the next start removes it, and it alone: a container whose owner may still be
alive, or that carries no label of ours, is never touched.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
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
    """A process, told apart from a later one with the same pid. started_ticks: clock ticks after boot."""

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    started_ticks: int

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        started = _started_ticks(os.getpid())
        assert started is not None
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        pid_namespace = str(Path("/proc/self/ns/pid").readlink())
        return cls(os.uname().nodename, boot_id, pid_namespace, os.getpid(), started)

    def to_label(self) -> str:
        """One label value, read back by `from_label`."""
        return f"{self.host} {self.boot_id} {self.pid_namespace} {self.pid} {self.started_ticks}"

    @classmethod
    def from_label(cls, label: str) -> Owner | None:
        """None for a label that this version did not write."""
        try:
            host, boot_id, pid_namespace, pid, started_ticks = label.split()
            return cls(host, boot_id, pid_namespace, int(pid), int(started_ticks))
        except ValueError:
            return None

    def is_dead(self, here: Owner) -> bool:
        """Whether the owner is known to have ended, seen from process `here`.

        On another host, or in another pid namespace (a gbench that itself runs in a container), it can't be seen, so it
        counts as alive. After a reboot nothing of before lives.
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
    """End and remove what this process started for a run: SIGTERM, a grace, SIGKILL. False when the engine won't.

    Looks for the run's labels rather than taking a container, so that one is found that was created a moment before an
    interruption, too.
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
    """Remove a container by force; False when someone else has, or is about to."""
    import docker.errors

    try:
        container.remove(force=True)
    except docker.errors.APIError as error:
        if error.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            raise
        return False
    return True


def _started_ticks(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat; None when there is no such process, or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name, in brackets, may hold blanks
    return None if fields[0] in "ZX" else int(fields[19])
