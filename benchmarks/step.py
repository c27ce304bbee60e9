"""gbench's training step against a plain loop of upstream's operations, in alternating blocks.

    python benchmarks/step.py [--pairs 40] [--steps 5] [--precision TF32] [--device cuda] [--json]

gbench's is what a run of one device calls: `Pix2Pix.train_step`, in a process that a run has prepared (malloc). The
plain loop is plain.py, in a plain process. Both have the same networks, weights, batch, precision and threads, and must
compute the same losses first, on a CPU to the last bit. Batches are on the device; loader.py measures loading. On a CPU
a step's time is processor time, which other processes disturb less. Its operations and page faults are counted too.
Sizes on a CPU are those of `make bench` (64 pixels, 16 filters, batch 4), with --device cuda those of the recipe (256
pixels, 64 filters, batch 32).
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch
from command import at_least_one, parser_of, run
from one_rank import alone
from plain import PlainStep
from rows import Row, report
from timing import Median, alternate, columns
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from gbench.pix2pix.nets import determinism
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.step import precision
from gbench.pix2pix.step.build_model import build_model, build_networks
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec

Step = Callable[[Tensor, Tensor], dict[str, Tensor]]
Losses = list[dict[str, float]]
GOAL = 1 / 1.03  # on a CPU


class Block(NamedTuple):
    """What a step of a block took, on average."""

    wall_s: float
    cpu_s: float
    page_faults: float


def the_spec(arguments: argparse.Namespace, folder: str) -> RunSpec:
    """The recipe; small on a CPU."""
    cpu = arguments.device == "cpu"
    side, filters = arguments.side or (64 if cpu else 256), arguments.filters or (16 if cpu else 64)
    request = Request(
        model="pix2pix_resnet_9blocks",
        batch_size=arguments.batch or (4 if cpu else 32),
        device_count=1,
        precision=arguments.precision,
        device=arguments.device,
        runner="local",
        settings=(
            *(f"data.load_size={side + side // 8}", f"data.crop_size={side}"),
            *(f"network.ngf={filters}", f"network.ndf={filters}"),
        ),
        datasets_dir=folder,
    )
    return resolve(request, {}).spec


def step_of(kind: str, spec: RunSpec, ranks: Ranks) -> Step:
    """The training step, `ours` or `plain`."""
    determinism.choose_kernels(deterministic=False, one_size=True)
    precision.set_precision(spec.precision, ranks.device)
    if kind == "ours":
        return build_model(spec, ranks).train_step
    generator, discriminator = (network.to(ranks.device) for network in build_networks(spec))
    return PlainStep(generator, discriminator, spec.config.optim.lambda_L1, spec.config.optim.lr)


class Served:
    """A training step in this process, for the one that measures."""

    def __init__(self, kind: str, arguments: argparse.Namespace, folder: str, ranks: Ranks) -> None:
        spec, self.device = the_spec(arguments, folder), ranks.device
        self.step = step_of(kind, spec, ranks)
        torch.manual_seed(spec.seed)
        shape = (spec.batch_size, 3, spec.config.data.crop_size, spec.config.data.crop_size)
        self.pair = tuple(torch.rand(shape, device=ranks.device) * 2 - 1 for _ in range(2))
        determinism.seed_noise(spec.seed, 0)
        found = [self.step(*self.pair) for _ in range(3)]
        self.losses: Losses = [{name: float(value.detach()) for name, value in each.items()} for each in found]
        precision.confirmed(spec.precision, torch.float32)

    def block(self, steps: int) -> Block:
        """Take steps."""
        faults, start_s, cpu_s = page_faults(), time.perf_counter(), time.process_time()
        for _ in range(steps):
            self.step(*self.pair)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        took = time.perf_counter() - start_s, time.process_time() - cpu_s, page_faults() - faults
        return Block(*(value / steps for value in took))

    def operations(self) -> int:
        """Calls of torch's operations in a step, those within others too."""
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            self.step(*self.pair)
        return sum(one.count for one in seen.key_averages() if one.key.startswith("aten::"))


