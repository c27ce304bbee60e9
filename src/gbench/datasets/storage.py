"""Create a dataset's folder atomically: complete, or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gbench.base.files import make_folder, write_errors


def holds_anything(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


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
