"""The images of one repository on this machine, in the order in which they were built."""

from typing import TYPE_CHECKING

from gbench.errors import UsageError
from gbench.runners.docker_errors import engine_errors
from gbench.runners.engine import connect
from gbench.runners.image import find_image

if TYPE_CHECKING:
    import docker
    from docker.models.images import Image

UNNAMED = "<none>:<none>"


def images_between(good: str, bad: str) -> dict[str, str]:
    """The names of the images of GOOD's repository from GOOD to BAD, by their ids without `sha256:`, the oldest first.

    good, bad: a name, a digest or an id.

    Raises UsageError: this machine lacks one of the two, GOOD has no name, BAD is not a later image of the same name,
    or two images are of the same second. InfrastructureError: Docker is unavailable.
    """
    client = connect()
    older, newer = (_image(client, name) for name in (good, bad))
    tags = [tag for tag in older.tags if tag != UNNAMED]
    if not tags:
        raise UsageError(f"the image {good} has no name, so its successors are unknown", "tag it: docker tag")
    repository = tags[0].rpartition(":")[0]
    with engine_errors(f"list the images of {repository}"):
        found = client.api.images(name=repository)
    built = {image["Id"]: image["Created"] for image in found}  # seconds since 1970
    first, last = built.get(older.id), built.get(newer.id)
    if first is None or last is None or last < first or older.id == newer.id:
        raise UsageError(f"BAD {bad} is not an image of {repository} built after GOOD {good}", "see docker images")
    names: dict[int, tuple[str, str]] = {}
    for image in sorted(found, key=lambda image: image["Created"]):
        if first <= image["Created"] <= last:
            name = next(tag for tag in image["RepoTags"] if tag.startswith(f"{repository}:"))
            other = names.setdefault(image["Created"], (image["Id"].removeprefix("sha256:"), name))[1]
            if other != name:
                raise UsageError(
                    f"{other} and {name} were built in the same second, so which is older is unknown",
                    "remove one of the two: docker rmi",
                )
    return dict(names.values())


def _image(client: "docker.DockerClient", name: str) -> "Image":
    image = find_image(client, name)
    if image is None:
        raise UsageError(f"there is no image {name} on this machine", "see docker images; pull or build it first")
    return image
