"""What a database must do with records, whichever it is: each test module gives the cases its own `database`."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from sqlalchemy import Engine, text

from drawn_records import ANY_RECORD, REPEATABLE, drawn, of_run
from gbench.cndb.config import DatabaseConfig
from gbench.cndb.database import connect, connect_or_create
from gbench.cndb.history import Wanted, entries, find, records
from gbench.cndb.identity import md5_of, seal_holds, sealed
from gbench.cndb.record import LONGEST, Record
from gbench.cndb.recordfile import parse_record, to_yaml
from gbench.cndb.schema import drop_all, upgrade
from gbench.cndb.store import submit
from gbench.errors import InfrastructureError, RecordError
from submitters import PROCESSES, RECORDS, same_records, submit_together


def sql(engine: Engine, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """What plain SQL says, past all of gbench's own reading."""
    with engine.begin() as connection:
        result = connection.execute(text(query), values)
        return [tuple(row) for row in result] if result.returns_rows else []


def count(engine: Engine, table: str) -> int:
    return int(sql(engine, f"SELECT count(*) FROM {table}")[0][0])


def made(database: DatabaseConfig) -> Engine:
    """The database as `submit` makes it."""
    engine = connect_or_create(database)
    assert upgrade(engine) is None
    return engine


def store(engine: Engine, record: Record, store_type: str) -> tuple[int, str]:
    (stored,) = submit(engine, [record], store_type)
    return stored.id, stored.action


