"""The progress of an evaluation: a bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gbench.cli.shared.output import Terminal
from gbench.runfolder.folder import RunFolder

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

STATE = re.compile(r"evaluated (\d+) of (\d+) images")  # printed by gbench.pix2pix.evaluator


class Bar(Terminal):
    """Shows a bar on stderr while an evaluation's worker writes lines."""

    _shown: tuple[Progress, TaskID] | None = None

    def line(self, text: str) -> None:
        """Advance the bar, or show the line."""
        if self._shown is None:
            super().line(text)
            return
        progress, task = self._shown
        if state := STATE.fullmatch(text):
            progress.update(task, completed=int(state[1]), total=int(state[2]), description="evaluating")
        else:
            progress.print(text, markup=False, highlight=False)

    @contextmanager
    def running(self, folder: RunFolder) -> Iterator[None]:
        """Show the bar."""
        if self._quiet or not sys.stderr.isatty():
            yield
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from gbench.cli.shared.live_line import STARTING

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            self._shown = progress, progress.add_task(STARTING, total=None)
            yield
        self._shown = None
