"""How far a run is from what its device can do, and what holds it back: a pure function of figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gbench.measure.datasheet import data_sheet

INPUT_BOUND = 0.10  # share of the time that is data wait
LAUNCH_BOUND = 0.05  # share of a step by which the host is ahead of a GPU, below which the GPU waits for the host


@dataclass(frozen=True)
class Limits:
    """Of one device. A share is None where its bound is not known.

    flop_per_image: of the training step. tflop_s: what the run achieved, 10^12 operations a second; gb_s: 10^9 bytes a
    second that its operations moved, none fused. measured_*: shares of what was measured on this device; data_sheet_*:
    of what its data sheet promises.
    """

    flop_per_image: int
    tflop_s: float
    gb_s: float
    measured_flop_share: float | None
    measured_copy_share: float | None
    data_sheet_flop_share: float | None
    data_sheet_copy_share: float | None
    data_sheet: str | None
    verdict: str


def limits(environment: dict[str, Any], images_s: float, data_share: float, ahead_share: float) -> Limits | None:
    """Hold a device's speed against its bounds; None when the run did not get so far as to count its work.

    Args:
        environment: environment.json. images_s: of one device, a second. data_share: of the time that is data wait.
        ahead_share: by what share of a step the host was ahead of the device (median).
    """
    work, peak = environment.get("work_per_image"), environment.get("peak")
    if work is None:
        return None
    tflop_s, gb_s = work["flop"] * images_s / 1e12, work["bytes"] * images_s / 1e9
    sheet = data_sheet(environment["device"])
    promised = sheet and sheet.tflop_s.get(environment["precision"]["ran"])
    measured_flop = tflop_s / max(peak["gemm_tflop_s"], peak["conv_tflop_s"]) if peak else None
    measured_copy = gb_s / peak["copy_gb_s"] if peak else None
    return Limits(
        flop_per_image=work["flop"],
        tflop_s=tflop_s,
        gb_s=gb_s,
        measured_flop_share=measured_flop,
        measured_copy_share=measured_copy,
        data_sheet_flop_share=tflop_s / promised if promised else None,
        data_sheet_copy_share=gb_s / sheet.bandwidth_gb_s if sheet else None,
        data_sheet=sheet.source if sheet else None,
        verdict=_verdict("gpus" in environment["hardware"], data_share, ahead_share, measured_flop, measured_copy),
    )


def _verdict(gpu: bool, data: float, ahead: float, flop: float | None, copy: float | None) -> str:
    if data >= INPUT_BOUND:
        return f"input-bound: {data:.0%} of the time is data wait"
    if gpu and ahead < LAUNCH_BOUND:
        return f"launch-bound: the host is ahead of the GPU by {ahead:.0%} of a step only"
    if flop is None or copy is None:
        return "unknown: the device's bounds were not measured"
    if flop >= copy:
        return f"compute-bound: {flop:.0%} of the operations a second that this device was measured to do"
    return f"memory-bound: {copy:.0%} of the bytes a second that this device was measured to copy"
