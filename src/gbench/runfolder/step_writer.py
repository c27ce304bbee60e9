"""The writer of a rank's step stream; its reader is gbench.runfolder.steps."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from gbench.base import strict_json
from gbench.base.files import cant_write, write_all
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import Step, stream_path
from gbench.runfolder.typed_json import VERSION


class StepWriter:
    """Appends the steps of one rank in whole lines, so that a crash loses at most the last one.

    Args:
        resumed_after: the step after which a run resumes; None for a new run.

    Raises:
        InfrastructureError: a line can't be written.
    """

    def __init__(self, folder: RunFolder, rank: int, resumed_after: int | None = None) -> None:
        self._path = stream_path(folder.path, rank)
        try:
            self._file = self._path.open("xb" if resumed_after is None else "ab", buffering=0)
            if self._file.tell():
                write_all(self._file, b"\n")  # ends a truncated line; otherwise an empty line, which readers skip
        except OSError as error:
            raise cant_write(self._path, error) from error
        resumed = {} if resumed_after is None else {"resumed_after": resumed_after}
        self._write([{"version": VERSION, "rank": rank, **resumed}])

    def __enter__(self) -> StepWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, steps: Iterable[Step]) -> None:
        """Write steps, without buffering."""
        self._write(vars(step) for step in steps)

    def sync(self) -> None:
        """Make all steps so far durable."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cant_write(self._path, error) from error

    def _write(self, rows: Iterable[dict[str, Any]]) -> None:
        try:
            write_all(self._file, "".join(strict_json.dumps(row) + "\n" for row in rows).encode())
        except OSError as error:
            raise cant_write(self._path, error) from error
