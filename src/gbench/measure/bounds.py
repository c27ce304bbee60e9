"""How close a run is to the limits of its device, and which one binds: a pure function of figures.

The peaks in NVIDIA's data sheets are dense, without sparsity; memory bandwidth is in GB/s. A card is looked up by its
whole name, as similar ones (GH200, H200 NVL, a MIG slice of an A100) have other figures.
"""

from dataclasses import dataclass

from gbench.runfolder.environment_facts import EnvironmentFacts
from gbench.runfolder.host_facts import BestPeak
from gbench.runfolder.run_result import Exchange, Limits

INPUT_BOUND = 0.10  # share of the time in data wait from which data is the limit
LAUNCH_BOUND = 0.05  # share of a step that the host is ahead of a GPU, below which the GPU waits for the host
BOUND = 0.5  # share of a measured peak from which that peak is the limit


@dataclass(frozen=True)
class DataSheet:
    """One card. tflop_s: by gbench's name of the precision; only those that the card supports."""

    tflop_s: dict[str, float]
    bandwidth_gb_s: float
    source: str


_V100 = "NVIDIA V100 Tensor Core GPU data sheet, Jan 2020"
_A100 = "NVIDIA A100 Tensor Core GPU data sheet, Jun 2021"
_H100 = "NVIDIA H100 Tensor Core GPU data sheet; its tensor figures are with sparsity, halved here"
_H200 = "NVIDIA H200 Tensor Core GPU data sheet; its tensor figures are with sparsity, halved here"
_GA100 = {"FP32": 19.5, "TF32": 156.0, "AMP": 312.0, "BF16": 312.0}
_GH100 = {"FP32": 67.0, "TF32": 494.5, "AMP": 989.5, "BF16": 989.5}

# By the device's whole name, without "NVIDIA " and "Tesla ".
CARDS: tuple[tuple[tuple[str, ...], DataSheet], ...] = (
    (("V100-SXM2-16GB", "V100-SXM2-32GB"), DataSheet({"FP32": 15.7, "AMP": 125.0}, 900.0, _V100)),
    (("V100-PCIE-16GB", "V100-PCIE-32GB"), DataSheet({"FP32": 14.0, "AMP": 112.0}, 900.0, _V100)),
    (("A100-SXM4-40GB", "A100-PCIE-40GB"), DataSheet(_GA100, 1555.0, _A100)),
    (("A100-SXM4-80GB", "A100-SXM-80GB"), DataSheet(_GA100, 2039.0, _A100)),
    (("A100 80GB PCIe", "A100-PCIE-80GB"), DataSheet(_GA100, 1935.0, _A100)),
    (("H100 PCIe",), DataSheet({"FP32": 51.0, "TF32": 378.0, "AMP": 756.5, "BF16": 756.5}, 2000.0, _H100)),
    (("H100 80GB HBM3",), DataSheet(_GH100, 3350.0, _H100)),
    (("H200",), DataSheet(_GH100, 4800.0, _H200)),
)


def data_sheet(device_name: str) -> DataSheet | None:
    """The data sheet of a card by its device name; None for an unknown card."""
    return next((sheet for names, sheet in CARDS if device_name in names), None)


