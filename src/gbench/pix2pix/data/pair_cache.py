"""The decoded and scaled pairs of a dataset in one file, made once, mapped by every rank and by later runs.

A file holds, in this order: a page with its identity and shape as JSON; every pair as levels 0 to 255, padded to 8
bytes; for every pair the sum of its 64-bit words, modulo 2^64. It appears whole, by a rename, and is never changed: who
has mapped it keeps it, whatever becomes of its name.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import features

from gbench.base.files import cant_write, locked, sync_folder
from gbench.errors import InfrastructureError
from gbench.pix2pix.data.pairs import AlignedDataset

FORMAT = 1  # raise it with the file's form, and with whatever changes the levels of a pair
HEADER_BYTES = 4096
PATIENCE_S = 300.0  # for another run that is making a file
GIB = 1024**3

BROKEN = (OSError, ValueError, LookupError, TypeError)  # what reading a file raises that is not as it was written

Levels = npt.NDArray[np.uint8]
Identity = dict[str, Any]


class NoCache(Exception):
    """Why these pairs can't come from a cache, in words; a run goes on without one."""


@dataclass(frozen=True)
class CacheFolder:
    """Where the files lie, and how much they may take together."""

    path: Path
    limit_bytes: int

    def file(self, identity: Identity) -> Path:
        """The file of one identity."""
        text = json.dumps(identity, sort_keys=True)
        return self.path / f"{sha256(text.encode()).hexdigest()[:24]}.pairs"


def identity_of(dataset: AlignedDataset, dataset_sha256: str) -> Identity:
    """All that decides the levels: the files, which of them, how they are scaled, and what decodes and scales them."""
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
        "machine": platform.machine(),  # the filter's weights are floating-point until they are rounded
    }


def prepare(
    folder: CacheFolder, dataset: AlignedDataset, identity: Identity, say: Callable[[str], None] = lambda text: None
) -> str:
    """Have a sound file of `identity` in `folder`, for all ranks. Gives how it came there, in words.

    Args:
        say: told what is under way, where it takes a while.

    Raises:
        NoCache: the pairs differ in size or are above the limit, the folder can't be written, the disk is full.
        InfrastructureError: a picture is no usable pair.
    """
    path = folder.file(identity)
    with contextlib.suppress(OSError):  # there is none yet
        _require_room(path.stat().st_size, folder)
    broken = _why_broken(path, identity)
    if broken is not None:
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(folder.path / ".lock", PATIENCE_S, f"the cache in {folder.path}"))
            except InfrastructureError as error:
                raise NoCache(error.what) from error
            broken = _why_broken(path, identity)  # someone else may have made it meanwhile
            if broken is not None:
                _make(folder, path, dataset, identity, say)
                return f"made anew: it was broken ({broken})" if broken else "made"
    with contextlib.suppress(OSError):  # someone else's file
        os.utime(path)  # used: not the first to make room for another
    return "found"


def map_pairs(path: Path, identity: Identity) -> Levels:
    """The levels of a file that `prepare` has found sound: (pairs, 2 halves A and B, 3, height, width).

    They are the process's own to write to, as torch wants its arrays, at the cost of a page each; the file stays.

    Raises:
        NoCache: it is not there any more, or another one.
    """
    try:
        with path.open("rb", buffering=0) as file:
            stored, _, shape = _open(file, identity)
    except BROKEN as error:
        raise NoCache(f"{path} can't be mapped ({error})") from error
    return np.asarray(stored)[:, : _bytes(shape)].reshape(len(stored), *shape)


def _why_broken(path: Path, identity: Identity) -> str | None:
    """What is wrong with a file, in words, "" where there is none; None when all of it is sound."""
    try:
        with path.open("rb", buffering=0) as file:
            stored, sums, _ = _open(file, identity)
            cores = _cores()
            with ThreadPoolExecutor(cores) as pool:
                found = list(pool.map(_sums, np.array_split(stored, cores)))
            if not np.array_equal(np.concatenate(found), sums):
                return "a pair does not have the sum that was written with it"
    except FileNotFoundError:
        return ""
    except BROKEN as error:
        return f"{type(error).__name__}: {error}"
    return None


