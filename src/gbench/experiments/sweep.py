"""A sweep: every cell of a matrix as a launch of its own, one after the other, and on from where it was stopped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gbench.cndb import upload
from gbench.errors import GbenchError, InfrastructureError, Interrupted, OutOfMemory
from gbench.experiments.sweep_file import ENDED, Attempt, Cell, Sweep, SweepFolder
from gbench.experiments.sweep_matrix import Axes, images_of, require_some, why_not
from gbench.machine.gpus import find_gpus
from gbench.runners.local import wait_for_end
from gbench.runners.stopping import stoppable
from gbench.runs.attempt import Observer
from gbench.runs.launch import launch, publish
from gbench.runs.prepare import locate_dataset
from gbench.settings.resolve import new_run_id
from gbench.settings.spec import RunSpec


@dataclass
class Went:
    """How a session of a sweep went.

    not_stored: of each record that the database did not take, why, and how to send it later. stopped: what ended it
    before its last cell.
    """

    sweep: Sweep
    not_stored: list[str] = field(default_factory=list)
    stopped: GbenchError | None = None


def plan(axes: Axes, base: RunSpec, stop_at_oom: bool, environ: Mapping[str, str], dataset_needed: bool) -> Sweep:
    """The cells of a sweep, those that can't run here skipped. Starts nothing and writes nothing.

    Args:
        base: what all cells have in common. dataset_needed: it must be there.

    Raises:
        GbenchError: what stands in the way of all cells.
    """
    if base.database is not None:
        upload.config_of_run(base.database, Path(base.cndb_dir), environ)
    base = locate_dataset(base, required=dataset_needed)
    places = axes.places(base.config.data.source)
    gpus, images = find_gpus(), images_of(base)
    reasons = [why_not(place, base, gpus, images) for place in places]
    require_some(places, reasons)
    cells = [
        Cell(place=place, skipped=None if reason is None else reason.what)
        for place, reason in zip(places, reasons, strict=True)
    ]
    return Sweep(scaling=axes.scaling, stop_at_oom=stop_at_oom, spec=base, cells=cells)


def go_on(
    folder: SweepFolder, environ: Mapping[str, str], new_observer: Callable[[], Observer], rebuild: bool = False
) -> Went:
    """Run every cell that has not ended; one that fails is run once more, after all others.

    A cell that had failed before this session is run once. One whose run has its record is done, whatever ended gbench
    before it could note that. What ends the sweep before its last cell (someone asks to stop; something that every
    other cell would miss too) is in the result.

    Args:
        new_observer: gives someone to look on at the next run. rebuild: build the image anew, before the first.

    Raises:
        InfrastructureError: the folder is no sweep's, is in use, or can't be written.
    """
    with folder.taken(), stoppable(None):
        went = Went(folder.read())
        try:
            for cell in went.sweep.cells:
                if cell.state == "running":
                    wait_for_end(folder.run(cell.attempts[-1]).path)
                if cell.state in ("running", "interrupted", "failed"):
                    _conclude(cell, went, folder, environ, new_observer().line)
            todo = deque(cell for cell in went.sweep.cells if cell.state not in ENDED)
            while todo:
                cell = todo.popleft()
                had_failed = cell.state == "failed"
                if not _skipped_for_memory(cell, went.sweep):
                    observer = new_observer()
                    observer.line(f"cell {went.sweep.cells.index(cell) + 1} of {len(went.sweep.cells)}: {cell.place}")
                    _attempt(cell, went, folder, environ, observer, rebuild)
                    rebuild = False
                folder.write(went.sweep)
                if cell.state == "failed" and not had_failed:
                    todo.append(cell)
        except GbenchError as error:
            went.stopped = error
            with suppress(InfrastructureError):  # a full disk must not hide what is known
                folder.write(went.sweep)
    return went


def _conclude(
    cell: Cell, went: Went, folder: SweepFolder, environ: Mapping[str, str], tell: Callable[[str], None]
) -> None:
    """Take a cell for done whose last run came to its record, and do what may have been left: its upload and its page.

    Raises:
        GbenchError: someone asked to stop, or something is still in the way.
    """
    attempt, base = cell.attempts[-1], went.sweep.spec
    record_path = folder.record_of(attempt)
    if record_path is None:
        return
    cndb_dir = Path(base.cndb_dir)
    # a database knows by its run a record that it has
    database = upload.config_of_run(base.database, cndb_dir, environ) if base.database else None
    _, not_stored, _ = publish(folder.run(attempt), record_path, cndb_dir, database, tell)
    went.not_stored += [not_stored] if not_stored else []
    attempt.state, attempt.reason, attempt.record = "done", None, str(record_path)
    folder.write(went.sweep)
    tell(f"done already: {cell.place}: {record_path}")


def _attempt(
    cell: Cell, went: Went, folder: SweepFolder, environ: Mapping[str, str], observer: Observer, rebuild: bool
) -> None:
    """Run a cell, and note what became of it.

    Raises:
        GbenchError: someone asked to stop; the run did not begin, as no other cell's would; or it has its record, but
            what comes after that could not be written.
    """
    base = went.sweep.spec
    run_id = new_run_id(base.model)
    spec = cell.place.spec(base).model_copy(update={"run_id": run_id, "results_dir": str(folder.path)})
    cell.attempts.append(attempt := Attempt(run=run_id))
    try:
        folder.write(went.sweep)
        finished = launch(spec, environ, observer, rebuild)
        attempt.state, attempt.record = "done", str(finished.record_path)
        went.not_stored += [finished.not_stored] if finished.not_stored else []
    except Interrupted:
        raise
    except GbenchError as error:
        attempt.state, attempt.reason = "out_of_memory" if isinstance(error, OutOfMemory) else "failed", str(error)
        # host.json is written when all is there that a run needs
        if not folder.run(attempt).has("host.json") or folder.record_of(attempt) is not None:
            raise
        observer.line(f"{attempt.state.replace('_', ' ')}: {error}")
    finally:
        if attempt.state == "running":
            attempt.state = "interrupted"


def _skipped_for_memory(cell: Cell, sweep: Sweep) -> bool:
    """Whether a cell is left out because a smaller batch was out of memory already; notes it."""
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
