"""Locations of files: the project's own, in a checkout or in an installed wheel's `gbench/assets/`; and the user's."""

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from gbench.base.files import NO_FILE, STREAM, make_folder
from gbench.errors import InfrastructureError, UsageError

NO_HOME = Path("/nonexistent")  # of users without a home folder, as Debian calls it
DEFAULT_DATASETS_DIR = "data"
# Which make a folder that of a run, a sweep, a session, a search, a calibration
SPEC, SWEEP, SESSION, BISECT, CALIBRATE = "spec.json", "sweep.json", "ab.json", "bisect.json", "calibrate.json"


def package_dir() -> Path:
    return Path(__file__).resolve().parents[1]


def project_file(relative: str) -> Path:
    """A file or folder of the project: `configs`, `scripts/pt-pix2pix.sh`, `Dockerfile`, `pyproject.toml` ..."""
    checkout = package_dir().parents[1]
    if (checkout / "pyproject.toml").is_file() and (checkout / "src" / "gbench") == package_dir():
        return checkout / relative
    return package_dir() / "assets" / relative


def checkout_dir() -> Path | None:
    """The git checkout that this package runs from; None if it is installed."""
    root = project_file("pyproject.toml").parent
    return root if (root / ".git").exists() else None


def expanded(path: str | Path) -> Path:
    """A path with `~` and `~user` expanded. Raises UsageError: there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{path}: nobody here has that home folder", "fix the name, or write ./~ for a file"
        ) from error


def require_readable(path: Path, kind: Literal["file", "folder", "any"] = "any") -> None:
    """Check a path that the user named.

    Raises UsageError: it is not there. InfrastructureError: it can't be read, or is not of this kind.
    """
    place = expanded(path)
    try:
        mode = place.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise UsageError(f"{path} can't be read ({getattr(error, 'strerror', error)})", "fix the path") from error
    except PermissionError as error:
        raise InfrastructureError(f"{path} can't be read ({error.strerror})", "fix its permissions") from error
    is_folder = stat.S_ISDIR(mode)
    if not is_folder and not stat.S_ISREG(mode) and not STREAM.fullmatch(str(place)):
        raise InfrastructureError(f"{path} can't be read ({NO_FILE})", "give a file or a folder")
    if kind != "any" and is_folder != (kind == "folder"):
        why = os.strerror(errno.EISDIR if is_folder else errno.ENOTDIR)
        raise InfrastructureError(f"{path} can't be read ({why})", f"give a {kind}")
    if not os.access(place, os.R_OK | (os.X_OK if is_folder else 0)):
        raise InfrastructureError(f"{path} can't be read ({os.strerror(errno.EACCES)})", "fix its permissions")


def user_dir(environ: Mapping[str, str], variable: str, name: str) -> Path:
    """A folder of the user's: that of the variable, else the one in their home; below NO_HOME if they have none."""
    if given := environ.get(variable):
        return expanded(given)
    try:
        return Path.home() / name
    except RuntimeError:
        return NO_HOME / name


def user_cache_dir(environ: Mapping[str, str]) -> Path:
    """The user's cache folder: $XDG_CACHE_HOME, or ~/.cache."""
    return user_dir(environ, "XDG_CACHE_HOME", ".cache")


def make_cache_folder(folder: Path) -> None:
    """Create a folder for the cache. Raises InfrastructureError: it can't be created, or the user has no home."""
    if NO_HOME in folder.parents:
        raise InfrastructureError(
            "there is no place for a cache: this user has no home folder", "set HOME, or give --cache-dir"
        )
    make_folder(folder)
