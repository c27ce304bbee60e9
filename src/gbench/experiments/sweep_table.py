"""The table of a sweep: throughput, scaling efficiency, memory and MFU of every cell, as text and as JSON.

Figures are those of each cell's record, rebuilt from its run folder. An unknown figure is None, shown as "-".
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gbench.base.files import write_atomically
from gbench.cndb.from_run import record_of
from gbench.compare.metrics import THROUGHPUT, metric_named
from gbench.errors import GbenchError
from gbench.experiments.sweep_file import State, Sweep, SweepCell, SweepFolder
from gbench.experiments.sweep_matrix import Place, Scaling

MEMORY = metric_named("memory")
NOTHING = "-"
WORDS = 3  # columns of words, the first of the table; figures follow


@dataclass(frozen=True)
class Row:
    """A cell and its figures; shares are fractions of 1."""

    precision: str
    device_count: int
    batch_size: int
    """Total over all devices."""
    data: str
    """The data source that was used; before a run, the requested one."""
    state: State
    attempts: int
    throughput: float | None = None
    """Of all devices together."""
    unit: str | None = None
    """Of throughput, low and high."""
    low: float | None = None
    """Lower bound of the throughput's 95 % interval."""
    high: float | None = None
    between_runs_share: float | None = None
    """Half the width of the interval between runs, as a share of the throughput; None: too few earlier runs."""
    steady: bool | None = None
    """Whether step times had settled."""
    scaling_efficiency: float | None = None
    """Throughput per device relative to that of one device."""
    memory_gib: float | None = None
    """Peak of a rank: on its GPU, or without one resident on the host."""
    device_name: str | None = None
    tflop_s: float | None = None
    """Model FLOP/s of one device, in 10^12 per second."""
    peak_tflop_s: float | None = None
    """The device's peak as the cell's own run measured it, in 10^12 FLOP a second; of a processor, a CPU-second."""
    measured_flop_share: float | None = None
    """MFU: tflop_s as a share of the highest peak measured by a cell with the same device, device count and precision.
    """
    data_sheet_flop_share: float | None = None
    """MFU: tflop_s as a share of the data sheet's peak in the run's precision."""
    reason: str | None = None
    """Why the cell has no figures."""
    run: str | None = None
    """Path of the last run folder."""
    record: str | None = None


def rows_of(folder: SweepFolder, sweep: Sweep) -> list[Row]:
    """A row for each cell, in the order of the sweep; without figures if its run folder is missing or broken."""
    rows = [_row(folder, cell) for cell in sweep.cells]
    ones = [row for row in rows if row.device_count == 1]
    alone = {_alike(row): row.throughput for row in reversed(ones)}  # the first of several alike
    peaks: dict[Hashable, float] = {}
    for row in rows:
        if row.peak_tflop_s is not None:
            peaks[_kind(row)] = max(row.peak_tflop_s, peaks.get(_kind(row), 0.0))
    return [
        replace(
            row,
            scaling_efficiency=_efficiency(row, alone, sweep.scaling),
            measured_flop_share=_of_best(row, peaks.get(_kind(row))),
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
    except GbenchError as error:  # still show the other cells
        return replace(row, reason=f"no figures: {error.what}")
    perf, throughput, memory = record.perf_data or {}, THROUGHPUT.read(record), MEMORY.read(record)
    interval, limits = perf.get("throughput_interval") or {}, perf.get("limits") or {}
    tflop_s, own_share = limits.get("tflop_s"), limits.get("measured_flop_share")
    rate = limits.get("tflop_cpu_s") or tflop_s
    return replace(
        row,
        data=(record.hyper_params or {}).get("data_source", row.data),
        throughput=None if throughput is None else throughput.value,
        unit=THROUGHPUT.unit_in(record),
        low=interval.get("low"),
        high=interval.get("high"),
        between_runs_share=((record.extra or {}).get("between_runs") or {}).get("half_width_share"),
        steady=perf.get("steady_state"),
        memory_gib=None if memory is None else memory.value,
        device_name=record.dev,
        tflop_s=tflop_s,
        peak_tflop_s=rate / own_share if rate and own_share else None,
        measured_flop_share=own_share,
        data_sheet_flop_share=limits.get("data_sheet_flop_share"),
    )


def _of_best(row: Row, best: float | None) -> float | None:
    """The share of the best peak, from that of the cell's own."""
    if row.measured_flop_share is None or row.peak_tflop_s is None or best is None:
        return None
    return row.measured_flop_share * row.peak_tflop_s / best


def _efficiency(row: Row, alone: Mapping[Hashable, float | None], scaling: Scaling) -> float | None:
    """Throughput per device over that of one device with the same total batch (strong) or batch per device (weak)."""
    batch = row.batch_size if scaling == "strong" else row.batch_size // row.device_count
    one = alone.get(_alike(replace(row, batch_size=batch)))
    return row.throughput / row.device_count / one if row.throughput and one else None


def _alike(row: Row) -> Hashable:
    """A key that is equal for cells which differ only in the number of devices."""
    return row.batch_size, row.precision, row.data


def _kind(row: Row) -> Hashable:
    """A key for cells with comparable peaks: with the device count, since devices may share power, cores or memory."""
    return row.device_name, row.precision, row.device_count


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """The table as text, headings first: WORDS columns of words, then figures."""
    sheet = _by_data_sheet(rows)
    units = {row.unit for row in rows if row.unit} or {"img/s"}
    headings = ["precision", "data", "state", "devices", "batch", units.pop() if len(units) == 1 else "throughput"]
    several = any(row.between_runs_share is not None for row in rows)
    table = [[*headings, "95 %", "scaling", "GiB", "MFU", *(["between runs"] if several else [])]]
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
                *([_half(row.between_runs_share)] if several else []),
            ]
        )
    return table


