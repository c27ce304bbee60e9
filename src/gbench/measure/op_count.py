"""How much work a training step is: floating-point operations and bytes, counted from the graph that really runs.

The step is run once on torch's `meta` device, where operations have shapes and no data, so that counting costs a second
and no memory. Operations are counted by torch's FlopCounterMode (a multiply-add is two). Bytes are those that each
operation reads and writes when nothing is fused or kept in a cache: what a memory bandwidth is held against, and an
upper bound where a compiler fuses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry


@dataclass(frozen=True)
class Work:
    """Of one call: flop, floating-point operations; bytes, read and written by its operations one by one."""

    flop: int
    bytes: int


class _ByteCounter(TorchDispatchMode):
    """Sums the sizes of what each operation takes and gives; views move nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = (leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor))
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result


class _CallCounter(TorchDispatchMode):
    """Counts the floating-point operations of each call, by FlopCounterMode's own formulas."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self.calls: dict[str, list[int]] = defaultdict(list)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.calls[func.name().partition(".")[0]].append(formula(*args, **(kwargs or {}), out_val=result))
        return result


def count_calls(call: Callable[[], object]) -> dict[str, list[int]]:
    """Floating-point operations of every call of each operator that has any, in order, by names like
    `aten::convolution`; `call` must work on meta tensors alone."""
    counter = _CallCounter()
    with counter:
        call()
    return dict(counter.calls)


def count_work(call: Callable[[], object]) -> Work:
    """Count what `call` does; it must work on meta tensors alone."""
    counter = FlopCounterMode(display=False)
    with counter, _ByteCounter() as traffic:
        call()
    return Work(counter.get_total_flops(), traffic.bytes)
