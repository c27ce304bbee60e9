"""How much memory a call takes on a GPU or a CPU, counted without either: it runs on torch's `meta` device."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gbench.measure.caching_allocator import CachingAllocator

ATEN = torch.ops.aten
CONVOLUTIONS = (torch.conv2d, torch.conv_transpose2d)  # what autocast casts, of what the networks use


class StorageCounter(TorchDispatchMode):
    """Gives each new storage to `allocator`, and takes it back when its last tensor has gone.

    unfold: a convolution also takes one image of its input, unfolded, as torch's own kernels on GPUs do. cuDNN's take
    another workspace, of a size that only the card knows.
    """

    def __init__(self, unfold: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self.allocator, self._unfold = CachingAllocator(), unfold
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and (storage := leaf.untyped_storage()) not in self._known:
                self._known.add(storage)
                weakref.finalize(storage, self.allocator.release, self.allocator.allocate(storage.nbytes()))
        if self._unfold:
            if func is ATEN.convolution.default:
                self._unfolded(args[0], args[1], result, transposed=args[6])
            elif func is ATEN.convolution_backward.default:
                self._unfolded(args[1], args[2], args[0], transposed=args[7])
        return result

    def _unfolded(self, x: Tensor, weight: Tensor, y: Tensor, transposed: bool) -> None:
        places = (x if transposed else y).shape[2:].numel()
        self.allocator.release(self.allocator.allocate(weight.shape[1:].numel() * places * x.element_size()))


class AsOnDevice(TorchFunctionMode):
    """Does what a device does and `meta` does not: autocast, and on GPUs a dropout that keeps a mask of bytes.

    autocast: to what; None: off.
    """

    def __init__(self, on_gpu: bool, autocast: torch.dtype | None) -> None:
        super().__init__()
        self._on_gpu, self._autocast = on_gpu, autocast
        self._weights: dict[Tensor, Tensor] = {}

    def step_done(self) -> None:
        """Forget the cast weights, as the end of an autocast context does."""
        self._weights.clear()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.dropout and self._on_gpu:
            return torch.native_dropout(args[0], args[1] if len(args) > 1 else kwargs["p"], True)[0]
        if func in CONVOLUTIONS and self._autocast is not None:
            args = [self._cast(one) for one in args]
        return func(*args, **kwargs)

    def _cast(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        if not (value.is_leaf and value.requires_grad):
            return value.to(self._autocast)
        if value not in self._weights:
            self._weights[value] = value.to(self._autocast)
        return self._weights[value]


def count_memory(
    prepare: Callable[[], Callable[[], object]], on_gpu: bool, autocast: torch.dtype | None
) -> tuple[int, int]:
    """Peaks of allocated and reserved bytes of what `prepare` makes and of two calls of the step that it returns.

    The second step finds what the first one leaves, such as the moments of Adam.
    """
    with StorageCounter(unfold=on_gpu) as counter:
        step = prepare()
        with AsOnDevice(on_gpu, autocast) as device:
            for _ in range(2):
                step()
                device.step_done()
    return counter.allocator.peak_allocated, counter.allocator.peak_reserved
