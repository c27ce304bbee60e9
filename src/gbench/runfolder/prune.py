"""Remove run folders. What runs, and what gbench did not name, stays."""

import os
import shutil
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from gbench.base import strict_json
from gbench.base.files import read_file
from gbench.base.paths import SESSION, SPEC, SWEEP
from gbench.errors import GbenchError, InfrastructureError, UsageError
from gbench.runfolder.find import began, run_folders
from gbench.runfolder.folder import LOCK, RunFolder
from gbench.runners.cluster_job import job_of_its_own
from gbench.settings.resolve import RUN_TIME

BY_ITS_OWNER = "remove it as its owner, or fix its permissions"
JUST_NOW_S = 60.0  # a container may outlive its gbench, and its run writes at least every 2 seconds


def own_runs(place: Path) -> list[Path]:
    """The run folders in a folder of results, newest first. Raises UsageError: it is that of a sweep or session."""
    if any((place / marker).exists() for marker in (SWEEP, SESSION)):
        raise UsageError(f"{place} is a sweep or session, to which its runs belong", "give the folder of results")
    return [path for path in run_folders(place) if path.parent == place]


def why_kept(folder: RunFolder) -> str | None:
    """Why a folder must not be removed; None if it may be. Raises InfrastructureError: it can't be determined."""
    if folder.path.is_symlink() or not _named_by_gbench(folder.path):
        return "not named by gbench"
    if folder.alive:
        return "running"
    if job_of_its_own(folder.path) is not None:
        return "its job is not taken up"
    if began(folder.path) > datetime.now(timezone.utc).strftime(RUN_TIME):
        return "its time is in the future"
    ended = None
    with suppress(GbenchError):
        ended = folder.host().ended_utc
    if ended is None and abs(time.time() - _last_written(folder.path)) < JUST_NOW_S:
        return "written to just now"
    for place in (folder.path, folder.path.parent):
        if not os.access(place, os.W_OK | os.X_OK):
            raise InfrastructureError(f"you may not write to {place}", BY_ITS_OWNER)
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
            why = f"{error.filename}: {error.strerror}"
            raise InfrastructureError(f"can't remove all of {folder.path} ({why})", BY_ITS_OWNER) from error


def _named_by_gbench(path: Path) -> bool:
    """Whether a folder has the name that its spec gives it; a user's own folder, or a renamed one, does not."""
    try:
        spec = strict_json.loads(read_file(path / SPEC))
    except (OSError, ValueError):
        return False
    return isinstance(spec, dict) and spec.get("run_id") == path.name


def _last_written(path: Path) -> float:
    return max(file.stat().st_mtime for file in path.iterdir() if not file.is_symlink())
