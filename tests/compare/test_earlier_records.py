"""Earlier runs of a configuration, from a database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from drawn_records import record
from gbench.cndb.database_config import embedded
from gbench.cndb.record import Record
from gbench.cndb.record_file import write_record
from gbench.cndb.schema import prepared
from gbench.cndb.store import submit
from gbench.compare.earlier_records import earlier_files, earlier_runs


def run(day: int, **changes: Any) -> Record:
    extra = {"started_utc": f"2026-01-{day:02d}T00:00:00.000+00:00", **changes.pop("extra", {})}
    return record(run_id=f"day {day}", extra=extra, **changes)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Ten days of runs; day 3 by another precision, day 5 in another image, day 7 with another dataset."""
    changes: dict[int, dict[str, Any]] = {
        3: {"train_type": "TF32"},
        5: {"soft_info": {"name": "other"}},
        7: {"extra": {"dataset_sha256": "decaf"}},
    }
    config = embedded(tmp_path)
    engine, _ = prepared(config)
    submit(engine, [run(day, **changes.get(day, {})) for day in range(1, 11)], "save")
    return engine


def days(engine: Engine, like: Record, limit: int = 99, allowed: tuple[str, ...] = (), *besides: Record) -> list[str]:
    found = earlier_runs(engine, like, allowed, [like, *besides], limit)
    return [str(one.record.run_id).removeprefix("day ") for one in found.runs]


def test_they_are_of_this_configuration_oldest_first(engine: Engine) -> None:
    assert days(engine, run(9)) == ["1", "2", "4", "5", "6", "8"]
    assert days(engine, run(9), 2) == ["6", "8"]
    assert days(engine, run(20), 3) == ["8", "9", "10"]


def test_allowed_fields_let_more_in_but_not_what_is_compared(engine: Engine) -> None:
    assert days(engine, run(9), 99, ("precision", "dataset_sha256")) == ["1", "2", "3", "4", "5", "6", "7", "8"]
    assert days(engine, run(9), 99, (), run(8), run(1)) == ["2", "4", "5", "6"]


def test_other_devices_and_models_come_in_if_they_are_allowed(engine: Engine) -> None:
    submit(engine, [run(11, dev="Other-80GB"), run(12, model="other")], "save")
    assert days(engine, run(20), 3) == ["8", "9", "10"]
    assert days(engine, run(20), 3, ("device",)) == ["9", "10", "11"]
    assert days(engine, run(20), 3, ("model",)) == ["9", "10", "12"]
    among = earlier_runs(engine, run(20), ("model",), [], 99, among=2)
    assert [one.source for one in among.runs] == ["record 10", "record 12"]


def test_a_run_is_left_out_by_its_id_or_as_the_same_record(engine: Engine) -> None:
    changed = run(8, perf_data={"throughput": 1.0})
    assert days(engine, run(9), 99, (), changed) == ["1", "2", "4", "5", "6"]
    nameless = record(extra={"started_utc": "2026-01-01T12:00:00+00:00"})
    submit(engine, [nameless], "save")
    noon = run(2, extra={"started_utc": "2026-01-01T12:00:00.000+00:00"})
    assert days(engine, noon) == ["1"]
    for like in (run(2), record(extra={"started_utc": "2026-01-02T00:00:00+00:00"})):
        assert days(engine, like) == ["1", "None"]
    (stored,) = [one.record for one in earlier_runs(engine, run(2), (), [], 99).runs if one.record.run_id is None]
    assert days(engine, run(2), 99, (), stored) == ["1"]


def test_runs_of_other_machines_are_left_out_unless_allowed(engine: Engine) -> None:
    here, there = ({"machine": {"host_name": name, "key": name * 16}} for name in "ab")
    submit(engine, [run(11, extra=here), run(12, extra=there)], "save")
    assert days(engine, run(20, extra=here), 3) == ["9", "10", "11"]  # days 9 and 10 don't say their machine
    assert days(engine, run(20, extra=there), 3) == ["9", "10", "12"]
    assert days(engine, run(20, extra=there), 3, ("machine",)) == ["10", "11", "12"]
    left_out = [earlier_runs(engine, run(20, extra=there), allowed, [], 99) for allowed in ((), ("machine",))]
    assert [one.elsewhere for one in left_out] == [1, 0]
    assert left_out[0].notes == [
        "1 record of another machine is left out of the earlier runs; --allow machine admits it"
    ]


def test_a_record_without_run_or_time_is_told_by_what_it_says(engine: Engine) -> None:
    assert days(engine, record()) == ["1", "2", "4", "5", "6", "8", "9", "10"]


def test_record_files_are_named_by_their_paths(tmp_path: Path) -> None:
    paths = [write_record(run(number), tmp_path, f"day {number}") for number in range(1, 6)]
    warned: list[str] = []
    for like, limit, found in ((run(6), 2, paths[3:]), (run(4), 3, paths[:3])):
        sources = [one.source for one in earlier_files(tmp_path, like, limit, warned.append).runs]
        assert sources == list(map(str, found))
    assert warned == []
