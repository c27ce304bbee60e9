"""pix2pix on torch.distributed, with the semantics of junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c.

>>> from gbench.pix2pix import Pix2Pix, build_discriminator, build_generator
>>> model = Pix2Pix(build_generator("unet_128"), build_discriminator("basic"))
>>> losses = model.train_step(real_A, real_B)  # (N, 3, 128, 128) in [-1, 1], the two halves of N pairs
"""

from gbench.pix2pix.nets.discriminators import build_discriminator
from gbench.pix2pix.nets.generators import build_generator
from gbench.pix2pix.nets.init import init_weights
from gbench.pix2pix.nets.losses import build_gan_loss
from gbench.pix2pix.step.model import Pix2Pix
from gbench.pix2pix.step.schedule import build_scheduler, start_epoch

__all__ = [
    "Pix2Pix",
    "build_discriminator",
    "build_gan_loss",
    "build_generator",
    "build_scheduler",
    "init_weights",
    "start_epoch",
]
