"""A software bill of materials of an image, in CycloneDX 1.6: its Python and its Debian packages."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gbench.errors import InfrastructureError, UsageError
from gbench.runners.docker_errors import engine_errors

if TYPE_CHECKING:
    import docker
    from docker.models.images import Image

# Prints [type, namespace, name, version] of each package; a Debian-like distribution's name is the namespace.
LIST_PACKAGES = """
import json, platform, shutil, subprocess
from importlib.metadata import distributions
found = [["pypi", None, one.metadata["Name"], one.version] for one in distributions() if one.metadata["Name"]]
if shutil.which("dpkg-query"):
    distribution = platform.freedesktop_os_release()["ID"]
    lines = subprocess.check_output(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n"], text=True).splitlines()
    found += [["deb", distribution, *line.split()] for line in lines]
print(json.dumps(found))
"""


def sbom_of(client: docker.DockerClient, image: Image, name: str) -> str:
    """The bill of materials of an image, as JSON. It lists packages in a container without a network.

    Raises UsageError: the extra is missing; InfrastructureError: the image can't list its packages.
    """
    try:
        import cyclonedx  # noqa: F401
    except ImportError as error:
        raise UsageError("--sbom needs the extra sbom", "pip install 'gbench[sbom]'") from error
    with engine_errors(f"list the packages of {name}"):
        printed = client.containers.run(
            str(image.id), ["python3", "-c", LIST_PACKAGES], remove=True, network_mode="none", cap_drop=["ALL"]
        )
    try:
        packages = json.loads(printed)
    except ValueError as error:
        raise InfrastructureError(f"the image {name} can't list its packages", "see its python3") from error
    return _as_cyclonedx(packages, name, str(image.id))


def _as_cyclonedx(packages: Iterable[list[str]], name: str, image_id: str) -> str:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    bom = Bom()
    bom.metadata.component = root = Component(name=name, version=image_id, type=ComponentType.CONTAINER)
    urls = {
        str(url): url for url in (PackageURL(kind, space, name, version) for kind, space, name, version in packages)
    }
    components = [Component(name=url.name, version=url.version, purl=url, bom_ref=text) for text, url in urls.items()]
    bom.components.update(components)
    bom.register_dependency(root, components)
    return JsonV1Dot6(bom).output_as_string(indent=2)
