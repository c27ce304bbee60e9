"""Find run folders in the folder of results: all of them, or one by the beginning of its name, or the latest."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from gbench.base.files import is_there
from gbench.base.paths import SPEC
from gbench.errors import UsageError
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.state import is_starting
from gbench.settings.defaults import folder_of
from gbench.settings.resolve import RUN_TIME

LATEST = "latest"
NAMED = re.compile(r"\d{8}T\d{6}Z-")  # how the name of a run, a session or a sweep begins
SHOWN = 3  # candidates of an ambiguous name


def run_folders(results: Path, marker: str = SPEC) -> list[Path]:
    """The run folders in a folder of results and in the sessions and sweeps there, newest first.

    marker: the file that makes a folder one of a run, of a session or of a sweep.
    """
    folders = _folders(results) if is_there(results) else []
    for folder in tuple(folders):
        with suppress(OSError):  # `_is_one` looks why
            folders += _folders(folder)
    found = [path for path in folders if _is_one(path, marker)]
    return sorted(found, key=lambda path: (began(path, marker), path.name), reverse=True)


def _folders(place: Path) -> list[Path]:
    """The folders in a folder, and its links, which may lead nowhere. Raises OSError: it can't be listed."""
    with os.scandir(place) as found:
        return [place / entry.name for entry in found if entry.is_symlink() or entry.is_dir()]


def _is_one(path: Path, marker: str) -> bool:
    """Whether a folder has the marker; if that can't be determined, whether it has the name of one."""
    try:
        return is_there(path / marker)
    except NotADirectoryError:
        return False
    except OSError:
        return NAMED.match(path.name) is not None


def find_run(
    name: str, marker: str = SPEC, environ: Mapping[str, str] = os.environ, starting: bool = False
) -> Path | None:
    """The run folder whose name begins with `name`, or the newest if `name` is LATEST; None if there is none.

    starting: the newest may be a run without a measured step yet; else it is that only if there is no other.

    Raises UsageError: several begin so, or a default of the folder of results is invalid.
    """
    if not name or os.sep in name:
        return None
    found, name = run_folders(folder_of("results_dir", environ), marker), name.rstrip("…")  # as a narrow table cuts it
    if name == LATEST:
        readable = (path for path in found if starting or marker != SPEC or not is_starting(RunFolder(path)))
        return next(readable, found[0] if found else None)
    fitting = [path for path in found if path.name.startswith(name)]
    if len(fitting) > 1:
        named = ", ".join(path.name for path in fitting[:SHOWN]) + (", ..." if len(fitting) > SHOWN else "")
        raise UsageError(f"{len(fitting)} runs begin with {name}: {named}", "give more of the name")
    return fitting[0] if fitting else None


def began(path: Path, marker: str = SPEC) -> str:
    """When a run began, as RUN_TIME: by its name, or by its marker's time if somebody renamed it."""
    with suppress(ValueError):
        return datetime.strptime(path.name[:16], RUN_TIME).strftime(RUN_TIME)
    return datetime.fromtimestamp((path / marker).lstat().st_mtime, timezone.utc).strftime(RUN_TIME)
