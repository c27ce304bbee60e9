"""Turn an error of Docker into one sentence that says what to do.

The texts matched here are those of the engine (20.10 to 29), the NVIDIA container toolkit and docker-py 7.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from gbench.errors import InfrastructureError

_NO_REGISTRY = "without a registry, make a base image with scripts/make-base-image.sh NAME, and give --from-image NAME"

# Messages of docker-py and urllib3 when no engine is reached.
NOT_REACHED = re.compile("Error while fetching server API version|Max retries exceeded|Invalid bind address")
SILENT = "Read timed out"
NO_PERMISSION = r"PermissionError\(13"
NESTED = re.compile(
    r"\[Errno -?\d+\] [\w ]+|(?<=: )Failed to [^()]+(?=\()|No such file or directory|Connection refused|timed out"
)
# Pattern of Docker's message; the reason, which may use the groups of the match; what to do.
_TABLE: tuple[tuple[str, str, str], ...] = (
    (
        r"docker-credential-(\S+) not installed|credentials store docker-credential-(\S+) exited with",
        r"its config.json names the credential helper docker-credential-\1\2, which is not installed or fails",
        "install it, or remove its credsStore or credHelpers from config.json (in ~/.docker, or DOCKER_CONFIG)",
    ),
    (
        r"pull access denied|manifest unknown|manifest for .+ not found|: not found$|unauthorized|toomanyrequests",
        "the registry refuses it, or does not have it",
        f"fix the name, or docker login; {_NO_REGISTRY}",
    ),
    (
        r'(?:Get|Head) "https?://|no such host|TLS handshake timeout|failed to resolve reference',
        "its registry can't be reached",
        _NO_REGISTRY,
    ),
    (
        NO_PERMISSION,
        "you have no permission on its socket",
        "join its group (sudo usermod -aG docker $USER, then log in again), or run without Docker: --runner local",
    ),
    (
        rf"FileNotFoundError\(2|Connection refused|Connection aborted|Connection reset|RemoteDisconnected|{SILENT}",
        "its engine does not answer",
        "start it (sudo systemctl start docker), name it in DOCKER_HOST, or run without Docker: --runner local",
    ),
    (
        r"could not select device driver|unresolvable CDI devices|unknown or invalid runtime name: nvidia",
        "it has no NVIDIA container toolkit to pass GPUs to a container",
        "install nvidia-container-toolkit and restart Docker, or run on the CPU: --device cpu",
    ),
    (
        r"error setting rlimit",
        "its engine may not raise the limit on locked memory, as GPU transfers need",
        "set LimitMEMLOCK=infinity for the engine's service, and give it CAP_SYS_RESOURCE if it runs in a container",
    ),
    (
        r"nvidia-container-cli: (.+?)(?:: unknown)?$",
        r"the NVIDIA container toolkit answers '\1'",
        "check that nvidia-smi works and lists at least DEVICE_COUNT GPUs",
    ),
    (
        r"no space left on device",
        "the disk of its data folder is full",
        "find what takes the space with docker system df, and free some, e.g. docker image prune",
    ),
    (
        r"bind source path does not exist: (.+)",
        r"\1 does not exist where the engine runs",
        "fix the path; the engine must run on this machine",
    ),
    (
        r'invalid mount config for type "bind": \w+ (\S+): permission denied|error mounting "([^"]+)".*permission',
        r"its root user may not enter \1\2, as on a network mount with root_squash",
        "take folders on a local disk (--datasets-dir, --results, --cache-dir), or let others enter it: chmod o+x",
    ),
    (
        r'exec: "bash": executable file not found',
        "the image has no bash to start the run script",
        "install bash in the image's Dockerfile, or leave CONT and DOCKERFILE unset for the project's own",
    ),
    (r"No such image", "the image does not exist", f"pull or build it; {_NO_REGISTRY}"),
    (r"non-zero code: (\d+)", r"a step of the Dockerfile ended with exit code \1", "see its last lines above"),
    (r"(dockerfile parse error .+)", r"\1", "fix the Dockerfile"),
)


def explain(message: str, doing: str) -> InfrastructureError:
    """The error for a message of Docker. doing: what failed, e.g. `start the container`."""
    for pattern, reason, hint in _TABLE:
        match = re.search(pattern, message, re.IGNORECASE | re.MULTILINE)
        if match:
            return InfrastructureError(f"Docker can't {doing}: {match.expand(reason)}", hint)
    return InfrastructureError(
        f"Docker can't {doing}: {' '.join(message.split())}", "see docker info, and the engine's own log"
    )


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn exceptions of docker-py and its HTTP layers into an InfrastructureError."""
    import docker.credentials
    import docker.errors
    import requests
    import urllib3

    try:
        yield
    except docker.errors.APIError as error:
        raise explain(str(error.explanation or error), doing) from error
    except (
        docker.errors.DockerException,
        docker.credentials.StoreError,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        ConnectionResetError,  # of the output stream, which docker-py reads off the bare socket
    ) as error:
        host = os.environ.get("DOCKER_HOST")
        if host and NOT_REACHED.search(str(error)) and not re.search(NO_PERMISSION, str(error)):
            raise InfrastructureError(
                f"Docker can't {doing}: no engine answers at DOCKER_HOST {host!r} ({_reason(str(error))})",
                "fix or unset DOCKER_HOST, or run without Docker: --runner local",
            ) from error
        raise explain(str(error), doing) from error


def _reason(message: str) -> str:
    """The last part of urllib3's nested messages: `[Errno -2] Name or service not known`."""
    found = NESTED.findall(message)
    return found[-1] if found else " ".join(message.split()).removeprefix("Error while fetching server API version: ")
