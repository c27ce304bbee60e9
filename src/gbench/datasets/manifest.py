"""Write manifest.json, the files of a dataset with their hashes, and verify the dataset against it.

Only images below the phase folders count; other files are ignored.
"""

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, NonNegativeInt

from gbench.base.faults import remedy_of
from gbench.base.files import open_file, write_atomically
from gbench.base.json_file import read_json
from gbench.datasets.layout import PHASES, list_images
from gbench.errors import InfrastructureError

MOST_MEMBERS = 400_000  # a file has three
MANIFEST_NAME = "manifest.json"


class FileEntry(BaseModel, frozen=True, extra="forbid"):
    sha256: str
    size_bytes: NonNegativeInt


class Manifest(BaseModel, frozen=True, extra="forbid"):
    manifest_version: Literal[1] = 1
    name: str
    source: str
    """Address or path of the archive, or how the dataset was drawn."""
    counts: dict[str, NonNegativeInt]
    dataset_sha256: str
    files: dict[str, FileEntry]


class PreparedDataset(NamedTuple):
    manifest: Manifest
    fresh: bool
    """Made by this call; False: it existed, and was verified."""


class Problem(NamedTuple):
    """One way in which a dataset differs from its manifest."""

    kind: Literal["missing", "changed", "extra", "inconsistent"]
    path: str
    """Relative to the dataset's root."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}"


def hash_file(path: Path) -> FileEntry:
    """Size and SHA-256 of one file. Raises InfrastructureError: it can't be read."""
    digest = hashlib.sha256()
    size_bytes = 0
    try:
        with open_file(path) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                size_bytes += len(chunk)
    except OSError as error:
        if path.is_symlink() and not path.exists():
            gone = f"{path} can't be read (a link to {path.readlink()}, which is not there)"
            raise InfrastructureError(gone, "remove the link") from error
        why = f"{path} can't be read ({error.strerror})"
        raise InfrastructureError(why, remedy_of(error, "fix its permissions")) from error
    return FileEntry(sha256=digest.hexdigest(), size_bytes=size_bytes)


def hash_files(root: Path, hash_one: Callable[[Path], FileEntry] = hash_file) -> dict[str, FileEntry]:
    """Every image of the dataset by its path relative to `root`, in several threads.

    Raises InfrastructureError: a file can't be read.
    """
    paths = [path for phase in PHASES for path in list_images(root / phase)]
    with ThreadPoolExecutor() as pool:
        entries = pool.map(hash_one, paths)
        return {path.relative_to(root).as_posix(): entry for path, entry in zip(paths, entries, strict=True)}


def combine(files: Mapping[str, FileEntry]) -> str:
    """One SHA-256 over the sorted lines `PATH SHA256`: the identity of the dataset's content."""
    lines = (f"{path} {files[path].sha256}\n" for path in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def dataset_hash(root: Path) -> str:
    """The dataset's identity, from its files alone; equal to the manifest's if the dataset is intact."""
    return combine(hash_files(root))


def write_manifest(root: Path, name: str, source: str) -> Manifest:
    """Hash the dataset and write its manifest. Raises InfrastructureError: a file can't be read or written."""
    files = hash_files(root)
    counts = {phase: sum(path.startswith(f"{phase}/") for path in files) for phase in PHASES}
    manifest = Manifest(name=name, source=source, counts=counts, dataset_sha256=combine(files), files=files)
    write_atomically(root / MANIFEST_NAME, manifest.model_dump_json(indent=1) + "\n")
    return manifest


def read_manifest(root: Path) -> Manifest:
    """The dataset's manifest. Raises InfrastructureError: it is missing or invalid."""
    missing = f"if it is the facades set, `gbench data prepare facades --out {root}` checks it and writes one"
    again = "prepare the dataset again"
    return read_json(root / MANIFEST_NAME, Manifest, "a manifest", missing, again, MOST_MEMBERS)


def find_problems(root: Path, manifest: Manifest, here: Mapping[str, FileEntry] | None = None) -> list[Problem]:
    """How the dataset differs from its manifest, sorted by path. here: its files, if they are already hashed.

    Raises InfrastructureError: as `hash_files`.
    """
    here, wanted = hash_files(root) if here is None else here, manifest.files
    problems = [Problem("missing", path) for path in wanted.keys() - here.keys()]
    problems += [Problem("extra", path) for path in here.keys() - wanted.keys()]
    problems += [Problem("changed", path) for path in here.keys() & wanted.keys() if here[path] != wanted[path]]
    if combine(manifest.files) != manifest.dataset_sha256:
        problems.append(Problem("inconsistent", MANIFEST_NAME))
    return sorted(problems, key=lambda problem: problem.path)


def require_intact(root: Path, here: Mapping[str, FileEntry] | None = None) -> Manifest:
    """The manifest of an intact dataset. here: as in `find_problems`.

    Raises InfrastructureError: it has none, or differs from it.
    """
    manifest = read_manifest(root)
    if problems := find_problems(root, manifest, here):
        raise InfrastructureError(
            f"the dataset in {root} differs from its manifest in {len(problems)} place(s), first {problems[0]}",
            f"`gbench data verify {root}` lists them; move the folder away and prepare it again",
        )
    return manifest
