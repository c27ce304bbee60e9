"""Build the two networks that a spec describes."""

from typing import Any

from torch import nn

from gbench.pix2pix.nets import determinism
from gbench.pix2pix.nets.discriminators import build_discriminator
from gbench.pix2pix.nets.generators import build_generator
from gbench.settings.spec import RunSpec


def build_networks(spec: RunSpec) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator, with weights drawn from the seed. Sets torch's seed."""
    network = spec.config.network
    weights: dict[str, Any] = {"init_type": network.init_type, "init_gain": network.init_gain}
    determinism.seed_weights(spec.seed)
    generator = build_generator(network.netG, ngf=network.ngf, norm=network.norm, dropout=network.dropout, **weights)
    discriminator = build_discriminator(
        network.netD, ndf=network.ndf, n_layers=network.n_layers_D, norm=network.norm, **weights
    )
    if spec.deterministic:
        determinism.replace_reflection_padding(generator)
    return generator, discriminator
