"""Record files for the tests of `gbench cndb`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from drawn_records import record
from gbench.cndb.record_file import save


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three record files: two runs, and a record of another tool. They ran a moment ago, in this order."""
    ran = [{"started_utc": (datetime.now(timezone.utc) - timedelta(minutes=3 - n)).isoformat()} for n in range(3)]
    made = [
        record(run_id="r1", throughput=20.5, extra=ran[0]),
        record(run_id="r2", throughput=21.5, tags=["nightly"], extra=ran[1]),
        record(model="resnet50", dev="MLU270-X5K", train_type="O1", perf_data={"mean": 56.9}, extra=ran[2]),
    ]
    for number, one in enumerate(made):
        save(one, tmp_path / f"{number}.yaml")
    return [str(tmp_path / f"{number}.yaml") for number in range(len(made))]
