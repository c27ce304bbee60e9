"""GAN objectives (upstream `models/networks.py` at 003efc4c, `GANLoss`)."""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from gbench.pix2pix.nets.choices import pick

GanLoss = Callable[[Tensor, bool], Tensor]


@cache
def _label(real: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full((), float(real), dtype=dtype, device=device)


def _to_labels(loss: Callable[[Tensor, Tensor], Tensor]) -> GanLoss:
    return lambda logits, real: loss(logits, _label(real, logits.dtype, logits.device).expand_as(logits))


GAN_LOSSES: dict[str, GanLoss] = {
    "vanilla": _to_labels(F.binary_cross_entropy_with_logits),
    "lsgan": _to_labels(F.mse_loss),
    "wgangp": lambda logits, real: -logits.mean() if real else logits.mean(),
}


def build_gan_loss(gan_mode: str) -> GanLoss:
    """The loss f(logits, is_real) -> 0-dim tensor of a discriminator's output, averaged over patches and batch.

    vanilla: cross-entropy on the logits (Goodfellow et al. 2014). lsgan: squared distance to 1 or 0 (Mao et al. 2017).
    wgangp: the critic's mean, negative for real (Arjovsky et al. 2017); as in upstream's pix2pix, without the gradient
    penalty after which the mode is named. Raises UsageError: unknown `gan_mode`.
    """
    return pick("gan_mode", gan_mode, GAN_LOSSES)
