"""The training step as a plain loop has it: upstream's operations in upstream's order, in our own words.

Source of the order: junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, models/pix2pix_model.py `optimize_parameters`: a
forward pass of G, D on fakes and on real pairs, its step, D frozen, G's losses and its step. FP32 or TF32, one device,
no DistributedDataParallel. As a program, under torchrun, the reference of startup.py: one step, then it says when that
began.

    torchrun --standalone --nproc-per-node 1 benchmarks/plain.py
"""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from gbench.pix2pix import build_discriminator, build_generator


class PlainStep:
    """G and D with an Adam each; called on a batch of pairs in [-1, 1] it takes one step and gives the four losses."""

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, lambda_L1: float = 100.0, lr: float = 2e-4
    ) -> None:
        self.netG, self.netD, self.lambda_L1 = generator, discriminator, lambda_L1
        self.criterion_GAN, self.criterion_L1 = nn.BCEWithLogitsLoss(), nn.L1Loss()
        device = next(generator.parameters()).device
        self.fake, self.real = torch.tensor(0.0, device=device), torch.tensor(1.0, device=device)
        self.optimizer_G = torch.optim.Adam(generator.parameters(), lr=lr, betas=(0.5, 0.999))
        self.optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=lr, betas=(0.5, 0.999))

    def __call__(self, real_A: Tensor, real_B: Tensor) -> dict[str, Tensor]:
        fake_B = self.netG(real_A)
        self.train_D(True)
        self.optimizer_D.zero_grad()
        D_fake = self.gan_loss(self.netD(torch.cat((real_A, fake_B), 1).detach()), self.fake)
        D_real = self.gan_loss(self.netD(torch.cat((real_A, real_B), 1)), self.real)
        ((D_fake + D_real) * 0.5).backward()
        self.optimizer_D.step()
        self.train_D(False)
        self.optimizer_G.zero_grad()
        G_GAN = self.gan_loss(self.netD(torch.cat((real_A, fake_B), 1)), self.real)
        G_L1 = self.criterion_L1(fake_B, real_B) * self.lambda_L1
        (G_GAN + G_L1).backward()
        self.optimizer_G.step()
        return {"G_GAN": G_GAN, "G_L1": G_L1, "D_real": D_real, "D_fake": D_fake}

    def gan_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Of a whole map of patches, all of which are to be `target`."""
        return self.criterion_GAN(logits, target.expand_as(logits))

    def train_D(self, on: bool) -> None:
        """Let gradients into D's weights, or not."""
        for weight in self.netD.parameters():
            weight.requires_grad = on


def main() -> None:
    """Take one step of startup.py's size and print when it began, in seconds of the system's monotonic clock."""
    torch.distributed.init_process_group("gloo")
    step = PlainStep(build_generator("resnet_6blocks", ngf=4), build_discriminator("basic", ndf=4))
    pair = torch.rand(4, 3, 32, 32) * 2 - 1, torch.rand(4, 3, 32, 32) * 2 - 1
    print(f"began {time.monotonic()}", flush=True)
    step(*pair)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
