"""Read BASE and NEW as given on a command line: record files, run folders, or folders and patterns of them."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gbench.base.files import entries, is_there
from gbench.base.paths import SPEC, expanded, require_readable
from gbench.base.utc import time_of
from gbench.cndb.from_run import record_of
from gbench.cndb.record import Record
from gbench.cndb.record_file import read_record
from gbench.errors import InfrastructureError, RecordError, RunFailed, UsageError
from gbench.measure.summary import summarize_folder
from gbench.runfolder.find import find_run
from gbench.runfolder.folder import RunFolder

FORMS = "give a record file or a run folder, several joined by commas"
BASE_FORMS = "give a record file, a run folder, last:5 or baseline:NAME, several joined by commas"


@dataclass(frozen=True)
class Run:
    """One run, and the source of its record."""

    record: Record
    source: str
    notes: tuple[str, ...] = ()
    """What can't be read of it, and is not needed for the record."""


def read_side(text: str, name: str, forms: str = FORMS) -> list[Run]:
    """The runs of one side, given as parts joined by commas.

    Args:
        name: BASE or NEW. forms: hint on what to give instead.

    Raises:
        UsageError: nothing found, or not the record of a finished run. Not RunFailed: its exit code 1 would mean a
            regression.
    """
    parts = text.split(",")
    with suppress(OSError):  # a list that is too long for a name
        parts = [text] if Path(text).exists() else parts
    try:
        return [read_run(path) for part in parts for path in _paths(part, name, forms)]
    except PermissionError as error:
        raise InfrastructureError(f"{name} {text!r} can't be read ({error.strerror})", "fix its permissions") from error
    except OSError as error:  # a name that is too long
        raise UsageError(f"{name} {text!r} can't be read ({error.strerror})", forms) from error
    except (RecordError, RunFailed) as error:
        raise UsageError(f"{name}: {error.what}", error.hint) from error


def read_one(text: str, name: str, forms: str) -> Run:
    """The only run of a side. Raises UsageError: as `read_side`, or there are several."""
    runs = read_side(text, name, forms)
    if len(runs) != 1:
        raise UsageError(f"{name} {text!r} names {len(runs)} runs", forms)
    return runs[0]


def require_distinct(base: list[Run], new: list[Run]) -> None:
    """Raises UsageError: a run is given twice. Two copies agree better than two runs do."""
    seen: dict[str, str] = {}
    for run in (*base, *new):
        identity = run.record.run_id or run.record.model_dump_json()
        if identity in seen:
            raise UsageError(f"{run.source} is the same run as {seen[identity]}", "give each run once")
        seen[identity] = run.source


def started(record: Record) -> datetime | None:
    """When its run started; None if the record has no valid time."""
    return time_of((record.extra or {}).get("started_utc"))


def _paths(part: str, name: str, forms: str) -> Iterator[Path]:
    path, paths = expanded(part), list[Path]()
    if part and is_there(path) and (not path.is_dir() or is_there(path / SPEC)):
        yield path
        return
    if part and path.is_dir():
        runs = [folder for folder in entries(path, "*") if folder.is_dir() and is_there(folder / SPEC)]
        paths = sorted([*entries(path, "*.yaml"), *entries(path, "*.yml"), *runs])
    elif part:
        with suppress(ValueError):  # no pattern
            paths = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    if not paths and (found := find_run(part)) is not None:
        paths = [found]
    if not paths:
        raise UsageError(f"{name} {part!r} is no record, run folder, or folder or pattern of them", forms)
    yield from paths


def read_run(path: Path) -> Run:
    """The record in a file, or that of a run folder, recomputed from its raw samples.

    Raises RecordError, RunFailed, UsageError, InfrastructureError: it holds no record of a complete run.
    """
    require_readable(path)
    if not path.is_dir():
        return Run(read_record(path), str(path))
    folder = RunFolder(path)
    summary, environment, host = summarize_folder(folder), folder.environment(), folder.host()
    if summary is not None and not (summary.complete and environment.precision_at_end):
        end = environment.ended
        done, planned = summary.warmup_steps + summary.steps, end.steps if end else environment.planned_steps
        counted = f": it has {done} of {planned} steps" if planned else f": it stopped after step {done}"
        resumable = end is None and folder.spec().config.schedule.checkpoint_every
        hint = f"resume it by {folder.resume_command}" if resumable else "give a run that did, or measure again"
        raise RunFailed(f"the run {path} did not come to its end{counted}", hint)
    if summary is None and host.ended_utc is not None and host.exit_code != 0:  # its line may be of the first half
        raise RunFailed(f"the run {path} failed or was stopped", f"read {folder.log}, and measure again")
    if summary is None and folder.has("result.json"):  # computed from the samples
        raise RunFailed(f"the raw samples of {path} are gone, so its result.json can't be verified", "give its record")
    return Run(record_of(folder, summary), str(path), tuple(folder.unreadable()))