def limits(
    environment: EnvironmentFacts,
    images_s: float,
    data_share: float,
    ahead_share: float,
    rule: int,
    images_cpu_s: float | None = None,
    best: BestPeak | None = None,
    exchange: Exchange | None = None,
) -> Limits | None:
    """Compare a device's speed with its peaks; None if its work was not counted.

    Args:
        images_s: of one device, a second.
        data_share: of the time that is data wait.
        ahead_share: by what share of a step the host was ahead of the device (median).
        rule: `RunResult.statistics`. By the first one a verdict may rest on a peak that the run exceeded; by the first
            two a processor's shares are of its speed by time, however busy it was.
        images_cpu_s: of all ranks, a second of processor time; None if unknown.
        best: the best peak of earlier runs on such GPUs.
        exchange: of gradients; None: one rank, or unknown.
    """
    work, peak = environment.work_per_image, environment.peak
    if work is None or environment.precision is None:
        return None
    precision = environment.precision.ran
    tflop_s = work.flop * images_s / 1e12
    gb_s = work.bytes * images_s / 1e9 if work.bytes is not None else None
    sheet = data_sheet(environment.device) if environment.device else None
    promised = sheet.tflop_s.get(precision) if sheet else None
    peaks = [one for one in (peak, environment.peak_after, best) if one is not None]
    measured_flop = _share(tflop_s, max((one.tflop_s for one in peaks), default=None))
    measured_copy = _share(gb_s, max((one.copy_gb_s or 0.0 for one in peaks), default=None))
    tflop_cpu_s = None
    if rule > 2 and images_cpu_s and peak and peak.tflop_cpu_s and peak.copy_gb_cpu_s:
        tflop_cpu_s = work.flop * images_cpu_s / 1e12
        measured_flop = tflop_cpu_s / peak.tflop_cpu_s
        measured_copy = work.bytes * images_cpu_s / 1e9 / peak.copy_gb_cpu_s if work.bytes is not None else None
    on_gpu = environment.hardware.gpus is not None
    before, after = (one.tflop_s if one and on_gpu else None for one in (peak, environment.peak_after))
    # In AMP GradScaler makes the host wait for the GPU in every step, so the host is never ahead.
    runs_ahead = on_gpu and precision != "AMP"
    return Limits(
        flop_per_image=work.flop,
        tflop_s=tflop_s,
        gb_s=gb_s,
        measured_flop_share=measured_flop,
        measured_copy_share=measured_copy,
        data_sheet_flop_share=_share(tflop_s, promised),
        data_sheet_copy_share=_share(gb_s, sheet.bandwidth_gb_s if sheet else None),
        data_sheet=sheet.source if sheet else None,
        verdict=_verdict(
            data_share,
            exchange,
            ahead_share if runs_ahead else None,
            measured_flop,
            measured_copy,
            first_rule=rule == 1,
            per="a second" if tflop_cpu_s is None else "a CPU-second",
            measured="before it" if len(peaks) == 1 else "before, after and in earlier runs",
        ),
        tflop_cpu_s=tflop_cpu_s,
        before_flop_share=_share(tflop_s, before),
        after_flop_share=_share(tflop_s, after),
        best_peak=best.source if best and best.tflop_s > max(before or 0, after or 0) else None,
    )


def _share(reached: float | None, peak: float | None) -> float | None:
    return reached / peak if reached is not None and peak else None


def _verdict(
    data: float,
    exchange: Exchange | None,
    ahead: float | None,
    flop: float | None,
    copy: float | None,
    first_rule: bool,
    per: str,
    measured: str,
) -> str:
    if data >= INPUT_BOUND:
        return f"input-bound: {data:.0%} of the time is data wait"
    if exchange is not None and exchange.timed is not None and exchange.binds:
        return f"communication-bound: {exchange.timed.network_share:.0%} of the step is the exchange of gradients"
    if ahead is not None and ahead < LAUNCH_BOUND:
        return f"launch-bound: the host is ahead of the GPU by {ahead:.0%} of a step only"
    if flop is None:
        return "unknown: the device's bounds were not measured"
    if not first_rule and max(flop, copy or 0) > 1:
        what = f"{flop:.0%} of the operations" if flop > 1 else f"{copy:.0%} of the bytes"
        return f"unknown: peak not trusted, as the run did {what} {per} measured {measured}: the device was busy then"
    if flop >= max(BOUND, copy or 0):
        return f"compute-bound: {flop:.0%} of the operations {per} that this device was measured to do"
    if copy is None:
        return f"not compute-bound: {flop:.0%} of the operations {per} measured here; bytes were not counted"
    if copy >= BOUND:
        return f"memory-bound: {copy:.0%} of the bytes {per} that this device was measured to copy"
    shares = f"{flop:.0%} of the operations and {copy:.0%} of the bytes {per} measured here"
    if flop + copy >= BOUND:
        return f"neither compute- nor memory-bound alone: {shares}"
    elsewhere = "most of the time goes elsewhere: the overhead of small operations, other processes"
    return f"neither compute- nor memory-bound: {shares}; {elsewhere}"
