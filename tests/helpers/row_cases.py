"""The rows of a record in any database, and that reading returns the record unchanged."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from sqlalchemy import Engine

from drawn_records import ANY_RECORD, REPEATABLE, drawn, of_run
from gbench.cndb.identity import md5_of, seal_holds, sealed
from gbench.cndb.queries import RecordFilter, entries, find, records
from gbench.cndb.record import LONGEST, Record
from gbench.cndb.record_file import parse_record, to_yaml
from gbench.cndb.store import submit
from stores import Cases, count, sql, store


class RowCases(Cases):
    """The cases."""

    def test_columns_are_the_contracts(self, engine: Engine) -> None:
        record = of_run("run-1", extra={"run_id": "run-1", "command_line": "gbench launch"}, eval_type="O1")
        store(engine, record, "save")
        (row,) = sql(
            engine,
            "SELECT md5, framework, dataset, batch_size, device, dev_num, train_exec_mode, eval_exec_mode, dist_mode, "
            "cmd, code_link, visible, model_id, hard_info_id, soft_info_id FROM train_results",
        )
        assert row == (
            md5_of(record),
            "PyTorch",
            "facades",
            32,
            "Drawn-80GB",
            2,
            "FP32",
            "O1",
            "DDP",
            "gbench launch",
            "https://example.org/code@003efc4c",
            False,
            1,
            1,
            1,
        )

    def test_null_mappings_are_json_null_as_in_the_original(self, engine: Engine) -> None:
        store(engine, drawn(hyper_params=None, metric_data=None, extra=None, tags=None), "save")
        (row,) = sql(
            engine,
            "SELECT CAST(hyper_params AS TEXT), CAST(metrics AS TEXT), CAST(extra AS TEXT), tags FROM train_results",
        )
        assert row == ("null", "null", "null", None)

    def test_an_info_row_and_the_records_own_info_are_kept(self, engine: Engine) -> None:
        first = drawn()
        other = drawn(soft_info={"name": "drawn:1", "torch": "2.8.0"}, hard_info={"name": "Drawn OS 1"})
        nearly = drawn(soft_info={"name": "drawn:1", "torch": "2.7.0", "cuda": 12.8}, tags=["x"])
        submit(engine, [first, other, nearly], "save")
        assert [count(engine, table) for table in ("software_infos", "hardware_infos")] == [1, 1]
        (detail,) = sql(engine, "SELECT CAST(detail AS TEXT) FROM software_infos")[0]
        assert json.loads(detail) == {"torch": "2.7.0", "cuda": "12.8"}
        for number, record in enumerate((first, other, nearly), 1):
            assert to_yaml(find(engine, number).record) == to_yaml(record)

    def test_details_that_are_equal_only_as_numbers_are_kept_apart(self, engine: Engine) -> None:
        several = [
            drawn(soft_info={"name": "s", "cores": value}, dev_num=2 + n) for n, value in enumerate((1, 1.0, True))
        ]
        submit(engine, [sealed(record) for record in several], "save")
        for number, record in enumerate(several, 1):
            found = find(engine, number).record
            assert to_yaml(found) == to_yaml(sealed(record))
            assert seal_holds(found)

    def test_no_info_is_the_name_unknown(self, engine: Engine) -> None:
        record = drawn(soft_info=None, hard_info=None)
        named = drawn(soft_info={"name": "unknown"}, hard_info={"name": "unknown", "mem": "1 GB"})
        submit(engine, [record, named], "save")
        assert sql(engine, "SELECT name, CAST(detail AS TEXT) FROM software_infos") == [("unknown", '""')]
        assert [find(engine, number).record for number in (1, 2)] == [record, named]

    def test_models_are_upserted_by_name(self, engine: Engine) -> None:
        steps: list[tuple[dict[str, Any] | None, str]] = [
            (None, "null"),
            ({"a": 1, "b": 2}, '["a", "b"]'),
            (None, '["a", "b"]'),
            ({"c": 1}, '["c"]'),
        ]
        column = "metrics" if engine.dialect.name == "sqlite" else "to_json(metrics)"
        for number, (metrics, expected) in enumerate(steps):
            store(engine, drawn(metric_data=metrics, dev_num=number + 1), "save")
            (row,) = sql(engine, f"SELECT id, name, CAST({column} AS TEXT), categories FROM models")
            assert (row[0], row[1], row[3]) == (1, "pix2pix-resnet_9blocks", None)
            assert json.loads(row[2] or "null") == json.loads(expected)

    def test_times_are_utc(self, engine: Engine) -> None:
        before = datetime.now(timezone.utc)
        store(engine, drawn(), "save")
        after = datetime.now(timezone.utc)
        found = find(engine, 1)
        assert found.created is not None and before <= found.created <= after
        assert found.created == found.updated
        assert found.created.utcoffset() == timedelta(0)
        on_postgresql = "to_char(create_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
        column = on_postgresql if engine.dialect.name == "postgresql" else "create_at"
        (raw,) = sql(engine, f"SELECT {column} FROM train_results")[0]
        assert datetime.fromisoformat(raw).replace(tzinfo=timezone.utc) == found.created

    # out again

    def test_record_to_yaml_to_database_to_yaml(self, engine: Engine) -> None:
        first = sealed(of_run("run-1"))
        other = sealed(of_run("run-2", soft_info={"name": "drawn:1", "torch": "2.8.0"}))
        bare = drawn(batch_size=None, train_type=None, dist_type=None, perf_data=None, code_link=None, extra=None)
        texts = [to_yaml(record) for record in (first, other, bare)]
        submit(engine, [parse_record(text, "it") for text in texts], "save")
        assert [to_yaml(find(engine, number).record) for number in (1, 2, 3)] == texts
        assert {number: to_yaml(record) for number, record in records(engine, RecordFilter())} == dict(
            enumerate(texts, 1)
        )
        assert [seal_holds(find(engine, number).record) for number in (1, 2, 3)] == [True, True, False]

    def test_the_longest_names_fit_into_the_indexes(self, engine: Engine) -> None:
        draw = random.Random(1)

        def name() -> str:
            return "".join(chr(draw.randrange(0x10000, 0x110000)) for _ in range(LONGEST))

        record = of_run(
            name(),
            **{key: name() for key in ("model", "framework", "dataset", "dev", "train_type", "md5_val")},
            **{key: {"name": name()} for key in ("soft_info", "hard_info")},
        )
        assert store(engine, record, "save") == (1, "inserted")
        assert store(engine, record, "skip") == (1, "already there")
        assert to_yaml(find(engine, 1).record) == to_yaml(record)

    def test_what_is_exported_is_already_there(self, engine: Engine) -> None:
        submit(engine, [of_run("run-1"), drawn(), drawn(soft_info={"name": "drawn:1"}), drawn(md5_val="x")], "save")
        exported = [record for _, record in records(engine, RecordFilter())]
        for store_type in ("save", "skip"):
            assert {stored.action for stored in submit(engine, exported, store_type)} == {"already there"}

    @given(record=ANY_RECORD)
    @REPEATABLE
    def test_any_record_comes_back_as_it_was(self, odd: Engine, record: Record) -> None:
        text = to_yaml(record)
        read = parse_record(text, "it")
        assert to_yaml(read) == text
        number, _ = store(odd, read, "save")
        assert to_yaml(find(odd, number).record) == text
        assert store(odd, read, "save") == (number, "already there")
        assert entries(odd, RecordFilter(limit=1))[0].id >= 1

    @pytest.fixture
    def odd(self, engine: Engine) -> Engine:
        """A database shared by all examples, so that info rows with the same name collide."""
        return engine
