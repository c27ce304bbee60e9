"""The pix2pix training step (Isola et al. 2017; upstream `models/pix2pix_model.py` at 003efc4c)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from gbench.pix2pix.nets.adam import Adam
from gbench.pix2pix.nets.losses import build_gan_loss

PARTS = ("generator", "discriminator", "optimizer_G", "optimizer_D", "scaler")  # attributes that training changes
KERNELS = ("foreach", "fused", "capturable")  # the entries of an Adam group that select its kernels


def unwrap(net: nn.Module) -> nn.Module:
    """The bare network, without DistributedDataParallel."""
    return net.module if isinstance(net, DistributedDataParallel) else net


def at_least_float32(tensor: Tensor) -> Tensor:
    """Widen half precision, which is too coarse for a loss; a wider tensor is returned as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


@contextmanager
def frozen(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Freeze the weights of a network in this context; gradients still pass through it."""
    for weight in weights:
        weight.requires_grad = False
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad = True


class Pix2Pix:
    """A generator and a conditional discriminator, with the optimisers that train them against each other.

    Args:
        generator, discriminator: on the device to train on. Either bare, or in DistributedDataParallel with
            `broadcast_buffers=False`: D runs twice before its backward pass; a broadcast between the two changes batch
            norm's buffers, which torch (from 2.6 on) may refuse.
        gan_mode: vanilla, lsgan or wgangp.
        lambda_L1: weight of the L1 loss.
        lr, betas: of both Adams. adam: their other arguments, such as `{"fused": True}`; None: torch's defaults.
        autocast_dtype: None runs in the weights' own precision; torch.bfloat16 runs the forward passes under autocast;
            torch.float16 does so with a GradScaler (one for both optimisers, updated once a step).

    Attributes:
        generator, discriminator: the bare networks.
        trained: both as they were given, by "G" and "D".
        optimizer_G, optimizer_D: for `build_scheduler`.
        fake_B: output of G in the last `train_step`, detached, in the precision that ran; None before the first.

    Raises UsageError: unknown `gan_mode`.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        gan_mode: str = "vanilla",
        lambda_L1: float = 100.0,
        lr: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        *,
        autocast_dtype: torch.dtype | None = None,
        adam: Mapping[str, Any] | None = None,
    ) -> None:
        self.generator, self.discriminator = unwrap(generator), unwrap(discriminator)
        self.trained = {"G": generator, "D": discriminator}
        self._weights_D = list(self.discriminator.parameters())
        self.gan_loss = build_gan_loss(gan_mode)
        self.lambda_L1 = lambda_L1
        self.optimizer_G, self.optimizer_D = (
            Adam(net.parameters(), lr=lr, betas=betas, **(adam or {})) for net in (self.generator, self.discriminator)
        )
        self.device = next(self.generator.parameters()).device
        self.autocast_dtype = autocast_dtype
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=autocast_dtype is torch.float16)
        self.fake_B: Tensor | None = None

    def train_step(self, real_A: Tensor, real_B: Tensor) -> dict[str, Tensor]:
        """One optimisation of D, then one of G, on a batch of pairs in [-1, 1], both (N, C, H, W) on `device`.

        Returns:
            G_GAN, G_L1 (times lambda_L1), D_real, D_fake: 0-dim, detached, on `device`, in the networks' precision, at
            least float32; under DDP this rank's own. D's are from before its update, G_GAN from after it. Only
            GradScaler waits for the device, to learn whether a gradient overflowed.
        """
        with self._autocast():
            fake_B: Tensor = self.trained["G"](real_A)

        with self._autocast():
            fake_pair = torch.cat((real_A, fake_B), 1)
            logits_fake = self.trained["D"](fake_pair.detach())
            logits_real = self.trained["D"](torch.cat((real_A, real_B), 1))
        D_fake = self.gan_loss(at_least_float32(logits_fake), False)
        D_real = self.gan_loss(at_least_float32(logits_real), True)
        self._optimize(self.optimizer_D, (D_fake + D_real) * 0.5)

        # The bare D: this pass leaves no gradient in its weights that DDP could average.
        with frozen(self._weights_D):
            with self._autocast():
                logits_fake = self.discriminator(fake_pair)
            G_GAN = self.gan_loss(at_least_float32(logits_fake), True)
            G_L1 = F.l1_loss(at_least_float32(fake_B), real_B) * self.lambda_L1
            self._optimize(self.optimizer_G, G_GAN + G_L1)

        self.scaler.update()
        self.fake_B = fake_B.detach()
        losses = {"G_GAN": G_GAN, "G_L1": G_L1, "D_real": D_real, "D_fake": D_fake}
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def forward(self, real_A: Tensor) -> Tensor:
        """G's images of `real_A`, (N, C, H, W) in [-1, 1], at least float32, in whatever mode G is."""
        with self._autocast():
            fake_B: Tensor = self.generator(real_A)
        return at_least_float32(fake_B)

    @torch.no_grad()
    def try_out(self, side: int) -> Tensor:
        """Output of G for a gray image, (1, 3, side, side), in the run's precision; changes no state."""
        self.generator.eval()
        with self._autocast():
            fake_B: Tensor = self.generator(torch.zeros(1, 3, side, side, device=self.device))
        self.generator.train()
        return fake_B

    def state_dict(self) -> dict[str, Any]:
        """All state that training changes; the networks under upstream's keys, wrapped or not."""
        return {name: getattr(self, name).state_dict() for name in PARTS}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a `state_dict`. Raises KeyError or RuntimeError: it is another model's."""
        for name in PARTS:
            part = getattr(self, name)
            own = adapted_state(part, state[name]) if isinstance(part, Optimizer) else state[name]
            part.load_state_dict(own)

    def _autocast(self) -> AbstractContextManager[object]:
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.autocast_dtype)

    def _optimize(self, optimizer: Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.step(optimizer)


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
