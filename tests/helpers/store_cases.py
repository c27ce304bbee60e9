"""Storing records in any database: by store type, and each run once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from drawn_records import drawn, of_run, record
from gbench.cndb.database import connect_or_create
from gbench.cndb.database_config import DatabaseConfig
from gbench.cndb.identity import md5_of
from gbench.cndb.queries import find
from gbench.cndb.record import Record
from gbench.cndb.record_file import to_yaml
from gbench.cndb.store import BATCH, submit
from stores import Cases, count, sql, store


class StoreCases(Cases):
    """The cases."""

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

    def test_save_skips_an_equal_record_with_another_run_number(self, engine: Engine) -> None:
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

    def test_of_several_rows_of_a_run_the_first_counts(self, engine: Engine) -> None:
        submit(engine, [of_run(f"run-{number}") for number in (1, 2, 3)], "save")
        with engine.begin() as connection:
            connection.execute(text("UPDATE train_results SET extra = (SELECT extra FROM train_results WHERE id = 2)"))
        assert store(engine, of_run("run-2"), "save") == (1, "already there")

    def test_other_content_of_a_run_is_told(self, engine: Engine) -> None:
        assert submit(engine, [record("run-1")], "save")[0].differs == ()
        for again, keys in (
            (record("run-1"), ()),
            (record("run-1", throughput=1.5), ("perf_data",)),
            (record("run-1", tags=["x"], model="another"), ("tags", "model")),
            (record("run-1", extra={"driver": "1"}), ("extra",)),
        ):
            (stored,) = submit(engine, [again], "save")
            assert (stored.id, stored.action, set(stored.differs) - {"md5_val"}) == (1, "already there", set(keys))
            assert submit(engine, [again], "skip")[0].differs == ()

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

    def test_a_transaction_looks_up_its_records_together(self, engine: Engine) -> None:
        queries: list[str] = []

        def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            queries.extend(statement.split()[:1])

        submit(engine, [of_run("run-0")], "save")
        event.listen(engine, "before_cursor_execute", note)
        counts = []
        for several in (2, 40):
            for start in (of_run, lambda name: drawn(tags=[name])):
                submit(engine, [start(f"{several}-{number}") for number in range(several)], "save")
            counts.append(queries.count("SELECT"))
            queries.clear()
        assert counts[0] == counts[1]

    def test_what_another_stores_between_two_transactions_is_found(
        self, engine: Engine, database: DatabaseConfig
    ) -> None:
        batch = [drawn(dev_num=number + 1) for number in range(BATCH + 1)]
        connected: list[int] = []

        def store_the_last(_: Any) -> None:
            connected.append(count(engine_of_another, "train_results"))
            if len(connected) == 2:
                submit(engine_of_another, batch[-1:], "save")

        engine_of_another = connect_or_create(database)
        event.listen(engine, "engine_connect", store_the_last)
        stored = submit(engine, batch, "save")
        assert connected == [0, BATCH]
        assert [one.action for one in stored] == ["inserted"] * BATCH + ["already there"]
        assert stored[-1].id == BATCH + 1

    def test_an_update_finds_what_the_one_before_it_left(self, engine: Engine) -> None:
        first = of_run("run-1")
        submit(engine, [first], "save")
        changed = of_run("run-1", dev_num=4)
        again = drawn(md5_val=md5_of(first))
        actions = [stored.action for stored in submit(engine, [changed, again, again], "update")]
        assert actions == ["updated", "inserted", "updated"]
