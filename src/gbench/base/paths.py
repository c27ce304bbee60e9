"""Locations of files: the project's own, in a checkout or in an installed wheel's `gbench/assets/`; and the user's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gbench.errors import UsageError


def package_dir() -> Path:
    """The folder of the `gbench` package itself."""
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


def user_cache_dir(environ: Mapping[str, str]) -> Path:
    """The user's cache folder: $XDG_CACHE_HOME, or ~/.cache."""
    return expanded(environ.get("XDG_CACHE_HOME") or "~/.cache")
