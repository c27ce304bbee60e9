"""Docker's own words into one sentence that says what to do.

The texts matched here are those of the engine (20.10 to 29), the NVIDIA container toolkit and docker-py 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from gbench.errors import InfrastructureError

_NO_REGISTRY = (
    "with no registry at hand make a base image by scripts/make-base-image.sh NAME, and give --from-image NAME"
)

# What Docker says; the reason, which may use the groups of the match; what to do.
_TABLE: tuple[tuple[str, str, str], ...] = (
    (
        r"pull access denied|manifest unknown|manifest for .+ not found|: not found$|unauthorized|toomanyrequests",
        "the registry refuses it, or does not have it",
        f"mend the name, or docker login; {_NO_REGISTRY}",
    ),
    (
        r'(?:Get|Head) "https?://|no such host|TLS handshake timeout|failed to resolve reference',
        "its registry can't be reached",
        _NO_REGISTRY,
    ),
    (
        r"PermissionError\(13",
        "you have no permission on its socket",
        "join its group (sudo usermod -aG docker $USER, then log in again), or go without Docker: --runner local",
    ),
    (
        r"FileNotFoundError\(2|Connection refused|Connection aborted|Connection reset|RemoteDisconnected",
        "its engine does not answer",
        "start it (sudo systemctl start docker), name it in DOCKER_HOST, or go without Docker: --runner local",
    ),
    (
        r"could not select device driver|unresolvable CDI devices|unknown or invalid runtime name: nvidia",
        "it has no NVIDIA container toolkit to hand over GPUs with",
        "install nvidia-container-toolkit and restart Docker, or run on the CPU: --device cpu",
    ),
    (
        r"error setting rlimit",
        "its engine may not lift the limit on locked memory, which GPU transfers need",
        "set LimitMEMLOCK=infinity for the engine's service, and give it CAP_SYS_RESOURCE if it runs in a container",
    ),
    (
        r"nvidia-container-cli: (.+?)(?:: unknown)?$",
        r"the NVIDIA container toolkit answers '\1'",
        "see whether nvidia-smi works and lists as many GPUs as DEVICE_COUNT asks for",
    ),
    (
        r"no space left on device",
        "the disk of its data folder is full",
        "see what takes the space by docker system df, and free some, e.g. by docker image prune",
    ),
    (
        r"bind source path does not exist: (.+)",
        r"\1 does not exist where the engine runs",
        "mend the path; the engine must run on this machine",
    ),
    (
        r'exec: "bash": executable file not found',
        "the image holds no bash to start the run script with",
        "install bash in the image's Dockerfile, or leave CONT and DOCKERFILE out for the project's own",
    ),
    (r"No such image", "the image is not there", f"pull or build it; {_NO_REGISTRY}"),
    (r"non-zero code: (\d+)", r"a step of the Dockerfile ended with exit code \1", "see its last lines above"),
    (r"(dockerfile parse error .+)", r"\1", "mend the Dockerfile"),
)

# What a run script prints when it is not at fault itself; the reason; what to do.
_LOG_TABLE: tuple[tuple[str, str, str], ...] = (
    (
        r"shared memory\(shm\)|out of shared memory|Bus error",
        "it ran out of shared memory",
        "make /dev/shm larger (sudo mount -o remount,size=64g /dev/shm), or load without it: --set data.workers=0",
    ),
    (
        r"No space left on device",
        "the disk is full",
        "free some space, or have the results elsewhere; the log above names what could not be written",
    ),
)


def explain(message: str, doing: str) -> InfrastructureError:
    """The sentence for what Docker said while it was to do something, e.g. `doing="start the container"`."""
    for pattern, reason, hint in _TABLE:
        match = re.search(pattern, message, re.IGNORECASE | re.MULTILINE)
        if match:
            return InfrastructureError(f"Docker can't {doing}: {match.expand(reason)}", hint)
    return InfrastructureError(
        f"Docker can't {doing}: {' '.join(message.split())}", "see docker info, and the engine's own log"
    )


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn what docker-py and the HTTP layers under it raise into an InfrastructureError."""
    import docker.errors
    import requests
    import urllib3

    try:
        yield
    except docker.errors.APIError as error:
        raise explain(str(error.explanation or error), doing) from error
    except (
        docker.errors.DockerException,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        ConnectionResetError,  # of the output stream, which docker-py reads off the bare socket
    ) as error:
        raise explain(str(error), doing) from error


def known_log_failure(line: str) -> tuple[str, str] | None:
    """Reason and hint when a line of a failed run's output is one of the machine's failures, else None."""
    for pattern, reason, hint in _LOG_TABLE:
        if re.search(pattern, line):
            return reason, hint
    return None
