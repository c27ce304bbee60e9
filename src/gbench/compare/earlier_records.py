"""Earlier runs of a configuration, from a database."""

from collections.abc import Collection, Sequence

from sqlalchemy import Engine

from gbench.cndb.queries import RecordFilter, records
from gbench.cndb.record import Record
from gbench.compare.differences import MACHINE, configuration, may_be_same_machine
from gbench.compare.sides import Run, started


def earlier_runs(
    engine: Engine, like: Record, allowed: Collection[str], exclude: Sequence[Record], limit: int
) -> list[Run]:
    """The most recent earlier runs of a record's configuration on its machine, oldest first.

    Args:
        like: the record; runs that started after its own are excluded.
        allowed: fields in which they may differ from it, in addition to the image.

    Raises RecordError: a row is not a valid record. sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    where = RecordFilter(
        model=None if "model" in allowed else like.model,
        device=None if "device" in allowed else like.dev,
        precision=None if "precision" in allowed else like.train_type,
    )
    own, excluded = configuration(like, allowed), {record.run_id for record in exclude} - {None}
    begun, runs = started(like), []
    for number, record in records(engine, where):
        start = started(record)
        later = begun is not None and start is not None and start >= begun
        elsewhere = MACHINE not in allowed and not may_be_same_machine(record, like)
        if later or elsewhere or record.run_id in excluded or record in exclude:
            continue
        if configuration(record, allowed) != own:
            continue
        runs.append(Run(record, f"record {number}"))
        if len(runs) == limit:
            break
    return runs[::-1]