class StoreCases:
    """The cases. `database`: one that does not exist yet; `engine`: it, made."""

    @pytest.fixture
    def engine(self, database: DatabaseConfig) -> Iterator[Engine]:
        engine = made(database)
        yield engine
        engine.dispose()

    # store types

    def test_save_inserts_though_the_md5_is_there(self, engine: Engine) -> None:
        first, second = drawn(), drawn(perf_data={"throughput": 23.5, "throughput_unit": "img/s"})
        assert md5_of(first) == md5_of(second)
        assert store(engine, first, "save") == (1, "inserted")
        assert store(engine, second, "save") == (2, "inserted")
        assert sql(engine, "SELECT count(DISTINCT md5), count(*) FROM train_results") == [(1, 2)]

    def test_save_skips_a_row_equal_in_every_column(self, engine: Engine) -> None:
        store(engine, drawn(), "save")
        before = sql(engine, "SELECT * FROM train_results")
        assert store(engine, drawn(), "save") == (1, "already there")
        assert [stored.action for stored in submit(engine, [drawn(), drawn()], "save")] == ["already there"] * 2
        assert sql(engine, "SELECT * FROM train_results") == before

    def test_save_skips_an_equal_record_within_one_submission(self, engine: Engine) -> None:
        actions = [stored.action for stored in submit(engine, [drawn(), drawn(dev_num=4), drawn()], "save")]
        assert actions == ["inserted", "inserted", "already there"]

    @pytest.mark.parametrize(
        "changes",
        [
            {"perf_data": {"throughput": 22}},
            {"metric_data": {"G_GAN": 2.5}},
            {"tags": None},
            {"extra": {"NV_Web": "N/A"}},
            {"soft_info": {"name": "drawn:1", "torch": "2.8.0"}},
            {"md5_val": "given"},
            {"eval_type": None},
        ],
    )
    def test_save_inserts_what_differs_in_anything(self, engine: Engine, changes: dict[str, Any]) -> None:
        store(engine, drawn(), "save")
        assert store(engine, drawn(**changes), "save") == (2, "inserted")
        assert store(engine, drawn(**changes), "save") == (2, "already there")

    def test_save_tells_one_from_one_point_zero_and_from_true(self, engine: Engine) -> None:
        for number, value in enumerate((1, 1.0, True), 1):
            assert store(engine, drawn(perf_data={"x": value}), "save") == (number, "inserted")

    def test_save_skips_an_equal_record_of_another_tool_with_a_run_number_of_its_own(self, engine: Engine) -> None:
        record = drawn(extra={"run_id": 17})
        assert store(engine, record, "save") == (1, "inserted")
        assert store(engine, record, "save") == (1, "already there")

    def test_update_overwrites_the_first_row_of_the_md5(self, engine: Engine) -> None:
        for figure in (1.5, 2.5):
            store(engine, drawn(perf_data={"throughput": figure}), "save")
        created = sql(engine, "SELECT id, create_at FROM train_results ORDER BY id")
        assert store(engine, drawn(perf_data={"throughput": 3.5}), "update") == (1, "updated")
        assert [find(engine, row).record.perf_data for row in (1, 2)] == [{"throughput": 3.5}, {"throughput": 2.5}]
        assert sql(engine, "SELECT id, create_at FROM train_results ORDER BY id") == created
        found = find(engine, 1)
        assert found.created is not None and found.updated is not None and found.updated > found.created

    def test_update_inserts_where_the_md5_is_not_there(self, engine: Engine) -> None:
        store(engine, drawn(), "save")
        assert store(engine, drawn(dataset="maps"), "update") == (2, "inserted")

    def test_update_leaves_nothing_of_what_it_overwrites(self, engine: Engine) -> None:
        given = {"md5_val": "460.73.01"}  # as the original does: one md5 for unlike records
        store(engine, drawn(**given), "save")
        other = drawn(
            **given, model="pix2pix", perf_data=None, tags=None, extra=None, soft_info=None, hyper_params=None
        )
        assert store(engine, other, "update") == (1, "updated")
        assert to_yaml(find(engine, 1).record) == to_yaml(other)

    @pytest.mark.parametrize("store_type", ["skip", "ignore", ""])
    def test_any_other_type_leaves_out_what_has_its_md5_there(self, engine: Engine, store_type: str) -> None:
        assert store(engine, drawn(), store_type) == (1, "inserted")
        assert store(engine, drawn(perf_data={"throughput": 1.5}), store_type) == (1, "already there")
        assert store(engine, drawn(dev_num=4), store_type) == (2, "inserted")
        assert find(engine, 1).record == drawn()

    def test_a_given_md5_is_the_rows_md5(self, engine: Engine) -> None:
        store(engine, drawn(md5_val="460.73.01"), "save")
        assert sql(engine, "SELECT md5 FROM train_results") == [("460.73.01",)]
        assert store(engine, drawn(md5_val="460.73.01", model="another"), "skip") == (1, "already there")

    @pytest.mark.parametrize("store_type", ["save", "skip"])
    def test_a_run_is_stored_once(self, engine: Engine, store_type: str) -> None:
        assert store(engine, of_run("run-1"), store_type) == (1, "inserted")
        again = of_run("run-1", perf_data={"throughput": 1.5}, dev_num=4)
        assert store(engine, again, store_type) == (1, "already there")
        assert find(engine, 1).record == of_run("run-1")

    def test_save_keeps_every_run_of_one_configuration(self, engine: Engine) -> None:
        stored = submit(engine, [of_run(f"run-{number % 3}") for number in range(6)], "save")
        assert [one.id for one in stored] == [1, 2, 3, 1, 2, 3]

    def test_update_overwrites_the_runs_own_row(self, engine: Engine) -> None:
        submit(engine, [of_run("run-1"), of_run("run-2")], "save")
        assert store(engine, of_run("run-2", tags=["mended"]), "update") == (2, "updated")
        assert find(engine, 1).record == of_run("run-1")
        assert find(engine, 2).record.tags == ["mended"]

    def test_a_submission_that_breaks_stores_none_of_its_batch(self, engine: Engine) -> None:
        class Broken(Exception):
            pass

        def breaking() -> Iterator[Record]:
            yield of_run("run-1")
            raise Broken

        with pytest.raises(Broken):
            submit(engine, breaking(), "save")
        assert count(engine, "train_results") == 0

    def test_more_records_than_a_transaction_takes(self, engine: Engine) -> None:
        batch = [drawn(dev_num=number % 600 + 1) for number in range(1200)]
        actions = [stored.action for stored in submit(engine, batch, "save")]
        assert actions == ["inserted"] * 600 + ["already there"] * 600
        assert count(engine, "train_results") == 600

    # the rows beside it

    def test_columns_are_the_contracts(self, engine: Engine) -> None:
        record = of_run("run-1", extra={"run_id": "run-1", "command_line": "gbench launch"}, eval_type="O1")
        store(engine, record, "save")
        (row,) = sql(
            engine,
            "SELECT md5, framework, dataset, batch_size, device, dev_num, train_exec_mode, eval_exec_mode, dist_mode, "
            "cmd, code_link, visible, model_id, hard_info_id, soft_info_id FROM train_results",
        )
        assert row == (
            *(md5_of(record), "PyTorch", "facades", 32, "Drawn-80GB", 2, "FP32", "O1", "DDP"),
            *("gbench launch", "https://example.org/code@003efc4c", False, 1, 1, 1),
        )

    def test_null_mappings_are_json_null_as_the_original_stores_them(self, engine: Engine) -> None:
        store(engine, drawn(hyper_params=None, metric_data=None, extra=None, tags=None), "save")
        (row,) = sql(
            engine,
            "SELECT CAST(hyper_params AS TEXT), CAST(metrics AS TEXT), CAST(extra AS TEXT), tags FROM train_results",
        )
        assert row == ("null", "null", "null", None)

    def test_an_info_row_is_kept_as_it_is_and_the_record_keeps_its_own(self, engine: Engine) -> None:
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
        assert {number: to_yaml(record) for number, record in records(engine, Wanted())} == dict(enumerate(texts, 1))
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
        exported = [record for _, record in records(engine, Wanted())]
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
        assert entries(odd, Wanted(limit=1))[0].id >= 1

    @pytest.fixture
    def odd(self, engine: Engine) -> Engine:
        """A database that all examples share, so that their infos meet others of the same name."""
        return engine

    # history

    def test_entries_say_what_the_record_says_newest_first(self, engine: Engine) -> None:
        bare = drawn(perf_data=None, metric_data={"G_L1": 1.5})
        submit(engine, [of_run("run-1"), bare], "save")
        second, first = entries(engine, Wanted())
        assert (first.id, first.model, first.batch_size, first.dev_num) == (1, "pix2pix-resnet_9blocks", 32, 2)
        assert (first.device, first.precision, first.dist_type, first.dataset) == (
            "Drawn-80GB",
            "FP32",
            "DDP",
            "facades",
        )
        assert (first.throughput, first.low, first.high, first.unit) == (22.5, 22.25, 22.75, "img/s")
        assert (first.steady, first.run_id, first.metrics) == (True, "run-1", {"G_GAN": 2.5, "G_L1": 18.25})
        assert first.stored == find(engine, 1).created
        assert (second.id, second.throughput, second.low, second.unit, second.steady) == (2, None, None, None, None)
        assert (second.metrics, second.run_id) == ({"G_L1": 1.5}, None)

    @pytest.mark.parametrize(
        "perf",
        [
            {"throughput": "fast", "throughput_interval": {"low": "about 3", "high": None}, "steady_state": "unknown"},
            {"throughput": {"mean": 3}, "throughput_interval": [1, 2], "steady_state": 3, "throughput_unit": 7},
            {"throughput": [1], "throughput_interval": 5, "steady_state": {"x": 1}, "throughput_unit": None},
            {"throughput": "N/A", "throughput_interval": {"low": "?", "high": [2]}, "steady_state": None},
        ],
    )
    def test_figures_of_other_tools_do_not_break_the_history(self, engine: Engine, perf: dict[str, Any]) -> None:
        store(engine, drawn(perf_data=perf), "save")
        (entry,) = entries(engine, Wanted())
        assert (entry.throughput, entry.low, entry.high, entry.steady) == (None, None, None, None)
        assert find(engine, 1).record.perf_data == perf

    def test_figures_have_all_their_digits(self, engine: Engine) -> None:
        figures = [22, 1e300, 22.123456789012345, 1e-7]
        submit(engine, [drawn(perf_data={"throughput": figure}) for figure in figures], "save")
        assert [entry.throughput for entry in entries(engine, Wanted())] == figures[::-1]

    def test_filters(self, engine: Engine) -> None:
        submit(
            engine,
            [
                drawn(),
                drawn(model="resnet50", dev="other_100%-40gb"),
                drawn(train_type="TF32", dev="DRAWN-40GB"),
                drawn(train_type=None, dev="otherX100Y-40gb"),
            ],
            "save",
        )

        def ids(**wanted: Any) -> list[int]:
            listed = [entry.id for entry in entries(engine, Wanted(**wanted))]
            assert [number for number, _ in records(engine, Wanted(**wanted))] == listed
            return listed

        assert ids() == [4, 3, 2, 1]
        assert ids(limit=2) == [4, 3]
        assert ids(model="pix2pix-resnet_9blocks") == [4, 3, 1]
        assert ids(model="pix2pix_resnet_9blocks") == [4, 3, 1]  # as it is launched
        assert ids(model="resnet") == []
        assert ids(device="drawn") == [3, 1]
        assert ids(device="_100%-") == [2]  # no wildcards
        assert ids(precision="TF32") == [3]
        assert ids(model="pix2pix-resnet_9blocks", device="drawn", precision="FP32", limit=5) == [1]
        middle = datetime(2026, 1, 15, 12, tzinfo=timezone(timedelta(hours=2)))
        for number, day in enumerate((14, 15, 15, 16), 1):
            hour = "09" if number == 2 else "11"  # 10:00 UTC is the middle
            moment = f"2026-01-{day} {hour}:00:00.000000" + ("+00" if engine.dialect.name == "postgresql" else "")
            sql(engine, f"UPDATE train_results SET create_at = '{moment}' WHERE id = {number}")
        assert ids(since=middle) == [4, 3]
        assert ids(since=middle + timedelta(hours=1)) == [4, 3]
        assert ids(since=middle + timedelta(hours=1, seconds=1)) == [4]

    def test_a_row_that_is_not_there(self, engine: Engine) -> None:
        with pytest.raises(RecordError, match="there is no record 7"):
            find(engine, 7)

    def test_a_row_that_holds_no_record_says_which(self, engine: Engine) -> None:
        store(engine, drawn(), "save")
        sql(engine, "UPDATE train_results SET dev_num = 0")
        with pytest.raises(RecordError, match="record 1: dev_num: "):
            find(engine, 1)

    @pytest.mark.parametrize("extra", ['"text"', "[1]", "5", "null"])
    def test_an_extra_of_another_kind_is_told_not_tripped_over(self, engine: Engine, extra: str) -> None:
        store(engine, drawn(), "save")
        sql(engine, "UPDATE train_results SET extra = :extra", extra=extra)
        assert entries(engine, Wanted())[0].run_id is None
        if extra == "null":
            assert find(engine, 1).record.extra is None
        else:
            with pytest.raises(RecordError, match="record 1: extra: "):
                find(engine, 1)
        store(engine, of_run("run-1"), "save")
        assert count(engine, "train_results") == 2

    # many at once

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("store_type", "of_runs"), [("skip", False), ("save", False), ("update", False), ("save", True)]
    )
    def test_eight_processes_leave_each_record_once(
        self, database: DatabaseConfig, store_type: str, of_runs: bool
    ) -> None:
        actions = submit_together(database, store_type, of_runs)
        otherwise = "updated" if store_type == "update" else "already there"
        assert actions == {"inserted": RECORDS, otherwise: (PROCESSES - 1) * RECORDS}
        engine = connect(database)
        counts = {"train_results": 200, "models": 3, "software_infos": 5, "hardware_infos": 7}
        assert {table: count(engine, table) for table in counts} == counts
        stored = sorted(to_yaml(record) for _, record in records(engine, Wanted()))
        assert stored == sorted(to_yaml(record) for record in same_records(of_runs))

    # the schema

    def test_a_second_upgrade_changes_nothing(self, engine: Engine) -> None:
        store(engine, drawn(), "save")
        assert upgrade(engine) is None
        assert count(engine, "train_results") == 1

    def test_a_schema_that_only_a_later_gbench_knows_is_left_alone(self, engine: Engine) -> None:
        sql(engine, "UPDATE gbench_migrations SET version_num = '9999'")
        assert upgrade(engine) is None
        assert store(engine, drawn(), "save") == (1, "inserted")
        assert sql(engine, "SELECT version_num FROM gbench_migrations") == [("9999",)]

    def test_rebuilding_leaves_an_empty_database(self, engine: Engine) -> None:
        store(engine, drawn(), "save")
        drop_all(engine)
        assert upgrade(engine) is None
        assert [count(engine, table) for table in ("train_results", "models", "software_infos")] == [0, 0, 0]
        assert store(engine, drawn(), "save") == (1, "inserted")

    def test_a_database_that_is_not_there_is_told_by_reading(self, database: DatabaseConfig) -> None:
        with pytest.raises(InfrastructureError) as error:
            connect(database)
        assert "\n" not in str(error.value)
