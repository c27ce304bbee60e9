"""Earlier runs of a configuration, out of a database."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Engine

from gbench.cndb.queries import RecordFilter, records
from gbench.cndb.record import Record
from gbench.compare.differences import configuration
from gbench.compare.sides import Run, started


def earlier_runs(
    engine: Engine, like: Record, allowed: Collection[str], exclude: Sequence[Record], limit: int
) -> list[Run]:
    """The last runs of a record's configuration, stored before it was, oldest first.

    Args:
        like: the record; runs that began after its own are left out. allowed: fields in which they may differ from it,
            as they always may in the image. exclude: records to leave out. limit: the most to return.

    Raises:
        RecordError: a row holds no record. sqlalchemy.exc.SQLAlchemyError: the database is down, refuses, or broke off.
    """
    where = RecordFilter(
        model=None if "model" in allowed else like.model,
        device=None if "device" in allowed else like.dev,
        precision=None if "precision" in allowed else like.train_type,
    )
    own, excluded = configuration(like, allowed), {record.run_id for record in exclude} - {None}
    begun, found = started(like), []
    for number, record in records(engine, where):
        start = started(record)
        later = begun is not None and start is not None and start >= begun
        if later or record.run_id in excluded or record in exclude or configuration(record, allowed) != own:
            continue
        found.append(Run(record, f"record {number}"))
        if len(found) == limit:
            break
    return found[::-1]
