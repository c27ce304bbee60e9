"""Adam without torch's compiler (see `without_compiler`), and on a CPU in fewer operations of the same arithmetic.

torch's loop on a CPU takes ten operations for each weight. Four of them convert a number of Python to a tensor first,
one adds 1 to the weight's step, one reads it. Here the numbers are converted once, and all steps are added to at once;
the other operations are torch's, in its order, one weight after the other. So the weights are the same to the last bit.
"""

import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor

_step: Any = inspect.unwrap(torch.optim.Adam.step)
_load_state_dict: Any = inspect.unwrap(torch.optim.Adam.load_state_dict)
NOT_THE_LOOP = ("foreach", "fused", "capturable", "amsgrad", "maximize", "differentiable", "weight_decay")


class _Moments(NamedTuple):
    """Each weight with its two moments, and the steps of all of them in one tensor."""

    weights: list[tuple[Tensor, Tensor, Tensor]]
    steps: Tensor


class Adam(torch.optim.Adam):
    """torch.optim.Adam: the same arithmetic and state. Not for `differentiable`."""

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    _moments: _Moments | None = None
    """None: the next step is torch's, which creates them."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._moments = None
        _load_state_dict(self, state_dict)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update the weights from their gradients. closure: computes them again, and its result is returned."""
        moments = self._moments
        if moments is None or closure is not None or any(weight.grad is None for weight, _, _ in moments.weights):
            result = _step(self, closure)
            self._moments = self._adopted()
            return result
        group = self.param_groups[0]
        beta1, beta2 = group["betas"]
        moments.steps.add_(1)
        step = moments.steps[0].item()
        rate = group["lr"] / (1 - beta1**step)
        numbers = (beta2, (1 - beta2**step) ** 0.5, group["eps"])
        decay, correction, eps = torch.tensor(numbers, dtype=torch.float32).unbind()
        for weight, mean, square in moments.weights:
            grad = weight.grad
            assert grad is not None, "see above"
            mean.lerp_(grad, 1 - beta1)
            square.mul_(decay).addcmul_(grad, grad, value=1 - beta2)
            weight.addcdiv_(mean, square.sqrt().div_(correction).add_(eps), value=-rate)
        return None

    def _adopted(self) -> _Moments | None:
        """The state that torch's step left, with the steps moved into one tensor; None where torch takes no loop."""
        group, *others = self.param_groups
        weights: list[Tensor] = group["params"]
        states = [self.state[weight] for weight in weights if weight in self.state]
        if others or len(states) < len(weights) or any(group[name] for name in NOT_THE_LOOP):
            return None
        if any(weight.dtype != torch.float32 or weight.device.type != "cpu" for weight in weights):
            return None
        steps = torch.stack([state["step"] for state in states])
        if torch.is_tensor(group["lr"]) or bool((steps != steps[0]).any()):
            return None
        for state, step in zip(states, steps.unbind(), strict=True):
            state["step"] = step
        pairs = zip(weights, states, strict=True)
        return _Moments([(weight, state["exp_avg"], state["exp_avg_sq"]) for weight, state in pairs], steps)
