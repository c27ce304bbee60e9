"""Create a dataset's folder atomically: complete, or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gbench.base.files import free_bytes, make_folder, require_writable, write_errors
from gbench.base.size import size_text
from gbench.errors import InfrastructureError


def holds_anything(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def require_room(out: Path, size_bytes: int) -> None:
    """Check a place before something is written. Raises InfrastructureError: it can't be, or less than that is free."""
    require_writable(out)
    with write_errors(out):
        free = free_bytes(out)
    if free < size_bytes:
        raise InfrastructureError(
            f"{out} needs {size_text(size_bytes)} or more, and its disk has {size_text(free)} free",
            "free space there, or choose another --out",
        )


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """A temporary folder next to `out`: renamed to `out` if the block succeeds, removed if it fails.

    `out` may exist only as an empty folder: nothing is ever overwritten.

    Raises InfrastructureError: writing failed, or `out` was created meanwhile.
    """
    make_folder(out.parent)
    with (
        write_errors(out),
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent, ignore_cleanup_errors=True) as staging,
    ):
        folder = Path(staging) / out.name  # not `staging` itself, which only its owner may read
        folder.mkdir()
        yield folder
        folder.rename(out)
