"""The cache of decoded and scaled pairs: a folder of files, each created once and mapped by every rank and later runs.

A process that has mapped a file keeps it when the file is removed.
"""

import contextlib
import json
import os
import platform
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from PIL import features

from gbench.base.files import cant_write, locked
from gbench.base.size import GIB, size_text
from gbench.errors import InfrastructureError
from gbench.pix2pix.data import pair_file
from gbench.pix2pix.data.pair_file import BROKEN, FORMAT, Identity, file_bytes, why_broken, write_pairs
from gbench.pix2pix.data.pairs import AlignedDataset
from gbench.pix2pix.data.transforms import Levels

PATIENCE_S = 300.0  # to wait for another run that is creating a file


class NoCache(Exception):
    """Why these pairs can't come from a cache; a run continues without one."""


@dataclass(frozen=True)
class CacheFolder:
    """The folder of the files, and the limit of their total size."""

    path: Path
    limit_bytes: int

    def file(self, identity: Identity) -> Path:
        text = json.dumps(identity, sort_keys=True)
        return self.path / f"{sha256(text.encode()).hexdigest()[:24]}.pairs"


def identity_of(dataset: AlignedDataset, dataset_sha256: str) -> Identity:
    """Everything that determines the levels: the files, their selection and scaling, and the decoders' versions."""
    config = dataset.config
    return {
        "format": FORMAT,
        "dataset_sha256": dataset_sha256,
        "phase": config.phase,
        "pairs": len(dataset),
        "preprocess": config.preprocess,
        "load_size": config.load_size,
        "crop_size": config.crop_size,
        "pillow": features.version("pil"),
        "jpeg": features.version("libjpeg_turbo") or features.version("jpg"),
        "machine": platform.machine(),  # the scaling filter's weights are computed in floating point
    }


def prepare(
    folder: CacheFolder, dataset: AlignedDataset, identity: Identity, say: Callable[[str], None] = lambda text: None
) -> str:
    """Find or create a valid file of `identity` in `folder`, for all ranks. Returns which of the two, in words.

    say: receives a line before the pairs are decoded.

    Raises:
        NoCache: the pairs differ in size or exceed the limit, the folder can't be written, or the disk is full.
        InfrastructureError: an image is not a usable pair.
    """
    path = folder.file(identity)
    with contextlib.suppress(OSError):  # no file yet
        _require_room(path.stat().st_size, folder)
    broken = why_broken(path, identity)
    if broken is not None:
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(folder.path / ".lock", PATIENCE_S, f"the cache in {folder.path}"))
            except InfrastructureError as error:
                raise NoCache(error.what) from error
            broken = why_broken(path, identity)  # another process may have created it meanwhile
            if broken is not None:
                _make(folder, path, dataset, identity, say)
                return f"made again: it was broken ({broken})" if broken else "made"
    with contextlib.suppress(OSError):  # another user's file
        os.utime(path)  # the least recently used files are removed first
    return "found"


def map_pairs(path: Path, identity: Identity) -> Levels:
    """`pair_file.map_pairs` of a file that `prepare` returned. Raises NoCache: it was removed or replaced meanwhile."""
    try:
        return pair_file.map_pairs(path, identity)
    except BROKEN as error:
        raise NoCache(f"{path} can't be mapped ({error})") from error


def _make(
    folder: CacheFolder, path: Path, dataset: AlignedDataset, identity: Identity, say: Callable[[str], None]
) -> None:
    """Decode all pairs into the file. The caller holds the folder's lock."""
    shape = dataset.levels(0).shape
    size = file_bytes(len(dataset), shape)
    _require_room(size, folder)
    say(f"decoding {len(dataset)} pairs once, into {path} ({size_text(size)})")

    def levels_of(index: int) -> Levels:
        levels = dataset.levels(index)
        if levels.shape != shape:
            one, other = (f"{each[-1]}x{each[-2]}" for each in (levels.shape, shape))
            raise NoCache(
                f"the halves of {dataset.paths[index]} are {one} pixels, those of {dataset.paths[0]} {other}, "
                f"and a cache holds one size"
            )
        return levels

    try:
        _make_room(folder, size)
        write_pairs(path, identity, shape, levels_of)
    except OSError as error:
        raise NoCache(cant_write(path, error).what) from error


def _make_room(folder: CacheFolder, size: int) -> None:
    """Remove partial files, then the least recently used ones, until `size` more bytes are within the limit."""
    for left in folder.path.glob("*.partial"):
        left.unlink(missing_ok=True)
    files = {path: path.stat() for path in folder.path.glob("*.pairs")}
    room = folder.limit_bytes - sum(stat.st_size for stat in files.values())
    for path in sorted(files, key=lambda path: files[path].st_mtime):
        if room >= size:
            return
        path.unlink(missing_ok=True)
        room += files[path].st_size


def _require_room(size: int, folder: CacheFolder) -> None:
    if size > folder.limit_bytes:
        raise NoCache(
            f"its pairs take {size_text(size)} once decoded, above --cache-limit {folder.limit_bytes / GIB:.3g}"
        )
