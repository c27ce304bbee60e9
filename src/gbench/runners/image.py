"""The image of a run: its sources, its name, and its build.

The name of an image built here is CONT's with a hash of its sources in the tag, so that an image of other sources is
never used by mistake. A CONT with a digest (`name@sha256:...`, `sha256:...`) is used as is.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gbench import __version__
from gbench.base.files import is_locked, locked, make_folder, read_file
from gbench.base.paths import package_dir, project_file
from gbench.errors import InfrastructureError, UsageError
from gbench.runners.docker_errors import engine_errors, explain
from gbench.runners.engine import answering

if TYPE_CHECKING:
    import docker
    from docker.models.images import Image

SOURCE_LABEL = "org.gbench.source"
VERSION_LABEL = "org.gbench.version"
BASE_LABEL = "org.gbench.base-id"
BUILD_LOCK, BUILD_S = "build.lock", 3600  # in the cache folder; how long to wait for another gbench's build

# What the wheel is built from, in addition to the package: the image builds it.
PROJECT_FILES = ("pyproject.toml", "README.md", "LICENSE", "cndb/demo", "configs", "scripts")
_BASE_ARGUMENT = re.compile(r"^\s*ARG\s+FROM_IMAGE_NAME(?:=(\S+))?\s*$", re.MULTILINE | re.IGNORECASE)
# A name, and a tag that leaves room for the hash, by Docker's grammar (distribution/reference).
_PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?{_PART}(?:/{_PART})*)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,114}}))?"
)


@dataclass(frozen=True)
class ContextFile:
    path: str
    content: bytes
    executable: bool


@dataclass(frozen=True)
class ImagePlan:
    """The image to use and, unless it is pinned, what to build it from."""

    name: str
    pinned: bool
    base: str | None = None
    """The image to build on. None: the Dockerfile fixes it."""
    source_hash: str = ""
    files: tuple[ContextFile, ...] = ()

    @property
    def build_args(self) -> dict[str, str]:
        return {} if self.base is None else {"FROM_IMAGE_NAME": self.base}


def plan_image(cont: str, dockerfile: Path, from_image: str | None) -> ImagePlan:
    """Decide on the image by reading files only. from_image: a base image that replaces the Dockerfile's.

    Raises UsageError: `cont` is no image name, or `from_image` has no effect.
    """
    if "@" in cont or cont.startswith("sha256:"):
        if from_image:
            raise UsageError(f"--from-image has no effect on the pinned image {cont}", "leave one of the two out")
        return ImagePlan(cont, pinned=True)
    reference = _REFERENCE.fullmatch(cont)
    if reference is None:
        raise UsageError(
            f"CONT {cont!r} is not an image name",
            "write [registry/]name[:tag] in lower case, with a tag below 116 letters",
        )
    files = build_context(dockerfile)
    base = _base_of(dockerfile, from_image)
    source_hash = _hash(files, base)
    tag = f"{reference['tag'] or 'latest'}-{source_hash[:12]}"
    return ImagePlan(f"{reference['name']}:{tag}", False, base, source_hash, files)


def build_context(dockerfile: Path) -> tuple[ContextFile, ...]:
    """The files of the build context, sorted by path: the project's, with `dockerfile` as the Dockerfile."""
    sources = {"Dockerfile": dockerfile}
    for name in PROJECT_FILES:
        sources |= _walk(project_file(name), name)
    sources |= _walk(package_dir(), "src/gbench")
    return tuple(
        ContextFile(path, source.read_bytes(), bool(source.stat().st_mode & 0o100))
        for path, source in sorted(sources.items())
        if not path.startswith("src/gbench/assets/")  # an installed wheel's copy of PROJECT_FILES
    )


def ensure_image(
    client: docker.DockerClient, plan: ImagePlan, rebuild: bool, cache_dir: Path, on_line: Callable[[str], None]
) -> Image:
    """Find, build or (a pinned one) pull the image. One gbench of a cache folder builds at a time.

    rebuild: build it in any case, without Docker's cache.

    Raises InfrastructureError: it can't be pulled or built.
    """
    if plan.pinned:
        image = find_image(client, plan.name)
        if image is None and plan.name.startswith("sha256:"):
            raise InfrastructureError(
                f"there is no image {plan.name} on this machine",
                "see docker images --no-trunc; to pull an image, pin it by NAME@sha256:...",
            )
        return image or _pull(client, plan.name, on_line)
    if not rebuild and (image := _built(client, plan, on_line)):
        return image
    with ExitStack() as stack:
        with suppress(InfrastructureError):  # the folder can't be written, or a build takes too long: build as well
            make_folder(cache_dir)
            if is_locked(cache_dir / BUILD_LOCK):
                on_line("waiting for another gbench, which builds an image")
            stack.enter_context(locked(cache_dir / BUILD_LOCK, BUILD_S, "the build of an image"))
        if not rebuild and (image := _built(client, plan, on_line)):
            return image
        base = (find_image(client, plan.base) or _pull(client, plan.base, on_line)) if plan.base else None
        _report_digests(plan.base, base, on_line)
        return _build(client, plan, str(base.id) if base else "", rebuild, on_line)