def notes(sweep: Sweep, rows: Sequence[Row]) -> list[str]:
    """Notes below the table: what the figures mean, and why some are missing."""
    lines = []
    if any(row.throughput for row in rows):
        same = "total batch" if sweep.scaling == "strong" else "batch a device"
        peak, own = "a device's peak by its data sheet", ""
        if not _by_data_sheet(rows):
            peak = "the best peak that a cell of this sweep measured on as many devices"
            own = "; a cell's record has the share of its own run's"
            if sweep.spec.device == "cuda":
                peak, own = "the best peak on record for the device, those of this sweep included", ""
        memory = "on its device" if sweep.spec.device == "cuda" else "resident on the host"
        shared = ", though all share the cores of one processor" if sweep.spec.device == "cpu" else ""
        lines = [
            f"batch: total over all devices; GiB: peak of a rank, {memory}",
            "95 %: half the interval of the throughput, of that run's own steps",
            f"scaling: {sweep.scaling}, throughput a device against that of 1 device with the same {same}{shared}",
            f"MFU: share of {peak}, in the precision of the run{own}",
        ]
    if any(row.between_runs_share is not None for row in rows):
        lines.append("between runs: half the interval as earlier runs of the configuration differ")
    placed = [(cell.place, row) for cell, row in zip(sweep.cells, rows, strict=True)]
    if others := [f"{place}: {row.data}" for place, row in placed if row.data != place.data]:
        lines.append(f"NOT READ AS ASKED FOR, the log says why: {'; '.join(others)}")
    if restless := [str(place) for place, row in placed if row.steady is False]:
        lines.append(f"NOT STEADY, give more --steps: {'; '.join(restless)}")
    alike: dict[tuple[str, str], list[Place]] = {}
    for place, row in placed:
        if row.reason is not None:
            alike.setdefault((_words(row.state), row.reason), []).append(place)
    for (state, reason), places in alike.items():
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        lines.append(f"{places[0]}{more}: {state}: {reason}")
    return lines


def write_page(folder: SweepFolder, sweep: Sweep) -> None:
    """Write the command line, the table and the notes as sweep.md. Raises InfrastructureError: it can't be written."""
    rows = rows_of(folder, sweep)
    headings, *texts = cells(rows)
    lines = [f"# {folder.path.name}", "", f"    {sweep.spec.command_line}", ""]
    rule = ["---"] * WORDS + ["--:"] * (len(headings) - WORDS)
    lines += ["| " + " | ".join(row) + " |" for row in (headings, rule, *texts)]
    lines += ["", *(f"- {note}" for note in notes(sweep, rows))]
    write_atomically(folder.page, "\n".join(lines) + "\n")


def to_json(folder: SweepFolder, sweep: Sweep, rows: Sequence[Row]) -> dict[str, Any]:
    """The sweep and its rows as JSON values. `common`: the settings common to all cells."""
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
    """Whether the data sheet's peak is known for every measured row."""
    measured = [row for row in rows if row.throughput is not None]
    return bool(measured) and all(row.data_sheet_flop_share is not None for row in measured)


def _words(state: State) -> str:
    return state.replace("_", " ")


def _half_width(row: Row) -> str:
    if row.throughput is None or row.low is None or row.high is None:
        return NOTHING
    return _half((row.high - row.low) / 2 / row.throughput)


def _half(share: float | None) -> str:
    return NOTHING if share is None else f"±{share:.1%}"


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0%}"
