"""A dataset's folder appears whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gbench.base.files import cant_write, make_folder


def holds_anything(folder: Path) -> bool:
    """Whether the folder is there with something in it."""
    return folder.is_dir() and any(folder.iterdir())


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """A folder to fill beside `out`, which takes the name `out` when the block ends well and vanishes when it doesn't.

    `out` may exist only as an empty folder: nothing is ever overwritten.

    Raises:
        InfrastructureError: the disk refused, or `out` came into being meanwhile.
    """
    make_folder(out.parent)
    try:
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise cant_write(out, error) from error
    try:
        # mkdtemp's folder is private; the one below it has the caller's usual permissions.
        folder = staging / out.name
        folder.mkdir()
        yield folder
        folder.rename(out)
    except OSError as error:
        raise cant_write(out, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
