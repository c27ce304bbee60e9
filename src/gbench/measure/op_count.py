"""How much work a training step is: floating-point operations and bytes, counted from the graph that really runs.

The step runs once on torch's `meta` device, without data. Operations are those of torch's FlopCounterMode, by its
formulas (a multiply-add is two), in less than its time. Bytes are those that each operation reads and writes with
nothing fused or cached, an upper bound.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Work(TorchDispatchMode):
    """The work of what runs in this context.

    Attributes:
        calls: floating-point operations of each call, in order, by names like `aten::convolution`.
        bytes: of the inputs and outputs of all operations but views.
    """

    def __init__(self) -> None:
        from torch.utils.flop_counter import flop_registry  # loads Triton, if it is installed

        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self.formulas = flop_registry
        self.calls: dict[str, list[int]] = defaultdict(list)
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = self.formulas.get(func.overloadpacket)
        if formula is not None:
            self.calls[func.name().partition(".")[0]].append(formula(*args, **(kwargs or {}), out_val=result))
        if not func.is_view:
            tensors = (leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor))
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result

    @property
    def flop(self) -> int:
        return sum(map(sum, self.calls.values()))


def count_work(call: Callable[[], object]) -> Work:
    """Count the work of `call`, which must only use meta tensors."""
    work = Work()
    with work:
        call()
    return work
