"""Data-parallel training over two processes (gloo) against one process."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from support import two_ranks
from torch import Tensor, nn

from gbench.pix2pix import Pix2Pix, build_discriminator, build_generator
from gbench.pix2pix.ranks.group import Ranks
from gbench.settings.model_config import SpeedConfig
from spawned_ranks import spawn_ranks

WORLD = 2
BATCH = 4


def build(norm: str, dropout: bool) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    generator = build_generator("resnet_6blocks", ngf=8, norm=norm, dropout=dropout)
    return generator, build_discriminator("basic", ndf=8, norm=norm)


def samples(step: int = 0) -> tuple[Tensor, Tensor]:
    """The global batch, the same in every process."""
    generator = torch.Generator().manual_seed(step)
    real_A, real_B = torch.rand(2, BATCH, 3, 32, 32, generator=generator) * 2 - 1
    return real_A, real_B


def gradients(model: Pix2Pix) -> dict[str, Tensor]:
    """G's and D's gradients of the last step, each as one vector."""
    nets = {"G": model.generator, "D": model.discriminator}
    return {name: torch.cat([p.grad.flatten() for p in net.parameters()]) for name, net in nets.items()}


def train(rank: int, folder: Path, norm: str, dropout: bool, steps: int) -> None:
    """One of two processes, on its half of each global batch; writes gradients, weights and losses to `folder`."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    ranks = Ranks(rank, WORLD, torch.device("cpu"))
    model = Pix2Pix(*(ranks.wrap(network, SpeedConfig()) for network in build(norm, dropout)))
    torch.manual_seed(rank)  # dropout of its own
    mine = slice(rank * BATCH // WORLD, (rank + 1) * BATCH // WORLD)
    for step in range(steps):
        real_A, real_B = samples(step)
        losses = model.train_step(real_A[mine], real_B[mine])
    state = {"gradients": gradients(model), "model": model.state_dict(), "losses": losses}
    torch.save(state, folder / f"{rank}.pt")
    dist.destroy_process_group()


def train_on_two(folder: Path, norm: str, dropout: bool, steps: int) -> list[dict[str, dict[str, Tensor]]]:
    spawn_ranks(train, (folder, norm, dropout, steps), WORLD)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@two_ranks
def test_two_ranks_of_two_give_the_gradient_of_one_of_four(tmp_path: Path) -> None:
    """Instance norm looks at each sample alone and every loss is a mean over equal halves, so the maths is the same.

    What is left is float32 rounding (some 1e-7), measured against the length of the whole gradient. D's differs by the
    order of the sums alone. G's passes through D after Adam's first step, which is lr * sign(gradient): where D's
    gradient is as small as its rounding error, that sign is a matter of chance.
    """
    one = Pix2Pix(*build("instance", dropout=False))
    losses = one.train_step(*samples())
    two = train_on_two(tmp_path, "instance", dropout=False, steps=1)
    for name, tolerance in (("D", 1e-5), ("G", 1e-4)):
        expected = gradients(one)[name]
        for rank in range(WORLD):
            error = (two[rank]["gradients"][name] - expected).norm() / expected.norm()
            assert error < tolerance
    for name, loss in losses.items():
        torch.testing.assert_close(sum(rank["losses"][name] for rank in two) / WORLD, loss, rtol=1e-4, atol=0)


@two_ranks
def test_ranks_stay_alike_with_batch_norm_and_dropout(tmp_path: Path) -> None:
    """After 4 steps on different data weights and moments are equal to the bit; batch norm's statistics differ."""
    first, second = (rank["model"] for rank in train_on_two(tmp_path, "batch", dropout=True, steps=4))
    for net in ("generator", "discriminator"):
        statistics = [key for key in first[net] if "running_" in key]
        weights = [key for key in first[net] if key not in statistics]
        assert all(torch.equal(first[net][key], second[net][key]) for key in weights)
        assert not any(torch.equal(first[net][key], second[net][key]) for key in statistics)
    for optimizer in ("optimizer_G", "optimizer_D"):
        torch.testing.assert_close(first[optimizer], second[optimizer], rtol=0, atol=0)
    initial = build("batch", dropout=True)[0].state_dict()
    assert not torch.equal(initial["model.1.weight"], first["generator"]["model.1.weight"])
