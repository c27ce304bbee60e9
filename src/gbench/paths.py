"""Where the project's own files lie: in a checkout beside `src/`, in an installed wheel under `gbench/assets/`."""

from __future__ import annotations

from pathlib import Path


def package_dir() -> Path:
    """The folder of the `gbench` package itself."""
    return Path(__file__).resolve().parent


def project_file(relative: str) -> Path:
    """A file or folder of the project: `configs`, `scripts/pt-pix2pix.sh`, `Dockerfile`, `pyproject.toml` ..."""
    checkout = package_dir().parents[1]
    if (checkout / "pyproject.toml").is_file() and (checkout / "src" / "gbench") == package_dir():
        return checkout / relative
    return package_dir() / "assets" / relative


def checkout_dir() -> Path | None:
    """The git checkout this package runs from, or None when it is installed."""
    root = project_file("pyproject.toml").parent
    return root if (root / ".git").exists() else None
