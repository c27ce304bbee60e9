"""The best peak of a GPU on record: from what runs did, and the share of the peak that it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drawn_records import record
from gbench.cndb.database_config import embedded
from gbench.cndb.peaks import best_on_record
from gbench.cndb.schema import prepared
from gbench.cndb.store import submit


def limits(tflop_s: Any, flop_share: Any, gb_s: Any, copy_share: Any) -> dict[str, Any]:
    shares = {"measured_flop_share": flop_share, "measured_copy_share": copy_share}
    return {"throughput": 20.0, "limits": {"tflop_s": tflop_s, "gb_s": gb_s, **shares}}


def test_the_best_of_each_and_the_run_of_the_first(tmp_path: Path) -> None:
    engine, _ = prepared(embedded(tmp_path))
    records = [
        record(run_id="r1", perf_data=limits(10.0, 0.5, 100.0, 0.5)),
        record(run_id="r2", perf_data=limits(12.0, 0.5, 90.0, 0.25)),
        record(run_id="r3", perf_data=limits(1.0, 0.5, 1.0, 0.5)),
    ]
    # not of it: another device, another precision, and what is no figure
    records.append(record(run_id="r4", dev="another", perf_data=limits(99.0, 0.5, 999.0, 0.5)))
    records.append(record(run_id="r5", train_type="another", perf_data=limits(99.0, 0.5, 999.0, 0.5)))
    for number, (reached, share) in enumerate(((99.0, 0), (99.0, None), ("much", 0.5), (-99.0, 0.5), (1e308, 1e-9))):
        records.append(record(run_id=f"no{number}", perf_data=limits(reached, share, reached, share)))
    records.append(record(run_id="none", perf_data={"throughput": 20.0}))
    submit(engine, records, "save")
    device, precision = records[0].dev, str(records[0].train_type)
    best = best_on_record(engine, device, precision)
    assert best is not None and best.values() == {"tflop_s": 24.0, "copy_gb_s": 360.0, "source": "run r2"}
    assert best_on_record(engine, "unheard of", precision) is None


def test_a_record_without_a_run_is_named_by_its_number(tmp_path: Path) -> None:
    engine, _ = prepared(embedded(tmp_path))
    submit(engine, [record(run_id=None, perf_data=limits(10.0, 0.5, None, None))], "save")
    of_it = record()
    best = best_on_record(engine, of_it.dev, str(of_it.train_type))
    assert best is not None and (best.source, best.tflop_s) == ("record 1", 20.0)