def page_faults() -> int:
    """Of this process so far, those that read nothing from a disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def serve(kind: str, arguments: argparse.Namespace, pipe: Connection) -> None:
    """Answer with the first losses, then each number with a block of as many steps, 0 with a count; None ends it."""
    torch.set_num_threads(arguments.threads)
    plain = nullcontext(Ranks(0, 1, torch.device(arguments.device)))
    with tempfile.TemporaryDirectory() as folder, alone(arguments.device) if kind == "ours" else plain as ranks:
        served = Served(kind, arguments, folder, ranks)
        pipe.send(served.losses)
        while (steps := pipe.recv()) is not None:
            pipe.send(served.block(steps) if steps else served.operations())


@contextmanager
def process_of(kind: str, arguments: argparse.Namespace) -> Iterator[Connection]:
    """A process with the step, which ends with this context."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(kind, arguments, there), daemon=True)
    process.start()
    there.close()
    try:
        yield here
        here.send(None)
    finally:
        here.close()
        process.join()


def ask(pipe: Connection, steps: int) -> Block:
    """A block of steps in the process at the other end."""
    pipe.send(steps)
    block: Block = pipe.recv()
    return block


def require_alike(ours: Losses, plain: Losses, bitwise: bool) -> None:
    """Raises AssertionError: the losses of the first steps differ."""
    tolerance = {"rtol": 0.0, "atol": 0.0} if bitwise else {"rtol": 1e-2, "atol": 1e-3}
    torch.testing.assert_close(ours, plain, **tolerance)


def main() -> None:
    """Measure both and print their ratio."""
    parser = parser_of(__doc__, json=True)
    parser.add_argument("--pairs", type=at_least_one, default=40, help="pairs of blocks, alternating")
    parser.add_argument("--steps", type=at_least_one, default=5, help="steps a block")
    parser.add_argument("--batch", type=at_least_one, help="images a step; default: 4, with --device cuda 32")
    parser.add_argument("--side", type=at_least_one, help="pixels; default: 64, with --device cuda 256")
    parser.add_argument("--filters", type=at_least_one, help="ngf and ndf; default: 16, with --device cuda 64")
    parser.add_argument("--threads", type=at_least_one, default=1, help="of torch; on a busy machine more don't help")
    parser.add_argument("--precision", choices=("FP32", "TF32"), default="FP32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    cpu = arguments.device == "cpu"
    the_spec(arguments, "")  # report now, in one sentence, what can't be measured
    with process_of("ours", arguments) as ours, process_of("plain", arguments) as plain:
        require_alike(ours.recv(), plain.recv(), bitwise=cpu)
        pipes = {"ours": ours, "plain": plain}
        blocks = {name: partial(ask, pipe, arguments.steps) for name, pipe in pipes.items()}
        found = columns(list(alternate(blocks, arguments.pairs, warmup=2)))
        operations = {name: ask(pipe, 0) for name, pipe in pipes.items()}
    with tempfile.TemporaryDirectory() as folder:
        spec = the_spec(arguments, folder)
    what = f"training step, batch {spec.batch_size}, {spec.config.data.crop_size} pixels, {spec.precision}"
    times = ([1e3 * (block.cpu_s if cpu else block.wall_s) for block in each] for each in found.values())
    row = Row.of(
        f"{what}, {'processor time' if cpu else 'cuda'}",
        "a plain loop of upstream's operations",
        "ms",
        *times,
        ratio_goal=GOAL if cpu else None,
    )
    faults = {name: Median.of([block.page_faults for block in each]).value for name, each in found.items()}
    counts = {"operations": operations, "page_faults": faults}
    report(
        [row],
        [
            f"torch {torch.__version__}, {arguments.threads} threads, {arguments.pairs} pairs of blocks",
            *(f"{name} a step: ours {each['ours']:g}, plain {each['plain']:g}" for name, each in counts.items()),
        ],
        arguments.json,
        torch=torch.__version__,
        threads=arguments.threads,
        counts=counts,
    )


if __name__ == "__main__":
    run(main)
