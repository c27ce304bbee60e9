"""Seeds, and the kernels of runs that reproduce their losses bit for bit."""

import os

import torch
from torch import nn


class SliceReflectionPad2d(nn.Module):
    """Reflection padding of (N, C, H, W) by slices and flips.

    The backward pass of `nn.ReflectionPad2d` on CUDA adds in no fixed order, which torch refuses in deterministic mode.
    """

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = self.padding
        x = torch.cat([x[..., 1 : p + 1].flip(-1), x, x[..., -p - 1 : -1].flip(-1)], dim=-1)
        return torch.cat([x[..., 1 : p + 1, :].flip(-2), x, x[..., -p - 1 : -1, :].flip(-2)], dim=-2)


def choose_kernels(deterministic: bool, one_size: bool) -> None:
    """Set which kernels torch may use; call it before the first CUDA call of the process.

    Args:
        deterministic: only kernels that reproduce their results bit for bit.
        one_size: all images have one size; then cuDNN may keep its fastest convolutions (upstream's base_model.py).
    """
    if deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # the only way to configure cuBLAS
    # as torch.use_deterministic_algorithms, without importing torch's compiler
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.backends.cudnn.benchmark = one_size and not deterministic


def replace_reflection_padding(network: nn.Module) -> None:
    """Replace every nn.ReflectionPad2d by SliceReflectionPad2d, in place; neither has weights, so keys stay."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReflectionPad2d):
                setattr(parent, name, SliceReflectionPad2d(int(child.padding[0])))


def seed_weights(seed: int) -> None:
    """Seed the initial weights, the same on every rank."""
    torch.manual_seed(seed)


def seed_noise(seed: int, rank: int) -> None:
    """Seed dropout, different on every rank."""
    torch.manual_seed(((seed + 1) << 16) + rank)


def seed_image(seed: int, index: int) -> None:
    """Seed dropout for one image of an evaluation, on any rank."""
    # torch.manual_seed keeps a stack trace of every call for the devices that are not in use
    seed_all = torch.manual_seed if torch.cuda.is_initialized() else torch.default_generator.manual_seed
    seed_all(((seed + 1) << 20) + index)
