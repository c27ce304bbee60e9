"""Weight initialisation (upstream `models/networks.py` at 003efc4c, `init_weights`)."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from gbench.pix2pix.nets.choices import pick

Fill = Callable[[Tensor, float], Tensor]

INITS: dict[str, Fill] = {
    "normal": lambda weight, gain: nn.init.normal_(weight, 0.0, gain),
    "xavier": nn.init.xavier_normal_,
    "kaiming": lambda weight, gain: nn.init.kaiming_normal_(weight, a=0, mode="fan_in"),  # as upstream: no gain
    "orthogonal": nn.init.orthogonal_,
}


@torch.no_grad()
def _init_layer(layer: nn.Module, fill: Fill, gain: float) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        fill(layer.weight, gain)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, gain)
        nn.init.zeros_(layer.bias)


def init_weights(net: nn.Module, init_type: str = "normal", gain: float = 0.02) -> None:
    """Draw new weights of `net`, in place, from torch's global generator; a seed gives upstream's weights.

    Convolutions and linear layers by `init_type` with `gain` (the standard deviation for `normal`; `kaiming` has its
    own scale), batch norm's scale by N(1, gain); biases become 0. Weights on the meta device have no values to draw.
    Raises UsageError: unknown `init_type`.
    """
    fill = pick("init_type", init_type, INITS)
    if not next(net.parameters()).is_meta:
        net.apply(partial(_init_layer, fill=fill, gain=gain))
