"""The images of one repository on this machine, in the order in which they were built."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gbench.errors import UsageError
from gbench.runners.docker_errors import engine_errors
from gbench.runners.engine import connect
from gbench.runners.image import find_image

if TYPE_CHECKING:
    import docker
    from docker.models.images import Image


def images_between(good: str, bad: str) -> dict[str, str]:
    """The names of the images of GOOD's repository from GOOD to BAD, by their ids without `sha256:`, the oldest first.

    good, bad: a name, a digest or an id.

    Raises UsageError: this machine lacks one of the two, GOOD has no name, BAD is not a later image of the same name,
    or two images are of the same second. InfrastructureError: Docker is unavailable.
    """
    client = connect()
    older, newer = (_image(client, name) for name in (good, bad))
    names = _names(older.attrs)
    if not names:
        raise UsageError(f"the image {good} has no name, so its successors are unknown", "tag it: docker tag")
    given = {good, f"{good}:latest"}  # it may have several names
    repository = _repository(next((name for name in names if name in given), names[0]))
    with engine_errors(f"list the images of {repository}"):
        found = client.api.images(name=repository)
    built = {image["Id"]: image["Created"] for image in found}  # seconds since 1970
    first, last = built.get(older.id), built.get(newer.id)
    if first is None or last is None or last < first or older.id == newer.id:
        raise UsageError(f"BAD {bad} is not an image of {repository} built after GOOD {good}", "see docker images")
    versions: dict[int, tuple[str, str]] = {}
    for image in sorted(found, key=lambda image: image["Created"]):
        if first <= image["Created"] <= last:
            name = next(name for name in _names(image) if _repository(name) == repository)
            other = versions.setdefault(image["Created"], (image["Id"].removeprefix("sha256:"), name))[1]
            if other != name:
                raise UsageError(
                    f"{other} and {name} were built in the same second, so which is older is unknown",
                    "remove one of the two: docker rmi",
                )
    return dict(versions.values())


def _names(image: Mapping[str, Any]) -> list[str]:
    """The names of an image: with tags; with digests for one that was pulled by its digest, and has no tag."""
    return [
        name for key in ("RepoTags", "RepoDigests") for name in image.get(key) or () if not name.startswith("<none>")
    ]


def _repository(name: str) -> str:
    return name.partition("@")[0] if "@" in name else name.rpartition(":")[0]


def _image(client: "docker.DockerClient", name: str) -> "Image":
    image = find_image(client, name)
    if image is None:
        raise UsageError(f"there is no image {name} on this machine", "see docker images; pull or build it first")
    return image
