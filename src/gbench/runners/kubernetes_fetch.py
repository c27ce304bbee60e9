"""Fetch a run folder from the claim: a small pod mounts it, and `tar` in that pod writes it into the API's connection.

It works as well when the job has failed or its pods are gone, and for all nodes together. What comes is as untrusted
as any archive.
"""

import shutil
import time
from contextlib import suppress
from pathlib import Path

from gbench.base.files import new_file, write_errors
from gbench.datasets.archive import extract
from gbench.errors import InfrastructureError
from gbench.runners.following import LOOK_S, NoAnswer
from gbench.runners.kubernetes_api import Cluster, Refused
from gbench.runners.kubernetes_manifest import RUNS, reader_pod
from gbench.runners.kubernetes_states import state_of
from gbench.settings.spec import RunSpec

STARTING_S = 600.0  # until the pod runs
PLACE = ".fetched"  # in the run folder, while the files come
OF_THE_HOST = ("spec.json", "host.json", "log.txt", "kubernetes.json", ".own", ".lock")  # this host wrote its own


def fetch(cluster: Cluster, spec: RunSpec, run_dir: Path, remove: bool) -> None:
    """Copy the run folder from the claim into `run_dir`. remove: then remove it from the claim.

    Raises InfrastructureError: that is not possible. NoAnswer: the connection broke off.
    """
    manifest = reader_pod(spec)
    pod = manifest["metadata"]["name"]
    try:
        try:
            cluster.create_pod(manifest)
        except Refused as error:
            if error.status != 409:  # one of an earlier attempt is as good
                raise
        _wait_for(cluster, pod)
        archive = run_dir / f"{PLACE}.tar.gz"
        with write_errors(archive):
            try:
                with new_file(archive) as file:
                    problem = cluster.run_in(pod, ["tar", "-C", RUNS, "-czf", "-", spec.run_id], file)
                if problem:
                    raise InfrastructureError(
                        f"the claim has no run folder of {spec.run_id} that can be read ({problem})",
                        "see what the job printed; it must be able to write to the claim",
                    )
                unpack(archive, run_dir, spec.run_id)
            finally:
                archive.unlink(missing_ok=True)
        if remove:
            cluster.run_in(pod, ["rm", "-rf", f"{RUNS}/{spec.run_id}"])
    finally:
        with suppress(NoAnswer, InfrastructureError):  # it ends by itself, too
            cluster.delete_pod(pod)


def unpack(archive: Path, run_dir: Path, run_id: str) -> None:
    """Put the files of a run into its folder. Raises InfrastructureError: the archive is refused. OSError."""
    place = run_dir / PLACE
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    try:
        try:
            extract(archive, place)
        except InfrastructureError as error:
            raise InfrastructureError(error.what, "the run folder on the claim was changed or is damaged") from error
        for entry in (place / run_id).iterdir() if (place / run_id).is_dir() else ():
            if entry.name in OF_THE_HOST:
                continue
            if (run_dir / entry.name).is_dir():
                shutil.rmtree(run_dir / entry.name)
            entry.replace(run_dir / entry.name)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _wait_for(cluster: Cluster, pod: str) -> None:
    """Wait until a pod runs. Raises InfrastructureError: it does not. NoAnswer."""
    until_s, reason = time.monotonic() + STARTING_S, "no state"
    while time.monotonic() < until_s:
        found = cluster.pod(pod)
        if found is None:
            raise InfrastructureError(f"the pod {pod}, which reads the claim, was deleted", "take the job up again")
        if found.get("status", {}).get("phase") == "Running":
            return
        state = state_of({}, [found])
        reason = state.reason
        if state.end:
            break
        time.sleep(LOOK_S)
    raise InfrastructureError(
        f"the pod {pod}, which reads the claim, does not run ({reason})", "fix that, then take the job up again"
    )
