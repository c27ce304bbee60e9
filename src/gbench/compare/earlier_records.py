"""Earlier runs of a configuration, from a database or from the record files of a CNDB folder."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from gbench.base.faults import as_expected
from gbench.cndb.queries import RecordFilter, records
from gbench.cndb.record import Record
from gbench.cndb.record_file import files_like, read_record
from gbench.compare.differences import MACHINE, configuration, may_be_same_machine
from gbench.compare.sides import Run, started
from gbench.errors import RecordError

Warn = Callable[[str], None]


@dataclass(frozen=True)
class Earlier:
    runs: list[Run]
    """The oldest first."""
    elsewhere: int
    """Runs of the same configuration that are left out, as they are of other machines."""

    @property
    def notes(self) -> list[str]:
        if not self.elsewhere:
            return []
        one = self.elsewhere == 1
        records = "1 record of another machine is" if one else f"{self.elsewhere} records of other machines are"
        return [f"{records} left out of the earlier runs; --allow {MACHINE} admits {'it' if one else 'them'}"]


def earlier_runs(
    engine: Engine,
    like: Record,
    allowed: Collection[str],
    exclude: Sequence[Record],
    limit: int,
    among: int | None = None,
) -> Earlier:
    """The most recent earlier runs of a record's configuration on its machine.

    Args:
        like: the record; runs that started after its own are excluded.
        allowed: fields in which they may differ from it, in addition to the image.
        among: look at the last so many records of its model, device and precision alone; None: at all.

    Raises RecordError: a row is not a valid record. sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    where = RecordFilter(
        model=None if "model" in allowed else like.model,
        device=None if "device" in allowed else like.dev,
        precision=None if "precision" in allowed else like.train_type,
        limit=among,
    )
    stored = (Run(record, f"record {number}") for number, record in records(engine, where))
    return _earlier(stored, like, allowed, exclude, limit)


def earlier_files(cndb_dir: Path, like: Record, limit: int, warn: Warn) -> Earlier:
    """The same from the record files of a CNDB folder: among the last 2 * `limit` with its name.

    warn: called with a sentence on each that can't be used.
    """

    def read() -> Iterator[Run]:
        try:
            for path in files_like(like, cndb_dir)[: 2 * limit]:
                try:
                    yield Run(read_record(path), str(path))
                except RecordError as error:  # a file that somebody changed
                    warn(f"an earlier record is left out: {error}")
        except OSError as error:
            warn(f"earlier records are left out: {as_expected(error) or error}")

    return _earlier(read(), like, (), [like], limit)


def _earlier(
    newest_first: Iterable[Run], like: Record, allowed: Collection[str], exclude: Sequence[Record], limit: int
) -> Earlier:
    own, excluded = configuration(like, allowed), {record.run_id for record in exclude} - {None}
    begun, runs, elsewhere = started(like), list[Run](), 0
    for run in newest_first:
        record, start = run.record, started(run.record)
        later = begun is not None and start is not None and start >= begun
        if later or record.run_id in excluded or record in exclude or configuration(record, allowed) != own:
            continue
        if MACHINE not in allowed and not may_be_same_machine(record, like):
            elsewhere += 1
            continue
        runs.append(run)
        if len(runs) == limit:
            break
    return Earlier(runs[::-1], elsewhere)
