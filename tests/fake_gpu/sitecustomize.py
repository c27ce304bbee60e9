"""Changes modules of every Python process on a fake GPU as they are loaded.

torch: cuDNN is off; convolutions then are products of cuBLAS, which a fake GPU has. FAKE_GPU_COMPUTES=1 makes the smoke
test compute, by computing.py of tests/helpers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any


def switch_cudnn_off(module: Any) -> None:
    sys.modules["torch"]._C._set_cudnn_enabled(False)


def compute(module: Any) -> None:
    sys.path.append(str(Path(__file__).parents[1] / "helpers"))
    import computing

    change = computing.in_triton if module.__name__.endswith("triton_sum") else computing.in_smoke_test
    change(module)


CHANGES: dict[str, Callable[[Any], None]] = {"torch.backends.cudnn": switch_cudnn_off}
if os.environ.get("FAKE_GPU_COMPUTES") == "1":
    CHANGES |= dict.fromkeys(("gbench.pix2pix.gpu_smoke", "gbench.pix2pix.triton_sum"), compute)


class Changed(MetaPathFinder):
    """Finds the modules of CHANGES, and changes each once it is loaded."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name not in CHANGES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def load_and_change(module: Any) -> None:
                load(module)
                CHANGES[name](module)

            spec.loader.exec_module = load_and_change  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Changed())
