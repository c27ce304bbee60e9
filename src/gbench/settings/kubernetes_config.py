"""What `--runner kubernetes` asks of the cluster: the values of its own options. Imports nothing heavy."""

import re

from pydantic import BaseModel, ConfigDict, PositiveFloat

from gbench.errors import UsageError
from gbench.settings.cluster_options import given_options
from gbench.settings.literals import RunnerName
from gbench.settings.request import OF_KUBERNETES, Request

IMAGE = re.compile(r"[\w.-]+(:\d+)?(/[a-z0-9._-]+)*(:[\w.-]{1,128})?(@sha256:[0-9a-f]{64})?", re.ASCII)
CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)  # as Kubernetes names objects


class KubernetesConfig(BaseModel):
    """The options of a TrainJob. Request describes each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    claim: str
    queue_timeout_s: PositiveFloat | None = None
    allow: tuple[str, ...] = ()
    """Fields in which the nodes may differ, as `--allow` of gbench launch names them."""


def kubernetes_config(request: Request, runner: RunnerName) -> KubernetesConfig | None:
    """The options of the job that runs a request; None for another runner. Raises UsageError: one is invalid."""
    given = given_options(request, runner, "kubernetes", OF_KUBERNETES)
    if given is None:
        return None
    if not request.image:
        raise UsageError(
            "--runner kubernetes needs an image in a registry that the cluster's nodes reach",
            "push one (docs/kubernetes.md), and give --image REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:...",
        )
    if not IMAGE.fullmatch(request.image):
        raise UsageError(f"--image {request.image!r} is no name of an image", "give --image REGISTRY/NAME:TAG")
    if not CLAIM.fullmatch(given.get("claim", "")):
        found = f"--claim {given['claim']!r} is no name of one" if "claim" in given else "none is given"
        raise UsageError(
            f"--runner kubernetes needs the PersistentVolumeClaim that holds the dataset: {found}", "give --claim NAME"
        )
    if request.datasets_dir is not None:
        raise UsageError(
            "--datasets-dir has no effect with --runner kubernetes: the dataset is a folder of the claim",
            "leave it out",
        )
    return KubernetesConfig(**given)
