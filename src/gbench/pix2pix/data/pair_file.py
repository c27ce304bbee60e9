"""The file format of decoded pairs, which every rank and later runs map into memory.

A file holds, in this order: a page with its identity and shape as JSON; every pair as levels 0 to 255, padded to 8
bytes; for every pair the sum of its 64-bit words, modulo 2^64. It appears complete, by a rename, and never changes.
"""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gbench.base import strict_json
from gbench.base.files import sync_folder, without_waiting
from gbench.pix2pix.data.transforms import Levels

FORMAT = 1  # increase it when the layout of the file or the levels of a pair change
HEADER_BYTES = 4096

BROKEN = (OSError, ValueError, LookupError, TypeError)  # what reading a damaged file raises

Identity = dict[str, Any]


def write_pairs(path: Path, identity: Identity, shape: tuple[int, ...], levels_of: Callable[[int], Levels]) -> None:
    """Write the pairs on all cores into a file next to `path`, sync it and rename it. Raises OSError.

    shape: of the levels of each pair. levels_of: decodes the pair of an index; called from several threads.
    """
    size, partial = file_bytes(identity["pairs"], shape), path.with_suffix(".partial")

    def write_pair(index: int) -> int:
        levels = levels_of(index)
        stored = np.zeros(_padded(shape), np.uint8)
        stored[: levels.size] = levels.reshape(-1)
        _write_at(handle, stored.tobytes(), HEADER_BYTES + index * stored.size)
        return int(_sums(stored[None])[0])

    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            os.posix_fallocate(handle, 0, size)  # a full disk fails here, before anything is decoded
            with ThreadPoolExecutor(available_cores()) as pool:
                sums = np.array(list(pool.map(write_pair, range(identity["pairs"]))), np.uint64)
            _write_at(handle, sums.tobytes(), size - sums.nbytes)
            _write_at(handle, json.dumps({"identity": identity, "shape": shape}).encode(), 0)
            os.fsync(handle)
        finally:
            os.close(handle)
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            partial.unlink()


def map_pairs(path: Path, identity: Identity) -> Levels:
    """The levels of a file, uint8 (pairs, 2 halves A and B, 3, height, width), mapped copy-on-write. Raises BROKEN."""
    with open(path, "rb", buffering=0, opener=without_waiting) as file:
        stored, _, shape = _open(file, identity)
    return np.asarray(stored)[:, : _bytes(shape)].reshape(len(stored), *shape)


def why_broken(path: Path, identity: Identity) -> str | None:
    """Read a whole file and return what is wrong with it; "" for a missing file, None for a valid one."""
    try:
        with open(path, "rb", buffering=0, opener=without_waiting) as file:
            stored, sums, _ = _open(file, identity)
            cores = available_cores()
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
    """The bytes of each pair with padding, their sums, and the shape of a pair. Raises BROKEN."""
    header = strict_json.loads(file.read(HEADER_BYTES).rstrip(b"\0"))
    if not isinstance(header, dict) or header.get("identity") != identity:
        raise ValueError("it is of something else")
    shape = tuple(header["shape"])
    stored_shape = (identity["pairs"], _padded(shape))
    size, expected = os.fstat(file.fileno()).st_size, file_bytes(identity["pairs"], shape)
    if size != expected:
        raise ValueError(f"it has {size} bytes in place of {expected}")
    stored = np.memmap(file, np.uint8, "c", HEADER_BYTES, stored_shape)
    sums = np.memmap(file, np.uint64, "c", HEADER_BYTES + stored.size, (len(stored),))
    return stored, sums, shape


def available_cores() -> int:
    return len(os.sched_getaffinity(0))


def _write_at(handle: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(handle, rest, offset)
        rest, offset = rest[written:], offset + written


def _sums(stored: Levels) -> npt.NDArray[np.uint64]:
    """The sum of the 64-bit words of each pair, which any changed byte changes; as fast as reading."""
    sums: npt.NDArray[np.uint64] = stored.view(np.uint64).sum(axis=1, dtype=np.uint64)
    return sums


def _bytes(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _padded(shape: tuple[int, ...]) -> int:
    return -(-_bytes(shape) // 8) * 8


def file_bytes(pairs: int, shape: tuple[int, ...]) -> int:
    return HEADER_BYTES + pairs * (_padded(shape) + 8)
