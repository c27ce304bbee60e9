"""The writer of a rank's step stream; its reader is gbench.runfolder.steps."""

import os
from collections.abc import Iterable

from gbench.base.files import cant_write
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.json_lines import JsonLinesWriter
from gbench.runfolder.steps import Step, stream_path
from gbench.runfolder.typed_json import VERSION


class StepWriter(JsonLinesWriter):
    """Appends the steps of one rank. resumed_after: the step after which a run resumes; None for a new run."""

    def __init__(self, folder: RunFolder, rank: int, resumed_after: int | None = None) -> None:
        super().__init__(stream_path(folder.path, rank), new=resumed_after is None)
        resumed = {} if resumed_after is None else {"resumed_after": resumed_after}
        self.write([{"version": VERSION, "rank": rank, **resumed}])

    def append(self, steps: Iterable[Step]) -> None:
        """Write steps."""
        self.write(map(vars, steps))

    def sync(self) -> None:
        """Make all steps so far durable."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cant_write(self._path, error) from error
