"""The one table of a sweep: speed, scaling efficiency, memory and MFU of every cell, for people and for programs.

Figures are those of each cell's record, made of its run folder. What is not known is None, shown as "-".
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gbench.base.files import write_atomically
from gbench.cndb.from_run import record_of
from gbench.compare.metrics import THROUGHPUT, metric_named
from gbench.errors import GbenchError
from gbench.experiments.sweep_file import State, Sweep, SweepCell, SweepFolder
from gbench.experiments.sweep_matrix import Scaling

MEMORY = metric_named("memory")
NOTHING = "-"
WORDS = 3  # the first columns of the table; figures come after


@dataclass(frozen=True)
class Row:
    """A cell and its figures; shares of 1.

    batch_size: total over all devices. data: the source that ran, where something did. throughput: of all devices in
    `unit`, low and high its 95 % interval. steady: whether step times had settled.
    scaling_efficiency: throughput a device, of that of one device. memory_gib: peak of a rank, on its GPU,
    or without one resident on the host. device_name: the card, or the processor. tflop_s: model FLOP/s of one device,
    10^12 a second; peak_tflop_s: what its own run measured the device to do. *_flop_share: tflop_s (MFU), of the best
    peak that any cell measured on such devices, as many of them, and of what their data sheet promises, both in the
    run's precision.
    """

    precision: str
    device_count: int
    batch_size: int
    data: str
    state: State
    attempts: int
    throughput: float | None = None
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    steady: bool | None = None
    scaling_efficiency: float | None = None
    memory_gib: float | None = None
    device_name: str | None = None
    tflop_s: float | None = None
    peak_tflop_s: float | None = None
    measured_flop_share: float | None = None
    data_sheet_flop_share: float | None = None
    reason: str | None = None
    run: str | None = None
    record: str | None = None


def rows_of(folder: SweepFolder, sweep: Sweep) -> list[Row]:
    """A row for each cell, in the order of the sweep. One whose run folder is no more, or broken, has no figures."""
    rows = [_row(folder, cell) for cell in sweep.cells]
    ones = [row for row in rows if row.device_count == 1]
    alone = {_alike(row): row.throughput for row in reversed(ones)}  # of several with the same data the first
    peaks: dict[Hashable, float] = {}
    for row in rows:
        if row.peak_tflop_s is not None:
            peaks[_kind(row)] = max(row.peak_tflop_s, peaks.get(_kind(row), 0.0))
    return [
        replace(
            row,
            scaling_efficiency=_efficiency(row, alone, sweep.scaling),
            measured_flop_share=row.tflop_s / peaks[_kind(row)] if row.tflop_s and _kind(row) in peaks else None,
        )
        for row in rows
    ]


def _row(folder: SweepFolder, cell: SweepCell) -> Row:
    row = Row(**cell.place.model_dump(), state=cell.state, attempts=len(cell.attempts), reason=cell.reason)
    if not cell.attempts:
        return row
    last = cell.attempts[-1]
    row = replace(row, run=str(folder.run(last).path), record=last.record)
    if last.state != "done":
        return row
    try:
        record = record_of(folder.run(last))
    except GbenchError as error:  # the other cells are still worth their table
        return replace(row, reason=f"no figures: {error.what}")
    perf, throughput, memory = record.perf_data or {}, THROUGHPUT.read(record), MEMORY.read(record)
    interval, limits = perf.get("throughput_interval") or {}, perf.get("limits") or {}
    tflop_s, own_share = limits.get("tflop_s"), limits.get("measured_flop_share")
    return replace(
        row,
        data=(record.hyper_params or {}).get("data_source", row.data),
        throughput=None if throughput is None else throughput.value,
        unit=THROUGHPUT.unit_in(record),
        low=interval.get("low"),
        high=interval.get("high"),
        steady=perf.get("steady_state"),
        memory_gib=None if memory is None else memory.value,
        device_name=record.dev,
        tflop_s=tflop_s,
        peak_tflop_s=tflop_s / own_share if tflop_s and own_share else None,
        data_sheet_flop_share=limits.get("data_sheet_flop_share"),
    )


def _efficiency(row: Row, alone: Mapping[Hashable, float | None], scaling: Scaling) -> float | None:
    """Throughput a device over that of one device at the same total batch (strong) or batch a device (weak)."""
    batch = row.batch_size if scaling == "strong" else row.batch_size // row.device_count
    one = alone.get(_alike(replace(row, batch_size=batch)))
    return row.throughput / row.device_count / one if row.throughput and one else None


def _alike(row: Row) -> Hashable:
    """What cells have in common that differ in the number of devices alone."""
    return row.batch_size, row.precision, row.data


def _kind(row: Row) -> Hashable:
    """What a peak is of; the number of devices too, for those that compute at once may share power, cores or memory."""
    return row.device_name, row.precision, row.device_count


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """Headings, and each row as text: WORDS columns of words, then figures."""
    sheet = _by_data_sheet(rows)
    units = {row.unit for row in rows if row.unit} or {"img/s"}
    headings = ["precision", "data", "state", "devices", "batch", units.pop() if len(units) == 1 else "throughput"]
    table = [[*headings, "95 %", "scaling", "GiB", "MFU"]]
    for row in rows:
        mfu = row.data_sheet_flop_share if sheet else row.measured_flop_share
        table.append(
            [
                *(row.precision, row.data, _words(row.state), str(row.device_count), str(row.batch_size)),
                NOTHING if row.throughput is None else f"{row.throughput:.4g}",
                _half_width(row),
                _share(row.scaling_efficiency),
                NOTHING if row.memory_gib is None else f"{row.memory_gib:.3g}",
                _share(mfu),
            ]
        )
    return table


def notes(sweep: Sweep, rows: Sequence[Row]) -> list[str]:
    """What the figures are, and why others are not there."""
    said = []
    if any(row.throughput for row in rows):
        same = "total batch" if sweep.scaling == "strong" else "batch a device"
        peak, own = "a device's peak by its data sheet", ""
        if not _by_data_sheet(rows):
            peak = "the best peak that a cell of this sweep measured on as many devices"
            own = "; a cell's record has the share of its own run's"
        memory = "on its device" if sweep.spec.device == "cuda" else "resident on the host"
        shared = ", though all share the cores of one processor" if sweep.spec.device == "cpu" else ""
        said = [
            f"batch: total over all devices; 95 %: half the interval of the throughput; GiB: peak of a rank, {memory}",
            f"scaling: {sweep.scaling}, throughput a device against that of 1 device with the same {same}{shared}",
            f"MFU: share of {peak}, in the precision of the run{own}",
        ]
    others = [
        f"{cell.place}: {row.data}" for cell, row in zip(sweep.cells, rows, strict=True) if row.data != cell.place.data
    ]
    if others:
        said.append(f"NOT READ AS ASKED FOR, the log says why: {'; '.join(others)}")
    restless = [str(cell.place) for cell, row in zip(sweep.cells, rows, strict=True) if row.steady is False]
    if restless:
        said.append(f"NOT STEADY, give more --steps: {'; '.join(restless)}")
    alike: dict[tuple[str, str], list[SweepCell]] = {}
    for cell, row in zip(sweep.cells, rows, strict=True):
        if row.reason is not None:
            alike.setdefault((_words(row.state), row.reason), []).append(cell)
    for (state, reason), told in alike.items():
        more = f" and {len(told) - 1} more" if len(told) > 1 else ""
        said.append(f"{told[0].place}{more}: {state}: {reason}")
    return said


def write_page(folder: SweepFolder, sweep: Sweep) -> None:
    """Write what was swept, the table and the notes as a page. Raises InfrastructureError: the disk refuses it."""
    rows = rows_of(folder, sweep)
    headings, *texts = cells(rows)
    lines = [f"# {folder.path.name}", "", f"    {sweep.spec.command_line}", ""]
    rule = ["---"] * WORDS + ["--:"] * (len(headings) - WORDS)
    lines += ["| " + " | ".join(row) + " |" for row in (headings, rule, *texts)]
    lines += ["", *(f"- {note}" for note in notes(sweep, rows))]
    write_atomically(folder.page, "\n".join(lines) + "\n")


def to_json(folder: SweepFolder, sweep: Sweep, rows: Sequence[Row]) -> dict[str, Any]:
    """All of it. common: what the specs of all cells have in common."""
    places = {"run_id", "batch_size", "device_count", "precision"}
    return {
        "sweep": str(folder.path),
        "model": sweep.spec.model,
        "device": sweep.spec.device,
        "scaling": sweep.scaling,
        "stop_at_oom": sweep.stop_at_oom,
        "cells": [asdict(row) for row in rows],
        "common": sweep.spec.model_dump(mode="json", exclude=places),
    }


def _by_data_sheet(rows: Sequence[Row]) -> bool:
    """Whether a data sheet says the peak of all that was measured."""
    measured = [row for row in rows if row.throughput is not None]
    return bool(measured) and all(row.data_sheet_flop_share is not None for row in measured)


def _words(state: State) -> str:
    return state.replace("_", " ")


def _half_width(row: Row) -> str:
    if row.throughput is None or row.low is None or row.high is None:
        return NOTHING
    return f"±{(row.high - row.low) / 2 / row.throughput:.1%}"


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0%}"
