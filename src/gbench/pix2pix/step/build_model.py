"""Build the networks and the model that a spec describes."""

from contextlib import nullcontext
from typing import Any

from torch import nn

from gbench.pix2pix.nets import determinism
from gbench.pix2pix.nets.discriminators import build_discriminator
from gbench.pix2pix.nets.generators import build_generator
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.step import apply_switches, precision
from gbench.pix2pix.step.cuda_graph import on_side_stream
from gbench.pix2pix.step.model import Pix2Pix
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


def build_model(spec: RunSpec, ranks: Ranks) -> Pix2Pix:
    """The model on this rank's device: the same weights on every rank, dropout seeded per rank."""
    optim, switches = spec.config.optim, spec.config.speed
    generator, discriminator = (apply_switches.prepare(network, switches) for network in build_networks(spec))
    determinism.seed_noise(spec.seed, ranks.rank)
    with on_side_stream() if switches.cuda_graph else nullcontext():
        return Pix2Pix(
            ranks.wrap(generator, switches),
            ranks.wrap(discriminator, switches),
            optim.gan_mode,
            optim.lambda_L1,
            optim.lr,
            (optim.beta1, optim.beta2),
            autocast_dtype=precision.AUTOCAST[spec.precision],
            adam=apply_switches.adam_options(switches),
        )
