"""A sweep: one launch for each cell of a matrix, one after the other; it can be resumed after a stop."""

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gbench.base.files import locked
from gbench.errors import GbenchError, InfrastructureError, Interrupted, OutOfMemory
from gbench.experiments.sweep_file import ENDED, CellAttempt, Sweep, SweepCell, SweepFolder
from gbench.experiments.sweep_matrix import Axes, images_of, require_some, why_not
from gbench.machine.gpus import find_gpus
from gbench.runners.local import wait_for_end
from gbench.runners.stopping import stoppable
from gbench.runs.attempt import Observer
from gbench.runs.launch import launch
from gbench.runs.prepare import database_of, locate_dataset
from gbench.settings.resolve import new_run_id
from gbench.settings.spec import RunSpec


@dataclass
class SweepResult:
    sweep: Sweep
    not_stored: list[str] = field(default_factory=list)
    """For each record that was not uploaded: why, and how to send it later."""
    stopped: GbenchError | None = None
    """Why the session ended before its last cell; None if it did not."""


def plan(axes: Axes, base: RunSpec, stop_at_oom: bool, environ: Mapping[str, str], dataset_needed: bool) -> Sweep:
    """Plan the cells of a sweep; those that can't run here are skipped. Starts nothing and writes nothing.

    Raises GbenchError: something prevents every cell, such as a wrong database config or, if needed, a missing dataset.
    """
    database_of(base, environ)
    base = locate_dataset(base, required=dataset_needed)
    places = axes.places(base.config.data.source)
    gpus, images = find_gpus(), images_of(base)
    anywhere = not dataset_needed and base.device == "cuda" and not gpus.devices  # a dry run for another machine
    reasons = [why_not(place, base, None if anywhere else gpus, images) for place in places]
    require_some(places, reasons)
    cells = [
        SweepCell(place=place, skipped=None if reason is None else reason.what)
        for place, reason in zip(places, reasons, strict=True)
    ]
    return Sweep(scaling=axes.scaling, stop_at_oom=stop_at_oom, spec=base, cells=cells)


def go_on(folder: SweepFolder, environ: Mapping[str, str], observer: Observer, rebuild: bool = False) -> SweepResult:
    """Run every cell that has not ended. A cell that fails is retried once, after all others.

    A cell that failed in an earlier session is run once. A cell whose run has a record is done, even if gbench was
    killed before it could write that. An error that ends the sweep early (a request to stop, or a problem that affects
    every other cell too) is in the result.

    rebuild: build the image without cache before the first run.
    Raises InfrastructureError: the folder is not that of a sweep, is in use, or can't be written.
    """
    with locked(folder.path / ".lock", 0, f"sweep folder {folder.path}"), stoppable(None):
        session = _SweepSession(folder, environ, observer, rebuild, SweepResult(folder.read()))
        result = session.result
        try:
            session.run()
        except GbenchError as error:
            result.stopped = error
            with suppress(InfrastructureError):  # a full disk must not hide the result
                folder.write(result.sweep)
    return result


@dataclass
class _SweepSession:
    folder: SweepFolder
    environ: Mapping[str, str]
    observer: Observer
    rebuild: bool
    result: SweepResult

    def run(self) -> None:
        sweep = self.result.sweep
        for cell in sweep.cells:
            if cell.state == "running":
                wait_for_end(self.folder.run(cell.attempts[-1]).path)
            if cell.state in ("running", "interrupted", "failed"):
                self._conclude(cell)
        todo = deque(cell for cell in sweep.cells if cell.state not in ENDED)
        while todo:
            cell = todo.popleft()
            had_failed = cell.state == "failed"
            if not _skipped_for_memory(cell, sweep):
                cells = [one for one in sweep.cells if not one.skipped]
                self.observer.line(f"cell {cells.index(cell) + 1} of {len(cells)}: {cell.place}")
                self._attempt(cell)
                self.rebuild = False
            self.folder.write(sweep)
            if cell.state == "failed" and not had_failed:
                todo.append(cell)

    def _conclude(self, cell: SweepCell) -> None:
        """Mark a cell as done if its last run has a record; upload the record and write the run's page."""
        attempt, base = cell.attempts[-1], self.result.sweep.spec
        record_path = self.folder.record_of(attempt)
        if record_path is None:
            return
        from gbench.runs.finish import publish

        # the database ignores a record that it already has
        run, database, on_line = self.folder.run(attempt), database_of(base, self.environ), self.observer.line
        _, not_stored, _ = publish(run, record_path, Path(base.cndb_dir), database, on_line)
        self.result.not_stored += [not_stored] if not_stored else []
        attempt.state, attempt.reason, attempt.record = "done", None, str(record_path)
        self.folder.write(self.result.sweep)
        on_line(f"done already: {cell.place}: {record_path}")

    def _attempt(self, cell: SweepCell) -> None:
        """Run a cell, and write its outcome into the sweep.

        Raises GbenchError: a request to stop; the run did not begin, so no other cell would either; or the run has its
        record, but a later file could not be written.
        """
        folder, base = self.folder, self.result.sweep.spec
        run_id = new_run_id(base.model)
        spec = cell.place.spec(base).replaced(run_id=run_id, results_dir=str(folder.path))
        cell.attempts.append(attempt := CellAttempt(run=run_id))
        try:
            folder.write(self.result.sweep)
            finished = launch(spec, self.environ, self.observer, self.rebuild)
            attempt.state, attempt.record = "done", str(finished.record_path)
            self.result.not_stored += [finished.not_stored] if finished.not_stored else []
        except Interrupted:
            raise
        except GbenchError as error:
            too_large = isinstance(error, OutOfMemory)
            attempt.state, attempt.reason = "out_of_memory" if too_large else "failed", str(error)
            # host.json is written once everything that a run needs was found
            began = folder.run(attempt).has("host.json")
            if not (began or too_large) or folder.record_of(attempt) is not None:
                raise
            self.observer.line(f"{attempt.state.replace('_', ' ')}: {error}")
        finally:
            if attempt.state == "running":
                attempt.state = "interrupted"


def _skipped_for_memory(cell: SweepCell, sweep: Sweep) -> bool:
    """Whether to skip a cell because a smaller batch ran out of memory; writes the reason into the cell."""
    place = cell.place
    too_large = [
        other.place.batch_size
        for other in sweep.cells
        if other.state == "out_of_memory"
        and other.place.batch_size < place.batch_size
        and other.place.model_copy(update={"batch_size": place.batch_size}) == place
    ]
    if sweep.stop_at_oom and too_large:
        cell.skipped = f"batch {min(too_large)} was out of memory already"
    return cell.skipped is not None
