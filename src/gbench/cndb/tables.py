"""The database's tables: exactly the original's (CNDB section 3), on PostgreSQL and, with the same names, on SQLite."""

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import JSON, Boolean, Column, DateTime, Dialect, ForeignKey, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.sqlite import DATETIME
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


class Times(DATETIME):
    """SQLite's times. A column may hold any value there: one that is no time is read as none."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        read: Any = super().result_processor(dialect, coltype)

        def time_or_none(value: Any) -> Any:
            try:
                return read(value)
            except (TypeError, ValueError):
                return None

        return time_or_none


SQLITE_TIME: Any = Times()  # type: ignore[no-untyped-call]


class Utc(TypeDecorator[datetime]):
    """A time in UTC. SQLite stores no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(SQLITE_TIME if dialect.name == "sqlite" else self.impl_instance)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(timezone.utc) if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        assert isinstance(value, datetime)
        return value.astimezone(timezone.utc) if value.tzinfo else value.replace(tzinfo=timezone.utc)


# Expressions of a row's `extra`. The time is text that sorts as it is written, cut to fit into an index.
RUN_ID = {"postgresql": "(extra ->> 'run_id')", "sqlite": "json_extract(extra, '$.run_id')"}
STARTED = {
    "postgresql": "(substr(extra ->> 'started_utc', 1, 32) COLLATE \"C\")",
    "sqlite": "substr(json_extract(extra, '$.started_utc'), 1, 32)",
}


class run_id(FunctionElement[str]):
    """The run id in a row's `extra`, with the same SQL as in its index: SQLite uses the index only then."""

    inherit_cache = True
    type = String()
    sql = RUN_ID


class started(run_id):
    """When the row's run started, as `run_id`."""

    inherit_cache = True
    sql = STARTED


@compiles(run_id)
def _sql_of_extra(element: run_id, compiler: Any, **_: Any) -> str:
    return element.sql[compiler.dialect.name]


METADATA = MetaData()
Json = JSONB().with_variant(JSON(), "sqlite")  # stores None as JSON null, as the original does
Texts = ARRAY(String).with_variant(JSON(none_as_null=True), "sqlite")

models = Table(
    "models",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String, unique=True),
    Column("metrics", Texts),
    Column("categories", Texts),
)


def _info_table(name: str) -> Table:
    return Table(
        name,
        METADATA,
        Column("id", Integer, primary_key=True),
        Column("name", String, unique=True),
        Column("detail", Json),
    )


software_infos = _info_table("software_infos")
hardware_infos = _info_table("hardware_infos")

train_results = Table(
    "train_results",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("md5", String),
    Column("framework", String),
    Column("dataset", String),
    Column("batch_size", Integer),
    Column("device", String),
    Column("dev_num", Integer),
    Column("train_exec_mode", String),
    Column("eval_exec_mode", String),
    Column("dist_mode", String),
    Column("cmd", Text),
    Column("code_link", String),
    Column("metrics", Json),
    Column("performance", Json),
    Column("hyper_params", Json),
    Column("tags", Texts),
    Column("extra", Json),
    Column("visible", Boolean),
    Column("create_at", Utc),
    Column("update_at", Utc),
    Column("model_id", Integer, ForeignKey("models.id")),
    Column("hard_info_id", Integer, ForeignKey("hardware_infos.id")),
    Column("soft_info_id", Integer, ForeignKey("software_infos.id")),
)
