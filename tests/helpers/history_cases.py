"""The history's entries and filters, on any database."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine

from drawn_records import drawn, of_run
from gbench.cli.shared.entries import print_entries
from gbench.cndb.queries import RecordFilter, entries, find, records, undated
from gbench.cndb.store import submit
from gbench.errors import RecordError
from stores import Cases, count, sql, store


def ran(engine: Engine, number: int, moment: str) -> None:
    """Change when the run of a record started."""
    extra = json.dumps({"started_utc": moment})
    sql(engine, f"UPDATE train_results SET extra = :extra WHERE id = {number}", extra=extra)


class HistoryCases(Cases):
    """The cases."""

    def test_entries_say_what_the_record_says_newest_first(self, engine: Engine) -> None:
        bare = drawn(perf_data=None, metric_data={"G_L1": 1.5})
        submit(engine, [of_run("run-1"), bare], "save")
        second, first = entries(engine, RecordFilter())
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
        (entry,) = entries(engine, RecordFilter())
        assert (entry.throughput, entry.low, entry.high, entry.steady) == (None, None, None, None)
        assert find(engine, 1).record.perf_data == perf

    def test_a_row_without_a_model_is_listed_and_is_no_record(self, engine: Engine) -> None:
        submit(engine, [drawn()], "save")
        sql(engine, "UPDATE train_results SET model_id = NULL")
        for limit in (None, 5):
            (entry,) = entries(engine, RecordFilter(limit=limit))
            assert (entry.id, entry.model, entry.throughput) == (1, None, 22.5)
            refused: list[RecordError] = []
            assert list(records(engine, RecordFilter(limit=limit), refused.append)) == []
            assert [one.what for one in refused] == ["record 1: model: input should be a valid string (it is None)"]
        assert undated(engine, RecordFilter()) == 1
        print_entries([entry])

    def test_figures_have_all_their_digits(self, engine: Engine) -> None:
        figures = [22, 1e300, 22.123456789012345, 1e-7]
        submit(engine, [drawn(perf_data={"throughput": figure}) for figure in figures], "save")
        assert [entry.throughput for entry in entries(engine, RecordFilter())] == figures[::-1]

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
            listed = [entry.id for entry in entries(engine, RecordFilter(**wanted))]
            assert [number for number, _ in records(engine, RecordFilter(**wanted))] == listed
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
            ran(engine, number, f"2026-01-{day}T{hour}:00:00.000+00:00")
        assert ids(since=middle) == [4, 3]
        assert ids(since=middle + timedelta(hours=1)) == [4, 3]
        assert ids(since=middle + timedelta(hours=1, seconds=1)) == [4]

    def test_the_latest_run_is_first_and_unknown_times_last(self, engine: Engine) -> None:
        submit(engine, [drawn(dev_num=number) for number in range(1, 7)], "save")
        moments = ["2026-01-02T03:04:05.678+00:00", "2026-01-02T03:04:05.679+00:00", "2025-12-31T23:59:59+00:00"]
        for number, moment in enumerate([*moments, "x" * 5000], 1):
            ran(engine, number, moment)
        found = entries(engine, RecordFilter())
        assert [entry.id for entry in found] == [2, 1, 3, 4, 6, 5]
        assert [entry.ran and entry.ran.isoformat(timespec="milliseconds") for entry in found] == [
            *sorted((*moments[:2], "2025-12-31T23:59:59.000+00:00"), reverse=True),
            None,
            None,
            None,
        ]
        assert undated(engine, RecordFilter(since=datetime.now(timezone.utc), device="drawn")) == 3
        assert undated(engine, RecordFilter(since=datetime.now(timezone.utc), device="other")) == 0

    def test_times_of_other_zones_and_texts_that_are_none(self, engine: Engine) -> None:
        texts = {
            "2026-01-02T03:00:00-08:00": datetime(2026, 1, 2, 11),
            "2026-01-02T12:00:00+09:00": datetime(2026, 1, 2, 3),
            "2026-01-02T10:00:00Z": datetime(2026, 1, 2, 10),
            "2026-01-02T09:59:59.999": datetime(2026, 1, 2, 9, 59, 59, 999000),
            "yesterday": None,
            "2026-99-99": None,
            "-1": None,
        }
        submit(engine, [drawn(dev_num=number) for number in range(1, 8)], "save")
        for number, text in enumerate(texts, 1):
            ran(engine, number, text)
        listed = entries(engine, RecordFilter())
        assert [entry.id for entry in listed][:4] == [1, 3, 4, 2]
        assert [entry.ran and entry.ran.replace(tzinfo=None) for entry in sorted(listed, key=lambda one: one.id)] == [
            *texts.values()
        ]
        for limit in (None, 2, 1):
            wanted = RecordFilter(since=datetime(2026, 1, 2, 10, tzinfo=timezone.utc), limit=limit)
            assert [entry.id for entry in entries(engine, wanted)] == [1, 3][:limit]
            assert len([number for number, _ in records(engine, wanted)]) == (limit or 2)
        assert entries(engine, RecordFilter(since=datetime.min.replace(tzinfo=timezone.utc)))[-1].id == 2
        assert undated(engine, RecordFilter(since=datetime.now(timezone.utc))) == 2  # not "2026-99-99"

    @pytest.mark.parametrize("metrics", ['"text"', "[1]", "5", "null"])
    def test_metrics_of_another_kind_are_listed(self, engine: Engine, metrics: str) -> None:
        store(engine, drawn(), "save")
        sql(engine, "UPDATE train_results SET metrics = :metrics", metrics=metrics)
        found = entries(engine, RecordFilter())
        print_entries(found)
        assert [entry.id for entry in found] == [1]

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
        assert entries(engine, RecordFilter())[0].run_id is None
        if extra == "null":
            assert find(engine, 1).record.extra is None
        else:
            with pytest.raises(RecordError, match="record 1: extra: "):
                find(engine, 1)
        store(engine, of_run("run-1"), "save")
        assert count(engine, "train_results") == 2
