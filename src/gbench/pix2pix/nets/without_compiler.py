"""Training without loading torch's compiler, torch._dynamo, which takes 1 to 2 s of CPU time.

torch wraps functions (torch._disable_dynamo) so that torch.compile leaves them alone. The wrapper loads the compiler at
its first call. Outside a compiled function it then calls what it wraps; `nets.adam`, DistributedDataParallel and
`wrappers_off` here call that at once.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

from torch import nn

COMPILER = "torch._dynamo"


class DistributedDataParallel(nn.parallel.DistributedDataParallel):
    """torch's, for a module that no compiled function calls. Its constructor, too, would load the compiler."""

    _inside_ddp_forward = contextmanager(inspect.unwrap(nn.parallel.DistributedDataParallel._inside_ddp_forward))

    def __init__(self, *arguments: Any, **options: Any) -> None:
        with wrappers_off():
            super().__init__(*arguments, **options)


class _StandIn(ModuleType):
    """Says that a function needs no wrapper, and how DDP divides a compiled graph: as by default, which is into its
    buckets. Any other use loads the compiler."""

    utils = SimpleNamespace(get_optimize_ddp_mode=lambda: "ddp_optimizer")

    def disable(self, function: Callable[..., Any], *_: object, **__: object) -> Callable[..., Any]:
        return function

    def __getattr__(self, name: str) -> Any:
        sys.modules.pop(COMPILER, None)
        return getattr(importlib.import_module(COMPILER), name)


@contextmanager
def wrappers_off() -> Iterator[None]:
    """In this context no wrapped function of torch loads the compiler; where it is loaded, nothing changes.

    torch remembers the functions that are called here, and never wraps them again.
    """
    if COMPILER in sys.modules:
        yield
        return
    stand_in = sys.modules[COMPILER] = _StandIn(COMPILER)
    try:
        yield
    finally:
        if sys.modules.get(COMPILER) is stand_in:
            del sys.modules[COMPILER]
