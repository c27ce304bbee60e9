"""The files that launch.sh's variables name: the project's own in place of them, and those that gbench can't run."""

import re
from collections.abc import Collection
from pathlib import Path

from gbench.base.files import read_file
from gbench.base.paths import project_file
from gbench.errors import InfrastructureError, UsageError

# What launch.sh's documentation exports, and the file of this project that replaces it.
SUCCESSORS = {
    "PyTorch/pix2pix/Dockerfile": "Dockerfile",
    "PyTorch/pix2pix/configs": "configs",
    "PyTorch/pix2pix/pt-pix2pix.sh": "scripts/pt-pix2pix.sh",
    "PyTorch/pix2pix/pt-pix2pix-convergency.sh": "scripts/pt-pix2pix-convergency.sh",
}
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
# launch.sh sources its scripts on the host: they enter its container, and write below its RESULT_DIR.
_HOST_VARIABLE = re.compile(r"\$\{?(CONT_NAME|RESULT_DIR)\b(?!:?[-=])")
_UPSTREAM = re.compile(r"\bgit\s+clone\b.*/pytorch-CycleGAN-and-pix2pix")
_GBENCH = re.compile(r"gbench|^\s*(?:COPY|ADD)\b", re.MULTILINE | re.IGNORECASE)


def require_for_gbench(run_script: Path, dockerfile: Path | None, env: Collection[str]) -> None:
    """Refuse launch.sh's own files, which would fail after the image is built; say what to use.

    dockerfile: None if no image is needed. env: names of the user's variables for the script.

    Raises:
        UsageError: a file is launch.sh's own.
        InfrastructureError: a file can't be read.
    """
    text = _commands("RUN_MODEL_FILE", run_script)
    needed = [
        name
        for name in _HOST_VARIABLE.findall(text)
        if name not in env and not re.search(rf"\b{name}:?=", text)  # the script sets it, or has a default
    ]
    if needed:
        own = project_file(f"scripts/{run_script.name}")
        raise UsageError(
            f"RUN_MODEL_FILE {run_script} is a script for launch.sh: it needs {needed[0]}, which gbench does not set",
            f"export RUN_MODEL_FILE={own}" if own.is_file() else "docs/run-scripts.md says how to write one for gbench",
        )
    text = _commands("DOCKERFILE", dockerfile) if dockerfile else ""
    if _UPSTREAM.search(text) and not _GBENCH.search(text):
        raise UsageError(
            f"DOCKERFILE {dockerfile} is launch.sh's: it installs upstream's code and not gbench",
            "unset DOCKERFILE for the project's own, or name one that installs gbench (docs/docker.md)",
        )


def _commands(variable: str, path: Path) -> str:
    """A file's text without comments."""
    try:
        return _COMMENT.sub("", read_file(path, errors="replace"))
    except OSError as error:
        raise InfrastructureError(
            f"{variable} {path} can't be read ({error.strerror})", "fix its permissions"
        ) from error
