"""Where the time of a trace goes, on hand-written traces in Kineto's format: the parts add up."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from gbench.errors import InfrastructureError
from gbench.measure.hotspots import COMPUTING, TraceTimes, read_trace
from gbench.measure.trace import clipped, events_of, length, load, union

MS = 1000.0  # a trace's times are in microseconds


def row(name: str, start_ms: float, ms: float, kind: str = "cpu_op", tid: int = 1, **more: Any) -> dict[str, Any]:
    event = {"ph": "X", "cat": kind, "name": name, "pid": 1, "tid": tid, "ts": start_ms * MS, "dur": ms * MS}
    return {**event, "args": {key.replace("_", " "): value for key, value in more.items()}}


def region(name: str, start_ms: float, ms: float, tid: int = 1) -> dict[str, Any]:
    return row(name, start_ms, ms, "user_annotation", tid)


# One step of 100 ms on a processor, from which 4 ms of computing are left outside any operator.
CPU = [
    region(COMPUTING, 0, 100),
    region("gbench: generator", 0, 42),
    row("aten::convolution", 1, 40, Sequence_number=7),
    row("aten::mkldnn_convolution", 2, 38, Sequence_number=7),
    row("aten::add", 42, 8, Sequence_number=8),
    row("autograd::engine::evaluate_function: ConvolutionBackward0", 50, 30, Sequence_number=7),
    row("aten::convolution_backward", 51, 28),
    row("c10d::allreduce_", 80, 1),
    region("gloo:all_reduce", 79, 4, tid=2),  # hidden behind backward for 1 ms, behind the call for another
    region("Optimizer.step#Adam.step", 84, 15),
    row("aten::mul", 85, 14),
    row("aten::mul", 300, 50),  # no part of any step
]


def read(rows: list[dict[str, Any]], on_gpu: bool = False, waited_s: float = 0.0, **flop: list[int]) -> TraceTimes:
    return read_trace(
        events_of(rows), on_gpu, waited_s, {name.replace("__", "::"): calls for name, calls in flop.items()}
    )


def test_self_times_gaps_and_communication_add_up_to_the_step() -> None:
    found = read(CPU, aten__convolution=[600], aten__convolution_backward=[1200])
    self_ms = {one.name: round(one.self_s * 1e3, 6) for one in found.operators}
    assert self_ms == {
        "aten::convolution": 2,
        "aten::mkldnn_convolution": 38,
        "aten::add": 8,
        "autograd::engine::evaluate_function: ConvolutionBackward0": 2,
        "aten::convolution_backward": 28,
        "c10d::allreduce_": 1,
        "aten::mul": 14,
    }
    assert found.operators_s == pytest.approx(sum(self_ms.values()) / 1e3)
    assert (found.communication_s, found.exposed_s) == pytest.approx((0.004, 0.002))
    assert found.gaps_s == pytest.approx(0.005)
    assert found.operators_s + found.exposed_s + found.gaps_s == pytest.approx(0.1)


def test_each_part_has_its_backward_operators_by_autograd() -> None:
    parts = {part.name: part for part in read(CPU).parts}
    assert {name: round(part.operators_s * 1e3, 6) for name, part in parts.items()} == {
        "other": 8,
        "generator forward": 40,
        "generator backward": 30,
        "communication": 1,
        "optimizer": 14,
    }
    assert parts["optimizer"].gaps_s == pytest.approx(0.001)
    assert parts["generator forward"].gaps_s == pytest.approx(0.002)


def test_operations_go_to_the_implementation_that_ran() -> None:
    found = read(CPU, aten__convolution=[600], aten__convolution_backward=[1200])
    flop = {one.name: one.flop for one in found.operators if one.flop}
    assert flop == {"aten::mkldnn_convolution": 600, "aten::convolution_backward": 1200}
    laid_out = [row("aten::copy_", 53, 20), *CPU]  # takes most of the call, and calculates nothing
    moved = {one.name: one.flop for one in read(laid_out, aten__convolution_backward=[1200]).operators}
    assert (moved["aten::copy_"], moved["aten::convolution_backward"]) == (0, 1200)
    uncertain = read(CPU, aten__convolution=[600, 600])  # the trace holds one call
    assert {one.flop for one in uncertain.operators} == {None}


def test_operations_of_operators_add_up_though_steps_differ() -> None:
    other = {"aten::mkldnn_convolution": "aten::thnn_conv2d"}  # what ran in the second step
    second = [{**one, "name": other.get(one["name"], one["name"]), "ts": one["ts"] + 1000 * MS} for one in CPU]
    found = read([*CPU, *second], aten__convolution=[601], aten__convolution_backward=[1200])
    flop = {one.name: one.flop for one in found.operators if one.flop}
    assert sorted(flop) == ["aten::convolution_backward", "aten::mkldnn_convolution", "aten::thnn_conv2d"]
    assert sum(one.flop or 0 for one in found.operators) == 1801


# One step on a GPU, 100 ms from the first mark to the last kernel's end, of which 10 ms were data wait.
GPU = [
    region("ProfilerStep#3", 0, 40),
    region(COMPUTING, 10, 20),
    region("gbench: generator", 10, 5),
    row("aten::cudnn_convolution", 11, 1, External_id=5, Sequence_number=7),
    row("autograd::engine::evaluate_function: CudnnConvolutionBackward0", 17, 3, tid=2, Sequence_number=7),
    row("aten::convolution_backward", 18, 1, tid=2, External_id=9),
    row("c10d::allreduce_", 19, 1, tid=2, External_id=10),
    row("implicit_gemm", 12, 28, "kernel", tid=7, External_id=5),
    row("pad", 40, 2, "kernel", tid=7, External_id=5),
    row("wgrad", 45, 30, "kernel", tid=7, External_id=9),
    row("Memcpy DtoD", 75, 5, "gpu_memcpy", tid=7, External_id=99),
    row("ncclDevKernel_AllReduce_Sum_f32_RING_LL", 70, 30, "kernel", tid=8, External_id=10),
]


def test_on_a_gpu_kernels_count_and_the_rest_is_gaps() -> None:
    found = read(GPU, on_gpu=True, waited_s=0.010)
    self_ms = {one.name: (round(one.self_s * 1e3, 6), one.calls) for one in found.operators}
    assert self_ms == {
        "aten::cudnn_convolution": (30, 1),  # two kernels of one call
        "aten::convolution_backward": (30, 1),
        "Memcpy DtoD": (5, 1),
        "ncclDevKernel_AllReduce_Sum_f32_RING_LL": (30, 1),
    }
    assert (found.operators_s, found.communication_s, found.exposed_s) == pytest.approx((0.065, 0.030, 0.020))
    assert found.overlapped_s == pytest.approx(0.010)  # NCCL during wgrad and the copy
    assert found.gaps_s == pytest.approx(0.005)  # 2 ms before the first kernel, 3 ms before wgrad
    assert 0.010 + found.operators_s + found.exposed_s + found.gaps_s == pytest.approx(0.1)
    parts = {part.name: round(part.operators_s * 1e3, 6) for part in found.parts}
    assert parts == {"generator forward": 30, "generator backward": 30, "communication": 30, "other": 5}


def test_an_event_says_no_more_than_its_name_and_time() -> None:
    (event,) = events_of([{"ph": "X", "name": "a", "pid": 1, "tid": 2, "ts": 3 * MS, "dur": MS}])
    assert (event.name, event.kind, event.thread, event.id, event.sequence) == ("a", "", (1, 2), None, None)
    assert event.span == pytest.approx((0.003, 0.004))


def test_spans() -> None:
    assert union([(3, 5), (0, 1), (4, 6), (1, 2)]) == [(0, 2), (3, 6)]
    assert clipped([(0, 2), (3, 6)], [(1, 4), (5, 9)]) == [(1, 2), (3, 4), (5, 6)]
    assert length([(0, 2), (3, 6)]) == 5


def test_a_trace_that_is_cut_off_is_named(tmp_path: Path) -> None:
    whole, path = gzip.compress(json.dumps({"traceEvents": CPU}).encode()), tmp_path / "trace-rank0.json.gz"
    path.write_bytes(whole)
    assert len(load(path)) == len(CPU)
    for part in (whole[:-20], gzip.compress(b'{"traceEvents": [{"ph":'), b"", gzip.compress(b"[]")):
        path.write_bytes(part)
        with pytest.raises(InfrastructureError, match="is no whole trace"):
            load(path)
