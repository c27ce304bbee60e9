"""A launch of a configuration that has earlier runs: the interval between runs, wherever the headline is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Answer

from gbench.cndb.record_file import read_record, write_record
from gbench.cndb.verify import verify
from gbench.experiments.sweep_file import CellAttempt, Sweep, SweepCell, SweepFolder
from gbench.experiments.sweep_matrix import Place
from gbench.experiments.sweep_table import cells, notes, rows_of
from pages import Page
from shared_runs import LAUNCHED, launched_once, the_run


@pytest.mark.slow
def test_the_interval_between_runs_stands_next_to_the_headline(
    gbench: Callable[..., Answer], small_launch: list[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    earlier = read_record(launched_once(tmp_path_factory, small_launch).record)
    assert earlier.perf_data is not None and earlier.extra is not None
    for number in range(5):
        run_id = f"2025010{number}T000000Z-pix2pix_resnet_9blocks-00000{number}"
        changes: dict[str, Any] = {
            "perf_data": {**earlier.perf_data, "throughput": 20.0 + number % 2},
            "extra": {**earlier.extra, "run_id": run_id, "started_utc": f"2025-01-0{number + 1}T00:00:00+00:00"},
        }
        write_record(earlier.model_copy(update=changes), tmp_path / "cndb", run_id)
    answer = gbench("launch", *LAUNCHED, *small_launch)
    assert answer.code == 0, answer.err
    folder = the_run(tmp_path)
    (line,) = (line for line in answer.out.splitlines() if line.startswith("between runs"))
    assert line.endswith("as 5 earlier runs of this configuration differ")
    assert line in gbench("summary", folder.path).out
    path = Path(str(folder.host().record))
    record = read_record(path)
    assert record.extra is not None and record.extra["between_runs"]["runs"] == 5
    assert verify(record, folder).holds is True
    gbench("report", path, "--out", "record.html")
    for page in (folder.path / "report.html", tmp_path / "record.html"):
        assert "as 5 earlier runs of this configuration differ" in Page(page.read_text(encoding="utf-8")).text

    spec = folder.spec()
    place = Place(batch_size=4, device_count=1, precision="FP32", data="real")
    attempt = CellAttempt(run=folder.path.name, state="done", record=str(path))
    cell = SweepCell(place=place, attempts=[attempt])
    sweep, at = Sweep(scaling="strong", stop_at_oom=False, spec=spec, cells=[cell]), SweepFolder(folder.path.parent)
    rows = rows_of(at, sweep)
    headings, row = cells(rows)
    assert headings[-1] == "between runs" and row[-1].startswith("±")
    assert any(note.startswith("between runs: ") for note in notes(sweep, rows))
