"""The interval between runs: what it covers, and the earlier runs that it is made from."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn_pairs import IMAGES, Machine
from drawn_records import PLAIN
from gbench.cndb.database_config import embedded
from gbench.cndb.record import Record
from gbench.cndb.record_file import write_record
from gbench.cndb.schema import prepared
from gbench.cndb.store import submit
from gbench.cndb.upload import Target, history_of
from gbench.compare.between_runs import find_between_runs, find_one_device, interval
from gbench.compare.metrics import NORMAL_95

LATEST = datetime(2026, 1, 31, tzinfo=timezone.utc)


def a_run(days_ago: float, throughput: float = 20.0, **changes: Any) -> Record:
    begun = LATEST - timedelta(days=days_ago)
    run_id = f"{begun:%Y%m%dT%H%M%SZ}-pix2pix_resnet_9blocks-{int(10 * days_ago):06x}"
    extra = {"run_id": run_id, "started_utc": begun.isoformat(), **changes.pop("extra", {})}
    return Record.model_validate({**PLAIN, "perf_data": {"throughput": throughput}, "extra": extra, **changes})


def kept(cndb_dir: Path, records: list[Record]) -> None:
    for one in records:
        write_record(one, cndb_dir, str(one.run_id))


def nights(count: int, **changes: Any) -> list[Record]:
    """Runs of 20.0 and 20.2 img/s in turn, the last one a day ago."""
    return [a_run(1 + day, 20.0 + 0.2 * (day % 2), **changes) for day in range(count)]


@pytest.mark.parametrize(("run_sd", "steps_cover"), [(0.01, 0.5), (0.03, 0.25)])
def test_runs_differ_by_more_than_their_steps_say(run_sd: float, steps_cover: float) -> None:
    """As in docs/statistics.md, with fewer draws."""
    rng, covers = np.random.default_rng(0), []
    for _ in range(200):
        *earlier, own = Machine(run_sd).side(11, rng).readings()
        low, high = interval(own, earlier)
        of_steps = abs(np.log(own.value / IMAGES)) <= NORMAL_95 * own.error_share
        covers.append((of_steps, low <= IMAGES <= high))
    steps, between = np.mean(covers, axis=0)
    assert steps < steps_cover and between > 0.9


def test_five_record_files_of_the_configuration_are_a_history(tmp_path: Path) -> None:
    own = a_run(0, 21.0)
    kept(tmp_path, nights(4))
    kept(tmp_path, [a_run(7, 5.0, batch_size=16), a_run(8, 5.0, hyper_params={"lr": 1.0}), a_run(-1, 5.0)])
    assert find_between_runs(own, tmp_path, None, print) is None
    kept(tmp_path, nights(6))
    (tmp_path / "records" / "notes.yaml").write_text("mine: [")
    broken = write_record(one := a_run(0.5), tmp_path, str(one.run_id))
    broken.write_text("mine: [")
    warnings: list[str] = []
    found = find_between_runs(own, tmp_path, None, warnings.append)
    assert found is not None and found.runs == 6
    assert len(warnings) == 1 and warnings[0].startswith(f"an earlier record is left out: {broken} line ")
    # successive differences of 1 %: a standard deviation of 0.7 %, and Student's t of 3.6 degrees of freedom
    assert found.half_width_share == pytest.approx(2.92 * 0.01 / 2**0.5, rel=0.03)
    assert (found.low + found.high) / 2 == pytest.approx(21.0, rel=1e-3)
    assert found.text.endswith("as 6 earlier runs of this configuration differ")


def test_other_machines_are_no_history(tmp_path: Path) -> None:
    kept(tmp_path, nights(6, extra={"machine": {"key": "one"}}))
    assert find_between_runs(a_run(0, extra={"machine": {"key": "other"}}), tmp_path, None, print) is None
    assert find_between_runs(a_run(0, extra={"machine": {"key": "one"}}), tmp_path, None, print) is not None


def test_the_database_is_asked_where_files_are_few(tmp_path: Path) -> None:
    own, config = a_run(0), embedded(tmp_path)
    assert find_between_runs(own, tmp_path, Target(config), print) is None  # there is none yet
    assert history_of(None, tmp_path) is None
    submit(prepared(config)[0], nights(40), "save")
    for database in (Target(config), None):
        found = find_between_runs(own, tmp_path, history_of(database, tmp_path), print)
        assert found is not None and found.runs == 30


def test_several_devices_are_compared_with_one(tmp_path: Path) -> None:
    def on(devices: int, batch: int, days_ago: float, throughput: float, **extra: Any) -> Record:
        changes = {"dev_num": devices, "batch_size": batch, "dist_type": "DDP" if devices > 1 else "Single"}
        extra = {"batch_size_per_device": batch // devices, "spec": {"nodes": max(1, devices // 2)}, **extra}
        return a_run(days_ago, throughput, extra=extra, **changes)

    own = on(4, 32, 0, 60.0)
    assert find_one_device(own, tmp_path, None, print) is None
    others = [on(1, 32, 2, 90.0), on(2, 16, 3, 90.0), on(1, 8, 4, 90.0, dataset_sha256="other"), on(1, 8, -1, 90.0)]
    kept(tmp_path, [*others, on(1, 8, 5, 19.0), on(1, 8, 6, 21.0)])
    found = find_one_device(own, tmp_path, None, print)
    assert found is not None and (found.runs, found.throughput, found.efficiency) == (2, 20.0, 0.75)
    assert found.text == "75.0% of one device, by 2 runs with the same batch a device on this machine"
    assert find_one_device(on(1, 8, 0, 20.0), tmp_path, None, print) is None
