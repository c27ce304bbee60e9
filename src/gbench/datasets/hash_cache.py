"""Hashes of a dataset's files, kept in the cache folder: a launch reads only the files that have changed.

An entry holds for a file of the same size, inode and times. It is stored only if a later change can't go unseen:

- the file's last change is older than SETTLED_S: within a tick of its file system's clock, a second change would leave
  the same times;
- its file system is a local one, and its file times are of this machine's clock.

A cache file that is damaged, of another user, or of another dataset is ignored, and one that can't be written is no
error: then the files are hashed.
"""

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import psutil
from pydantic import BaseModel, Field, ValidationError

from gbench.base.files import make_folder, open_file, write_atomically
from gbench.datasets.manifest import FileEntry, hash_file, hash_files
from gbench.errors import InfrastructureError

HASHES = "hashes"  # in the cache folder
SETTLED_S = 3.0  # the coarsest clock of a file system has ticks of 2 s
LOCAL = {"bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jfs", "overlay", "squashfs", "tmpfs"}
LOCAL |= {"xfs", "zfs"}
HowHashed = Literal["computed", "partly cached", "cached"]
Stamp = tuple[int, int, int, int, int]  # device, inode, size in bytes, last change of content and of inode in ns


class CachedHash(BaseModel, frozen=True, extra="forbid"):
    """The hash of one file."""

    stamp: Stamp
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class HashCache(BaseModel, frozen=True, extra="forbid"):
    """A file in `hashes/`, of one dataset."""

    version: Literal[1] = 1
    root: str
    files: dict[str, CachedHash]
    """By path relative to `root`."""


class _Hashing:
    """One pass over the files of a dataset, in several threads."""

    def __init__(self, root: Path, known: dict[str, CachedHash]) -> None:
        self._root, self._known = root, known
        self._local: dict[int, bool] = {}
        self.kept: dict[str, CachedHash] = {}
        self.computed = 0

    def hash_file(self, path: Path) -> FileEntry:
        """As `manifest.hash_file`, from the cache if the file is unchanged."""
        name, before, now_ns = path.relative_to(self._root).as_posix(), _stamp(path), time.time_ns()
        known = self._known.get(name)
        if known is not None and known.stamp == before:
            self.kept[name] = known
            return FileEntry(sha256=known.sha256, size_bytes=known.stamp[2])
        entry = hash_file(path)
        self.computed += 1
        if before is not None and _settled(before, now_ns) and before == _stamp(path) and self._is_local(before, path):
            self.kept[name] = CachedHash(stamp=before, sha256=entry.sha256)
        return entry

    def _is_local(self, stamp: Stamp, path: Path) -> bool:
        device = stamp[0]
        if device not in self._local:
            self._local[device] = _file_system(path) in LOCAL
        return self._local[device]


def cached_hashes(root: Path, cache_dir: Path, rehash: bool = False) -> tuple[dict[str, FileEntry], HowHashed]:
    """As `manifest.hash_files`, and how many of the hashes came from the cache. rehash: none of them.

    Raises InfrastructureError: a file can't be read.
    """
    place = root.resolve()
    file = cache_dir / HASHES / f"{hashlib.sha256(os.fsencode(place)).hexdigest()[:24]}.json"
    known = {} if rehash else _read(file, place)
    hashing = _Hashing(root, known)
    files = hash_files(root, hashing.hash_file)
    if hashing.kept != known:
        content = HashCache(root=str(place), files=dict(sorted(hashing.kept.items())))
        with suppress(InfrastructureError):
            make_folder(file.parent)
            write_atomically(file, content.model_dump_json() + "\n")
    if not hashing.computed:
        return files, "cached"
    return files, "partly cached" if hashing.computed < len(files) else "computed"


def _read(file: Path, root: Path) -> dict[str, CachedHash]:
    """The entries of a cache file; none if it is missing, damaged, of another dataset or of another user."""
    with suppress(OSError, ValidationError), open_file(file) as stream:
        if os.fstat(stream.fileno()).st_uid == os.geteuid():
            found = HashCache.model_validate_json(stream.read())
            return found.files if found.root == str(root) else {}
    return {}


def _stamp(path: Path) -> Stamp | None:
    """What changes with a file; None if it can't be said."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return None


def _settled(stamp: Stamp, now_ns: int) -> bool:
    """Whether a change after `now_ns` gives the file another stamp."""
    return max(stamp[3:]) + round(SETTLED_S * 1e9) < now_ns


def _file_system(path: Path) -> str:
    """The type of a file's file system; empty if it is unknown."""
    mounts = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    place = path.resolve()
    return next((mounts[folder] for folder in place.parents if folder in mounts), "")
