"""Kernels of a fake GPU that compute: torch's CPU does each, in the memory of the GPU, which is the host's.

FAKE_GPU_COMPUTES=1 switches this on in the smoke test. FAKE_GPU_FAULT=wrong:GPU:WHAT[,...] makes one thing wrong. WHAT:
convolution has NaN gradients, fp32 rounds products to TF32, graph and triton do nothing, all-reduce adds 1.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

HALVES = (torch.float16, torch.bfloat16)
TF32_DROPS = 13  # bits of a float32
aten: Any = torch.ops.aten


def wrong(what: str) -> bool:
    """Whether a fault was asked for on the current GPU."""
    fault = f"wrong:{torch.cuda.current_device()}:{what}"
    return fault in os.environ.get("FAKE_GPU_FAULT", "").split(",")


def host(value: Any) -> Any:
    """A tensor of a GPU as one of the CPU in the same memory; the CPU for a GPU; any other value as it is."""
    if isinstance(value, torch.device):
        return torch.device("cpu")
    if not isinstance(value, torch.Tensor) or not value.is_cuda:
        return value
    memory = value.untyped_storage()
    flat = torch.frombuffer((ctypes.c_char * memory.nbytes()).from_address(memory.data_ptr()), dtype=value.dtype)
    return flat.as_strided(value.shape, value.stride(), value.storage_offset())


def compute(function: Any, args: Any, kwargs: Any, outs: list[Any]) -> None:
    """Compute on the CPU; `outs` are the places of the results."""
    convolves = function in (aten.convolution.default, aten.convolution_backward.default)
    if convolves:  # as tensor cores: products of halves are added up in float32
        args = tree_map(lambda one: one.float() if isinstance(one, torch.Tensor) and one.dtype in HALVES else one, args)
    if function is aten.mm.default and wrong("fp32"):
        args = [to_tf32(one) for one in args]
    for out, result in zip(outs, tree_leaves(function(*args, **kwargs)), strict=True):
        if isinstance(out, torch.Tensor) and out.data_ptr() != result.data_ptr():
            spoilt = function is aten.convolution_backward.default and wrong("convolution")
            out.copy_(result * float("nan") if spoilt else result)


def to_tf32(values: torch.Tensor) -> torch.Tensor:
    bits = values.contiguous().view(torch.int32) + (1 << TF32_DROPS - 1) - 1
    return (bits >> TF32_DROPS << TF32_DROPS).view(torch.float32)


class Computing(TorchDispatchMode):
    """Computes what runs on a GPU; in a capture, later: at each replay."""

    captured: list[Callable[[], None]]

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = function(*args, **kwargs)
        if function.namespace == "c10d":  # NCCL adds up small values itself
            if wrong("all-reduce"):
                host(args[0][0]).add_(1)
        elif any(isinstance(one, torch.Tensor) and one.is_cuda for one in tree_leaves((args, kwargs, out))):
            on_cpu = (tree_map(host, one) for one in (args, kwargs, tree_leaves(out)))
            work = partial(compute, function, *on_cpu)
            if torch.cuda.is_current_stream_capturing():
                self.captured.append(work)
            else:
                work()
        return out


def in_smoke_test(module: Any) -> None:
    """Let the smoke test, a module, run on GPUs that compute."""
    mode: Any = Computing()  # type: ignore[no-untyped-call]
    run = module.smoke_test
    graph: Any = torch.cuda.CUDAGraph
    begin, replay = graph.capture_begin, graph.replay

    def begin_and_collect(self: Any, *args: Any, **kwargs: Any) -> None:
        self.work = mode.captured = []
        begin(self, *args, **kwargs)

    def replay_and_compute(self: Any) -> None:
        replay(self)
        for work in () if wrong("graph") else self.work:
            work()

    def run_computing(*args: Any) -> None:
        with mode:
            run(*args)

    graph.capture_begin, graph.replay, module.smoke_test = begin_and_collect, replay_and_compute, run_computing


def in_triton(module: Any) -> None:
    """Let the kernel of triton_sum, a module, compute once Triton has compiled and launched it."""
    kernel = module._sum

    class Kernel:
        def __getitem__(self, grid: Any) -> Callable[..., None]:
            def launch(first: torch.Tensor, second: torch.Tensor, out: torch.Tensor, block: int) -> None:
                kernel[grid](first, second, out, block)
                if not wrong("triton"):
                    host(out).copy_(host(first) + host(second))

            return launch

    module._sum = Kernel()
