"""gbench's training step against a plain loop of upstream's operations, in alternating blocks.

    python benchmarks/step.py [--pairs 40] [--steps 5] [--precision TF32] [--device cuda] [--json]

gbench's is what a run of one device calls: `Pix2Pix.train_step`. The plain loop is plain.py.
Both have the same networks, weights, batch, precision and threads, and must compute the same losses first. Batches are
on the device; loader.py measures loading. Sizes on a CPU are those of `make bench` (64 pixels, 16 filters, batch 4),
with --device cuda those of the recipe (256 pixels, 64 filters, batch 32).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial

import torch
from command import at_least_one, parser_of, run
from one_rank import alone
from plain import PlainStep
from rows import Row, report
from timing import alternate, columns, seconds
from torch import Tensor

from gbench.pix2pix.nets import determinism
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.step import precision
from gbench.pix2pix.step.build_model import build_model, build_networks
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec

SMALL = ("data.load_size=72", "data.crop_size=64", "network.ngf=16", "network.ndf=16")
Step = Callable[[Tensor, Tensor], dict[str, Tensor]]


def the_spec(arguments: argparse.Namespace, folder: str) -> RunSpec:
    """The recipe; small on a CPU."""
    request = Request(
        model="pix2pix_resnet_9blocks",
        batch_size=arguments.batch or (4 if arguments.device == "cpu" else 32),
        device_count=1,
        precision=arguments.precision,
        device=arguments.device,
        runner="local",
        settings=SMALL if arguments.device == "cpu" else (),
        datasets_dir=folder,
    )
    return resolve(request, {}).spec


def both(spec: RunSpec, ranks: Ranks) -> dict[str, Step]:
    """The two training steps."""
    optim = spec.config.optim
    ours = build_model(spec, ranks)
    generator, discriminator = (network.to(ranks.device) for network in build_networks(spec))
    return {"ours": ours.train_step, "plain": PlainStep(generator, discriminator, optim.lambda_L1, optim.lr)}


def require_alike(ways: dict[str, Step], pair: tuple[Tensor, Tensor], seed: int) -> None:
    """Compare the losses of the first three steps. Raises AssertionError: they differ."""
    losses = []
    for step in ways.values():
        determinism.seed_noise(seed, 0)
        found = [step(*pair) for _ in range(3)]
        losses.append([{name: float(value.detach()) for name, value in each.items()} for each in found])
    for ours, plain in zip(*losses, strict=True):
        for name in plain:
            torch.testing.assert_close(ours[name], plain[name], rtol=1e-2, atol=1e-3)


def main() -> None:
    """Measure both and print their ratio."""
    parser = parser_of(__doc__, json=True)
    parser.add_argument("--pairs", type=at_least_one, default=40, help="pairs of blocks, alternating")
    parser.add_argument("--steps", type=at_least_one, default=5, help="steps a block")
    parser.add_argument("--batch", type=at_least_one, help="images a step; default: 4, with --device cuda 32")
    parser.add_argument("--threads", type=at_least_one, default=1, help="of torch; on a busy machine more don't help")
    parser.add_argument("--precision", choices=("FP32", "TF32"), default="FP32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder, alone(arguments.device) as ranks:
        spec = the_spec(arguments, folder)
        determinism.choose_kernels(deterministic=False, one_size=True)
        precision.set_precision(spec.precision, ranks.device)
        side = spec.config.data.crop_size
        shape = (spec.batch_size, 3, side, side)
        pair = tuple(torch.rand(shape, device=ranks.device) * 2 - 1 for _ in range(2))
        ways = both(spec, ranks)
        require_alike(ways, pair, spec.seed)

        def block(step: Step) -> None:
            for _ in range(arguments.steps):
                step(*pair)
            if ranks.device.type == "cuda":
                torch.cuda.synchronize()

        blocks = {name: partial(seconds, partial(block, step)) for name, step in ways.items()}
        found = list(alternate(blocks, arguments.pairs, warmup=2))
        precision.confirmed(spec.precision, torch.float32)
    what = f"training step, batch {spec.batch_size}, {side} pixels, {spec.precision}, {arguments.device}"
    times = ([1e3 * block_s / arguments.steps for block_s in values] for values in columns(found).values())
    row = Row.of(what, "a plain loop of upstream's operations", "ms", *times)
    threads = f"{torch.__version__}, {arguments.threads} threads, {arguments.pairs} pairs of blocks"
    report([row], [f"torch {threads}"], arguments.json, torch=torch.__version__, threads=arguments.threads)


if __name__ == "__main__":
    run(main)
