"""An optimiser's saved state, loaded by an optimiser with other speed switches."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

KERNELS = ("foreach", "fused", "capturable")  # the entries of an Adam group that select its kernels


def adapted_state(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Adapt a saved optimiser state to this optimiser's kernels and memory layout, which torch would keep as saved."""
    parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
    groups = [
        {**saved, **{name: own[name] for name in KERNELS}}
        for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    moments = {
        index: {name: _laid_out_as(parameters[index], value) for name, value in values.items()}
        for index, values in state["state"].items()
    }
    return {**state, "state": moments, "param_groups": groups}


def _laid_out_as(weight: Tensor, value: Any) -> Any:
    if not isinstance(value, Tensor) or value.shape != weight.shape or value.stride() == weight.stride():
        return value
    return torch.empty_like(weight, dtype=value.dtype, device=value.device).copy_(value)