def _built(client: docker.DockerClient, plan: ImagePlan, on_line: Callable[[str], None]) -> Image | None:
    """The image, if it is there, and is built on the base that is there."""
    image = find_image(client, plan.name)
    base = find_image(client, plan.base) if plan.base else None
    if image is None or (base and image.labels.get(BASE_LABEL) != base.id):
        return None
    on_line(f"image {plan.name} exists, built from the same sources")
    _report_digests(plan.base, base, on_line)
    return image


def base_digests(client: docker.DockerClient, image: Image) -> list[str]:
    """The digests of the base that an image was built from, `NAME@sha256:...`; none if this machine has it no more."""
    base = find_image(client, image.labels[BASE_LABEL]) if image.labels.get(BASE_LABEL) else None
    return digests_of(base) if base else []


def digests_of(image: Image) -> list[str]:
    return image.attrs.get("RepoDigests") or []


def _report_digests(name: str | None, base: Image | None, on_line: Callable[[str], None]) -> None:
    """Say which digest pins the base, unless its name does."""
    if name is None or base is None or "@" in name:
        return
    if digests := digests_of(base):
        on_line(f"base image {name} is now {digests[0]}: pin it with --from-image")
    else:
        on_line(f"warning: base image {name} has no digest: it comes from no registry, and can't be pinned")


def _base_of(dockerfile: Path, from_image: str | None) -> str | None:
    """The value of the Dockerfile's ARG FROM_IMAGE_NAME; None if it has no such ARG."""
    argument = _BASE_ARGUMENT.search(read_file(dockerfile))
    if argument is None:
        if from_image:
            raise UsageError(
                f"{dockerfile} has no ARG FROM_IMAGE_NAME, so --from-image has no effect",
                "add it before FROM, as in the project's Dockerfile, or leave --from-image out",
            )
        return None
    if from_image is None and argument[1] is None:
        raise UsageError(f"ARG FROM_IMAGE_NAME in {dockerfile} has no default", "give --from-image")
    return from_image or argument[1].strip("\"'")


def _walk(path: Path, name: str) -> dict[str, Path]:
    """The files at or below a path, by their name in the context; without caches and hidden files."""
    if path.is_file():
        return {name: path}
    found: dict[str, Path] = {}
    for child in path.iterdir():
        if not child.name.startswith(".") and child.name != "__pycache__":
            found |= _walk(child, f"{name}/{child.name}")
    return found


def _hash(files: tuple[ContextFile, ...], base: str | None) -> str:
    """SHA-256 over the base's name and every file's path, mode and content."""
    digest = hashlib.sha256(repr(base).encode())
    for file in files:
        digest.update(repr((file.path, file.executable, len(file.content))).encode() + file.content)
    return digest.hexdigest()


def _tar(files: tuple[ContextFile, ...]) -> io.BytesIO:
    """The context as a tar archive without dates and owners, so that equal sources hit Docker's cache."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path)
            entry.size, entry.mode = len(file.content), 0o755 if file.executable else 0o644
            archive.addfile(entry, io.BytesIO(file.content))
    buffer.seek(0)
    return buffer


def find_image(client: docker.DockerClient, name: str) -> Image | None:
    """The image with a name, an id or a digest; None if this machine lacks it. Raises InfrastructureError."""
    import docker.errors

    with engine_errors(f"look for the image {name}"):
        try:
            return client.images.get(name)
        except docker.errors.ImageNotFound:
            return None


def _pull(client: docker.DockerClient, name: str, on_line: Callable[[str], None]) -> Image:
    doing = f"pull the image {name}"
    on_line(f"pulling {name}")
    with engine_errors(doing), answering(doing):
        for line in _lines(client.api.pull(name, stream=True, decode=True), doing):
            on_line(line)
        return client.images.get(name)


def _build(
    client: docker.DockerClient, plan: ImagePlan, base_id: str, rebuild: bool, on_line: Callable[[str], None]
) -> Image:
    doing = f"build the image {plan.name}"
    on_line(f"building {plan.name}")
    with engine_errors(doing), answering(doing):
        events = client.api.build(
            fileobj=_tar(plan.files),
            custom_context=True,
            tag=plan.name,
            buildargs=plan.build_args,
            labels={SOURCE_LABEL: plan.source_hash, VERSION_LABEL: __version__, BASE_LABEL: base_id},
            nocache=rebuild,
            rm=True,
            forcerm=True,
            decode=True,
        )
        for line in _lines(events, doing):
            on_line(line)
        return client.images.get(plan.name)


def _lines(events: Iterator[dict[str, Any]], doing: str) -> Iterator[str]:
    """The whole lines of a build's or pull's event stream. Raises InfrastructureError: the stream reports an error."""
    text = ""
    for event in events:
        if "error" in event:
            raise explain(event["error"], doing)
        if "status" in event and not event.get("progressDetail"):  # of a pull; not each byte's progress
            yield f"{event['status']} {event.get('id', '')}".rstrip()
        text += re.sub(r"\x1b\[[0-9;]*m", "", event.get("stream", ""))
        *lines, text = text.split("\n")
        yield from (line for line in lines if line)
    if text:
        yield text
