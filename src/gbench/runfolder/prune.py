"""Remove run folders. What runs, and what gbench did not name, stays."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

from gbench.base import strict_json
from gbench.errors import GbenchError, InfrastructureError
from gbench.runfolder.folder import LOCK, SPEC, RunFolder

JUST_NOW_S = 60.0  # a container may outlive its gbench, and its run writes at least every 2 seconds


def why_kept(folder: RunFolder) -> str | None:
    """Why a folder must not be removed; None if it may be."""
    if folder.path.is_symlink() or not _named_by_gbench(folder.path):
        return "not named by gbench"
    if folder.alive:
        return "running"
    ended = None
    with suppress(GbenchError):
        ended = folder.host().ended_utc
    if ended is None and time.time() - _last_written(folder.path) < JUST_NOW_S:
        return "written to just now"
    return None


def size_of(path: Path) -> int:
    """The bytes that a folder takes on its disk."""
    return sum(file.lstat().st_blocks * 512 for file in (path, *path.rglob("*")))


def remove(folder: RunFolder) -> None:
    """Remove a run folder. If it is stopped halfway, the folder is still that of a run, and can be removed again.

    Raises InfrastructureError: a process runs in it, or a file can't be removed.
    """
    with folder.taken():
        try:
            for entry in folder.path.iterdir():
                if entry.name in (SPEC, LOCK):
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
            shutil.rmtree(folder.path)
        except OSError as error:
            raise InfrastructureError(
                f"can't remove {error.filename} ({error.strerror})", "remove it as its owner"
            ) from error


def _named_by_gbench(path: Path) -> bool:
    """Whether a folder has the name that its spec gives it; a user's own folder, or a renamed one, does not."""
    try:
        spec = strict_json.loads((path / SPEC).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(spec, dict) and spec.get("run_id") == path.name


def _last_written(path: Path) -> float:
    return max(file.stat().st_mtime for file in path.iterdir() if not file.is_symlink())
