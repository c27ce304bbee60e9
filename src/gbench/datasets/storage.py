"""Create a dataset's folder atomically: complete, or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gbench.base.files import cant_write, make_folder


def holds_anything(folder: Path) -> bool:
    """Whether the folder exists and is not empty."""
    return folder.is_dir() and any(folder.iterdir())


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """A temporary folder next to `out`: renamed to `out` if the block succeeds, removed if it fails.

    `out` may exist only as an empty folder: nothing is ever overwritten.

    Raises InfrastructureError: writing failed, or `out` was created meanwhile.
    """
    make_folder(out.parent)
    try:
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise cant_write(out, error) from error
    try:
        # mkdtemp's folder is private; a folder inside it gets the caller's usual permissions.
        folder = staging / out.name
        folder.mkdir()
        yield folder
        folder.rename(out)
    except OSError as error:
        raise cant_write(out, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
