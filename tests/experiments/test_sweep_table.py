"""The table of a sweep: its arithmetic on run folders with a fake clock, and missing figures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gbench.cndb.from_run import record_of
from gbench.experiments.sweep_file import CellAttempt, Sweep, SweepCell, SweepFolder
from gbench.experiments.sweep_matrix import Place, Scaling
from gbench.experiments.sweep_table import cells, notes, rows_of, to_json, write_page
from gbench.measure.summary import summarize_folder
from gbench.settings.spec import RunSpec
from run_folders import ENVIRONMENT, write_run

MakeSpec = Callable[..., RunSpec]
MEMORY = [{"host_rss_bytes": 2**30}, {"host_rss_bytes": 3 * 2**29}]
WORK = {"flop": 10**9, "bytes": 10**9}
PEAK = {"gemm_tflop_s": 0.1, "conv_tflop_s": 0.05, "copy_gb_s": 10.0}


@pytest.fixture
def sweep_of(make_spec: MakeSpec, tmp_path: Path) -> Callable[..., tuple[SweepFolder, Sweep]]:
    """A sweep whose done cells, by (batch, devices), have steps of so many seconds; None: they are out of memory."""

    def make(
        cells: dict[tuple[int, int], float | None], scaling: Scaling = "strong", steps: int = 60, **environment: Any
    ) -> tuple[SweepFolder, Sweep]:
        folder, base = SweepFolder(tmp_path / "sweep"), make_spec()
        sweep = Sweep(scaling=scaling, stop_at_oom=False, spec=base, cells=[])
        folder.create(sweep)
        for (batch, devices), step_s in cells.items():
            place = Place(batch_size=batch, device_count=devices, precision="FP32", data="real")
            run = f"run-{batch}-{devices}"
            if step_s is None:
                attempt = CellAttempt(run=run, state="out_of_memory", reason="the host is out of memory; take less")
            else:
                spec = place.spec(base).model_copy(update={"run_id": run, "results_dir": str(folder.path)})
                written = write_run(spec, steps, steps, step_s=lambda step, step_s=step_s: step_s)  # type: ignore[misc]
                facts = {"memory": MEMORY[:devices], "work_per_image": WORK, "peak": None, **environment}
                if callable(peak := facts["peak"]):
                    facts["peak"] = peak((batch, devices))
                written.write("environment.json", {**(written.read("environment.json") or {}), **facts})
                summary = summarize_folder(written)
                assert summary is not None
                written.write("result.json", asdict(summary))
                attempt = CellAttempt(run=run, state="done", record="record.yaml")
            sweep.cells.append(SweepCell(place=place, attempts=[attempt]))
        folder.write(sweep)
        return folder, folder.read()

    return make


def efficiency(found: tuple[SweepFolder, Sweep]) -> list[float | None]:
    return [row.scaling_efficiency for row in rows_of(*found)]


def test_strong_scaling_compares_with_one_device_of_equal_total(sweep_of: Any) -> None:
    found = sweep_of({(4, 1): 0.1, (8, 1): 0.2, (4, 2): 0.08, (8, 2): 0.1})
    assert [row.throughput for row in rows_of(*found)] == pytest.approx([40, 40, 50, 80])
    assert efficiency(found) == pytest.approx([1.0, 1.0, 0.625, 1.0])
    assert "scaling: strong, throughput a device against that of 1 device with the same total" in "\n".join(
        notes(found[1], rows_of(*found))
    )


def test_weak_scaling_compares_equal_batches_per_device(sweep_of: Any) -> None:
    found = sweep_of({(4, 1): 0.1, (8, 2): 0.125}, "weak")
    assert [row.throughput for row in rows_of(*found)] == pytest.approx([40, 64])
    assert efficiency(found) == pytest.approx([1.0, 0.8])
    assert "scaling: weak, throughput a device against that of 1 device with the same batch" in "\n".join(
        notes(found[1], rows_of(*found))
    )


def test_a_figure_that_is_missing_is_a_dash_and_never_a_zero(sweep_of: Any) -> None:
    folder, sweep = sweep_of({(4, 1): None, (8, 1): 0.2, (4, 2): 0.08})
    rows = rows_of(folder, sweep)
    assert [row.scaling_efficiency for row in rows] == [None, 1.0, None]
    headings, *texts = cells(rows)
    assert headings[3:] == ["devices", "batch", "img/s", "95 %", "scaling", "GiB", "MFU"]
    assert texts[0] == ["FP32", "real", "out of memory", "1", "4", *["-"] * 5]
    assert texts[2][5:] == ["50", "±0.0%", "-", "1.5", "-"]
    said = notes(sweep, rows)
    assert said[-1] == "FP32, 1 device, batch 4: out of memory: the host is out of memory; take less"
    assert not any(note.startswith("NOT STEADY") for note in said)


def test_a_run_folder_that_is_no_more_costs_its_own_row_alone(sweep_of: Any) -> None:
    folder, sweep = sweep_of({(4, 1): 0.1, (8, 1): 0.1, (8, 2): 0.1})
    shutil.rmtree(folder.path / "run-4-1")
    (folder.path / "run-8-2" / "result.json").write_text("{")
    rows = rows_of(folder, sweep)
    assert [row.throughput for row in rows] == [None, pytest.approx(80), None]
    gone, broken = notes(sweep, rows)[-2:]
    assert gone == f"FP32, 1 device, batch 4: done: no figures: {folder.path}/run-4-1 has no spec.json"
    assert broken.startswith(f"FP32, 2 devices, batch 8: done: no figures: {folder.path}/run-8-2/result.json is broken")


def test_cells_that_were_not_steady_are_named(sweep_of: Any) -> None:
    folder, sweep = sweep_of({(8, 1): 0.2, (4, 2): 0.08}, steps=12)
    rows = rows_of(folder, sweep)
    assert cells(rows)[1][5:] == ["40", "-", "100%", "1", "-"]  # too few steps for an interval
    assert "NOT STEADY, give more --steps: FP32, 1 device, batch 8; FP32, 2 devices, batch 4" in notes(sweep, rows)


def test_cells_that_ran_on_other_data_are_named(sweep_of: Any) -> None:
    folder, sweep = sweep_of({(4, 1): 0.1}, data={"source": "real", "because": "the cache is full"})
    cell = sweep.cells[0]
    cell.place = cell.place.replaced(data="cached")
    rows = rows_of(folder, sweep)
    assert cells(rows)[1][1] == "real"
    assert "NOT READ AS ASKED FOR, the log says why: FP32, 1 device, batch 4, cached data: real" in notes(sweep, rows)
    cell.place = cell.place.replaced(data="real")
    assert not any(note.startswith("NOT READ") for note in notes(sweep, rows))


def test_mfu_uses_the_data_sheet_if_all_have_one(sweep_of: Any) -> None:
    folder, sweep = sweep_of({(4, 1): 0.1}, peak=PEAK, device="V100-PCIE-32GB")
    (row,) = rows = rows_of(folder, sweep)
    assert row.measured_flop_share == pytest.approx(0.04 / 0.1)
    assert row.data_sheet_flop_share == pytest.approx(0.04 / 14.0)
    assert "MFU: share of a device's peak by its data sheet" in "\n".join(notes(sweep, rows))


def test_mfu_of_a_card_that_is_not_known(sweep_of: Any) -> None:
    folder, sweep = sweep_of({(4, 1): 0.1, (4, 2): 0.1}, peak=PEAK, device=ENVIRONMENT["device"])
    rows = rows_of(folder, sweep)
    assert [row.data_sheet_flop_share for row in rows] == [None, None]
    assert [text[-1] for text in cells(rows)[1:]] == ["40%", "20%"]
    assert (
        "MFU: share of the best peak that a cell of this sweep measured on as many devices, in the precision of the "
        "run; a cell's record has the share of its own run's"
    ) in notes(sweep, rows)


def test_mfu_uses_the_best_measured_peak_of_a_device(sweep_of: Any) -> None:
    """Each run measures with a convolution of its own batch: by its own peak the slower cell would look the better."""
    peaks = {(1, 1): 0.05, (2, 1): 0.1, (2, 2): 0.04}
    steps = {(1, 1): 0.05, (2, 1): 0.08, (2, 2): 0.1}  # 20, 25 and 20 img/s: 0.02, 0.025 and 0.01 TFLOP/s a device
    folder, sweep = sweep_of(steps, peak=lambda place: {**PEAK, "gemm_tflop_s": 0.001, "conv_tflop_s": peaks[place]})
    rows = rows_of(folder, sweep)
    assert [row.peak_tflop_s for row in rows] == pytest.approx([0.05, 0.1, 0.04])
    assert [row.measured_flop_share for row in rows] == pytest.approx([0.2, 0.25, 0.25])  # two devices: by their own
    assert [text[-1] for text in cells(rows)[1:]] == ["20%", "25%", "25%"]
    limits = (record_of(folder.run(sweep.cells[0].attempts[0])).perf_data or {})["limits"]
    assert limits["measured_flop_share"] == pytest.approx(0.4)  # a record's is of its own run


def test_the_page_and_the_json_say_the_same(sweep_of: Any) -> None:
    folder, sweep = sweep_of({(4, 1): 0.1, (4, 2): None})
    rows = rows_of(folder, sweep)
    write_page(folder, sweep)
    page = folder.page.read_text()
    assert "| FP32 | real | done | 1 | 4 | 40 | ±0.0% | 100% | 1 | - |" in page
    assert "| FP32 | real | out of memory | 2 | 4 | - | - | - | - | - |" in page
    values = to_json(folder, sweep, rows)
    assert values["scaling"] == "strong"
    assert [cell["throughput"] for cell in values["cells"]] == [pytest.approx(40), None]
    assert [cell["state"] for cell in values["cells"]] == ["done", "out_of_memory"]
    assert values["common"]["model"] == "pix2pix_resnet_9blocks" and "batch_size" not in values["common"]
    assert values["cells"][0]["run"] == str(folder.path / "run-4-1")
