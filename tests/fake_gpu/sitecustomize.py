"""Switches cuDNN off in every Python process on a fake GPU: convolutions then are products of cuBLAS, which it has."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any


class CudnnOff(MetaPathFinder):
    """Finds torch.backends.cudnn, and switches it off once it is loaded."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != "torch.backends.cudnn":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def load_and_switch_off(module: Any) -> None:
                load(module)
                sys.modules["torch"]._C._set_cudnn_enabled(False)

            spec.loader.exec_module = load_and_switch_off  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, CudnnOff())
