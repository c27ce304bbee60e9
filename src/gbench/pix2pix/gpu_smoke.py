"""The smoke test of a run's GPUs: does each compute what a CPU does, alone and with the others? One rank a GPU.

Every part is a function of the ranks that returns its severity and what it found. It takes milliseconds; loading torch,
cuDNN and NCCL takes the time.
"""

from collections.abc import Callable
from contextlib import nullcontext, suppress
from importlib import import_module
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from gbench.errors import RunFailed
from gbench.measure.telemetry.gpu_source import GpuReader
from gbench.measure.telemetry.samples import MissingLog
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.step.cuda_graph import CudaCapture
from gbench.pix2pix.step.precision import AMPERE, AUTOCAST, set_precision
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.gpu_findings import NAME, GpuFinding, GpuFindings
from gbench.settings.literals import Precision

Found = tuple[Literal["ok", "warning", "error"], str]
# How far a convolution step may be from the CPU's, as a share of the norm. TF32 and AMP round factors to 11 bits, which
# is an error of 3e-4 in the result, BF16 to 8 bits, 2e-3. FP32 is far below TF32, also by a Winograd transformation.
TOLERANCES: dict[Precision, float] = {"FP32": 1e-4, "TF32": 3e-3, "AMP": 3e-3, "BF16": 2e-2}
BATCH, CHANNELS, SIDE = 4, 64, 32
ODD = 4097.0  # needs 13 bits, which FP32 has and TF32 has not: TF32 makes it 4096
NUMBERS = 16384
MOST_CHARACTERS = 200  # of an exception, which may quote a compiler's command


def smoke_test(folder: RunFolder, ranks: Ranks) -> None:
    """Run all parts on this rank's GPU. Raises RunFailed: one ended with an exception, after which CUDA may be dead."""
    uuid, name = str(torch.cuda.get_device_properties(ranks.device).uuid), NAME.format(ranks.rank)
    findings: list[GpuFinding] = []
    for part, test in PARTS.items():
        folder.write(name, GpuFindings(uuid=uuid, doing=part, findings=findings).model_dump())
        failed: Exception | None = None
        try:
            severity, found = test(ranks)
        except Exception as error:
            failed = error
            severity, found = "error", f"it failed with: {_first_line(error)}"
        print(f"{ranks.device}: {part}: {severity}: {found}", flush=True)
        findings.append(GpuFinding(part=part, severity=severity, found=found))
        folder.write(name, GpuFindings(uuid=uuid, doing=None, findings=findings).model_dump())
        if failed is not None:
            raise RunFailed(f"the smoke test of {ranks.device} failed in its part {part}", found) from failed


def _convolution(ranks: Ranks) -> Found:
    generator = torch.Generator().manual_seed(1)
    shapes = (BATCH, CHANNELS, SIDE, SIDE), (CHANNELS, CHANNELS, 3, 3), (BATCH, CHANNELS, SIDE, SIDE)
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    expected = _step([one.double() for one in inputs], None)
    off: dict[str, float] = {}
    for precision in TOLERANCES:
        if precision in ("TF32", "BF16") and torch.cuda.get_device_capability(ranks.device) < AMPERE:
            continue
        set_precision(precision, ranks.device)
        got = _step([one.to(ranks.device) for one in inputs], AUTOCAST[precision])
        shares = [(one.cpu() - right).norm() / right.norm() for one, right in zip(got, expected, strict=True)]
        off[precision] = float(torch.stack(shares).max())  # torch's max of NaN is NaN
    set_precision("FP32", ranks.device)
    wrong = [name for name, tolerance in TOLERANCES.items() if name in off and not off[name] <= tolerance]
    if wrong:
        by = ", ".join(f"{off[name]:.1%} in {name}, where rounding is below {TOLERANCES[name]:.2%}" for name in wrong)
        return "error", f"a convolution step differs from the CPU's by {by}"
    return "ok", ", ".join(f"{name} within {value:.0e}" for name, value in off.items()) + " of the CPU"


def _step(inputs: list[Tensor], autocast: torch.dtype | None) -> list[Tensor]:
    """A convolution forward and backward: its output, and the gradients of its input and its weight."""
    image, weight, gradient = inputs
    image.requires_grad_()
    weight.requires_grad_()
    with torch.autocast(image.device.type, autocast) if autocast else nullcontext():
        output = functional.conv2d(image, weight, padding=1)
    return [output.detach(), *torch.autograd.grad(output, (image, weight), gradient.to(output.dtype))]


def _fp32(ranks: Ranks) -> Found:
    set_precision("FP32", ranks.device)
    side = 256
    product = torch.full((side, side), ODD, device=ranks.device) @ torch.eye(side, device=ranks.device)
    return _same(product, ODD, f"in FP32 {ODD:.0f} x 1 is {{}}, not {ODD:.0f}", "a product keeps all bits of FP32")


def _graph(ranks: Ranks) -> Found:
    value, capture = torch.ones(NUMBERS, device=ranks.device), CudaCapture()
    with capture.on_side_stream():
        _ = value * 2 + 1
    result, replay = capture.capture(lambda: value * 2 + 1)
    value.fill_(3)
    replay()
    return _same(result, 7, "a replayed CUDA graph gave {}, not 7", "a CUDA graph was captured and replayed")


def _triton(ranks: Ranks) -> Found:
    values = torch.arange(NUMBERS, dtype=torch.float32)
    try:
        from gbench.pix2pix.triton_sum import triton_sum

        result = triton_sum(values.to(ranks.device), 7 - values.to(ranks.device))
    except Exception as error:
        return "warning", f"Triton runs no kernel, so the switch speed.compile can't work ({_first_line(error)})"
    return _same(result, 7, "a Triton kernel gave {}, not 7", "a Triton kernel was compiled and ran")


def _all_reduce(ranks: Ranks) -> Found:
    total = 2**ranks.world_size - 1
    values = torch.full((NUMBERS,), 2.0**ranks.rank, device=ranks.device)
    dist.all_reduce(values)
    wrong = f"an all-reduce over {ranks.world_size} GPU(s) gave {{}}, not {total}, where rank N adds 2^N"
    return _same(values, total, wrong, f"the right sum over {ranks.world_size} GPU(s)")


def _telemetry(ranks: Ranks) -> Found:
    missing, nvml = MissingLog(), None
    with suppress(ImportError):
        nvml = import_module("pynvml")
    reader = GpuReader(nvml, [str(torch.cuda.get_device_properties(ranks.device).uuid)], missing)
    (values,) = reader.read(slow=False)
    reader.close()
    if "sm_mhz" in values and "power_w" in values:
        return "ok", f"{values['sm_mhz']} MHz, {values['power_w']:.0f} W"
    why = "; ".join(f"{one.what}: {one.why}" for one in missing.drain())
    return "warning", f"NVML gives no clock or no power, so records will have none ({why})"


def _same(result: Tensor, expected: float, wrong: str, good: str) -> Found:
    """Whether all values are the expected one. wrong: with a place for a value that is not."""
    values = result.cpu().flatten()
    others = values[values != expected]
    return ("error", wrong.format(f"{float(others[0]):g}")) if len(others) else ("ok", good)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0][:MOST_CHARACTERS]


PARTS: dict[str, Callable[[Ranks], Found]] = {
    "convolution": _convolution,
    "fp32": _fp32,
    "graph": _graph,
    "triton": _triton,
    "all-reduce": _all_reduce,
    "telemetry": _telemetry,
}
