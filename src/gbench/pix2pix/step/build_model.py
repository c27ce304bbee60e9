"""Build the model that a spec describes."""

from gbench.pix2pix.nets import determinism
from gbench.pix2pix.nets.networks import build_networks
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.step import apply_switches, precision
from gbench.pix2pix.step.model import Pix2Pix
from gbench.settings.spec import RunSpec


def build_model(spec: RunSpec, ranks: Ranks) -> Pix2Pix:
    """The model on this rank's device: the same weights on every rank, dropout seeded per rank."""
    optim, switches = spec.config.optim, spec.config.speed
    generator, discriminator = (apply_switches.prepare(network, switches) for network in build_networks(spec))
    determinism.seed_noise(spec.seed, ranks.rank)
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