def _open(file: FileIO, identity: Identity) -> tuple[Levels, npt.NDArray[np.uint64], tuple[int, ...]]:
    """The stored bytes of each pair, padding included, their sums, and a pair's shape. Raises BROKEN."""
    header = json.loads(file.read(HEADER_BYTES).rstrip(b"\0"))
    if not isinstance(header, dict) or header.get("identity") != identity:
        raise ValueError("it is of something else")
    shape = tuple(header["shape"])
    stored_shape = (identity["pairs"], _padded(shape))
    size, expected = os.fstat(file.fileno()).st_size, _size(identity["pairs"], shape)
    if size != expected:
        raise ValueError(f"it has {size} bytes in place of {expected}")
    stored = np.memmap(file, np.uint8, "c", HEADER_BYTES, stored_shape)
    sums = np.memmap(file, np.uint64, "c", HEADER_BYTES + stored.size, (len(stored),))
    return stored, sums, shape


def _make(
    folder: CacheFolder, path: Path, dataset: AlignedDataset, identity: Identity, say: Callable[[str], None]
) -> None:
    """Decode all pairs by all cores into a file beside `path`, then rename it. The caller has the folder's lock."""
    shape = dataset.levels(0).shape
    size = _size(len(dataset), shape)
    _require_room(size, folder)
    say(f"decoding {len(dataset)} pairs once, into {path} ({size / GIB:.3g} GiB)")
    header = json.dumps({"identity": identity, "shape": shape}).encode()
    partial = path.with_suffix(".partial")

    def write_pair(index: int) -> int:
        levels = dataset.levels(index)
        if levels.shape != shape:
            one, other = (f"{each[-1]}x{each[-2]}" for each in (levels.shape, shape))
            raise NoCache(
                f"the halves of {dataset.paths[index]} are {one} pixels, those of {dataset.paths[0]} {other}, "
                f"and a cache holds one size"
            )
        stored = np.zeros(_padded(shape), np.uint8)
        stored[: levels.size] = levels.reshape(-1)
        _write_at(handle, stored.tobytes(), HEADER_BYTES + index * stored.size)
        return int(_sums(stored[None])[0])

    try:
        _make_room(folder, size)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            os.posix_fallocate(handle, 0, size)  # a disk that is too small says so now, not when all others suffer
            with ThreadPoolExecutor(_cores()) as pool:
                sums = np.array(list(pool.map(write_pair, range(len(dataset)))), np.uint64)
            _write_at(handle, sums.tobytes(), size - sums.nbytes)
            _write_at(handle, header, 0)
            os.fsync(handle)
        finally:
            os.close(handle)
        partial.replace(path)
        sync_folder(folder.path)
    except OSError as error:
        raise NoCache(cant_write(path, error).what) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _make_room(folder: CacheFolder, size: int) -> None:
    """Remove what dead processes left, and the files not used for longest, until `size` more are within the limit."""
    for left in folder.path.glob("*.partial"):
        left.unlink(missing_ok=True)
    files = {path: path.stat() for path in folder.path.glob("*.pairs")}
    room = folder.limit_bytes - sum(stat.st_size for stat in files.values())
    for path in sorted(files, key=lambda path: files[path].st_mtime):
        if room >= size:
            return
        path.unlink(missing_ok=True)
        room += files[path].st_size


def _cores() -> int:
    """Those that this process may use, while the other ranks wait."""
    return len(os.sched_getaffinity(0))


def _write_at(handle: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(handle, rest, offset)
        rest, offset = rest[written:], offset + written


def _sums(stored: Levels) -> npt.NDArray[np.uint64]:
    """Of each pair: the sum of its 64-bit words. One changed byte changes it; reading is all that it costs."""
    sums: npt.NDArray[np.uint64] = stored.view(np.uint64).sum(axis=1, dtype=np.uint64)
    return sums


def _bytes(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _padded(shape: tuple[int, ...]) -> int:
    return -(-_bytes(shape) // 8) * 8


def _size(pairs: int, shape: tuple[int, ...]) -> int:
    return HEADER_BYTES + pairs * (_padded(shape) + 8)


def _require_room(size: int, folder: CacheFolder) -> None:
    if size > folder.limit_bytes:
        raise NoCache(
            f"its pairs take {size / GIB:.3g} GiB once decoded, above --cache-limit {folder.limit_bytes / GIB:.3g}"
        )
