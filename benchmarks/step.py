"""gbench's training step, in alternating blocks: against a plain loop, and its training loop against upstream's own.

    python benchmarks/step.py [--pairs 40] [--steps 5] [--precision TF32] [--device cuda] [--json]
    UPSTREAM_DIR=/srv/pytorch-CycleGAN-and-pix2pix python benchmarks/step.py --upstream [--pairs 40] [--json]

The plain loop: gbench's step is what a run of one device calls, `Pix2Pix.train_step`, in a process that a run has
prepared (malloc). The plain loop is plain.py, in a plain process. Both have the same networks, weights, batch,
precision and threads, and must compute the same losses first, on a CPU to the last bit. Batches are on the device;
loader.py measures loading. Operations are counted too.

--upstream, on a CPU: the loops of both programs as they run, with loading in the same process and a log line a block,
on the same drawn pairs, weights and dropout, at three sizes. At the end all weights must be equal to the last bit.
Upstream's code is the clone in UPSTREAM_DIR, at the commit of CODE_LINK and unchanged; else it is cloned, which needs
the network.

On a CPU a step's time is processor time, which other processes disturb less, and its page faults are counted. Sizes on
a CPU are those of `make bench` (64 pixels, 16 filters, batch 4), with --device cuda those of the recipe (256 pixels, 64
filters, batch 32).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from command import at_least_one, parser_of, run
from one_rank import alone
from plain import PlainStep
from rows import Row, report
from served import Block, Counts, ask, blocks_of, page_faults, process_of
from torch import Tensor, nn
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
    for module in list(generator.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout):
                setattr(module, name, nn.Dropout(child.p))  # torch's own
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
        start = Block.now()
        for _ in range(steps):
            self.step(*self.pair)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return Block.now().since(start, steps)

    def operations(self) -> int:
        """Calls of torch's operations in a step, those within others too."""
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            self.step(*self.pair)
        return sum(one.count for one in seen.key_averages() if one.key.startswith("aten::"))


def serve(pipe: Connection, kind: str, arguments: argparse.Namespace) -> None:
    """Answer with the first losses, then each number with a block of as many steps, 0 with a count; None ends it."""
    torch.set_num_threads(arguments.threads)
    plain = nullcontext(Ranks(0, 1, torch.device(arguments.device)))
    with tempfile.TemporaryDirectory() as folder, alone(arguments.device) if kind == "ours" else plain as ranks:
        served = Served(kind, arguments, folder, ranks)
        pipe.send(served.losses)
        while (steps := pipe.recv()) is not None:
            pipe.send(served.block(steps) if steps else served.operations())


def require_alike(ours: Losses, plain: Losses, bitwise: bool) -> None:
    """Raises AssertionError: the losses of the first steps differ."""
    tolerance = {"rtol": 0.0, "atol": 0.0} if bitwise else {"rtol": 1e-2, "atol": 1e-3}
    torch.testing.assert_close(ours, plain, **tolerance)


def against_plain(arguments: argparse.Namespace) -> tuple[Row, Counts]:
    """The step against the plain loop's, and what was counted of both."""
    cpu = arguments.device == "cpu"
    with tempfile.TemporaryDirectory() as folder:
        spec = the_spec(arguments, folder)  # reports now, in one sentence, what can't be measured
    with process_of(serve, "ours", arguments) as ours, process_of(serve, "plain", arguments) as plain:
        require_alike(ours.recv(), plain.recv(), bitwise=cpu)
        pipes = {"ours": ours, "plain": plain}
        found = blocks_of(pipes, arguments.pairs or 40, arguments.steps or 5)
        operations = {name: ask(pipe, 0) for name, pipe in pipes.items()}
    what = f"training step, batch {spec.batch_size}, {spec.config.data.crop_size} pixels, {spec.precision}"
    times = ([1e3 * (block.cpu_s if cpu else block.wall_s) for block in each] for each in found.values())
    row = Row.of(
        f"{what}, {'processor time' if cpu else 'cuda'}",
        "a plain loop of upstream's operations",
        "ms",
        *times,
        ratio_goal=GOAL if cpu else None,
    )
    return row, {"operations": operations, "page faults": page_faults(found)}


def against_upstream(arguments: argparse.Namespace) -> list[tuple[Row, Counts]]:
    """The loop against that of upstream's train.py, at the size that is given, or at three."""
    import loops  # needs the extra `upstream`

    sizes = [loops.Size(64, 16, 1), loops.Size(64, 16, 4), loops.Size(256, 64, 1)]
    if arguments.side or arguments.filters or arguments.batch:
        sizes = [loops.Size(arguments.side or 64, arguments.filters or 16, arguments.batch or 4)]
    with tempfile.TemporaryDirectory() as folder:
        code = loops.upstreams_code(Path(folder))
        return [
            loops.compare(
                size,
                arguments.pairs or (40 if size.side < 256 else 12),
                arguments.steps or (5 if size.side < 256 else 1),
                arguments.threads,
                code,
            )
            for size in sizes
        ]


def main() -> None:
    """Measure both and print their ratio."""
    parser = parser_of(__doc__, json=True)
    parser.add_argument("--pairs", type=at_least_one, help="pairs of blocks, alternating; default: 40, or fewer")
    parser.add_argument("--steps", type=at_least_one, help="steps a block; default: 5, or fewer")
    parser.add_argument("--batch", type=at_least_one, help="images a step; default: 4, with --device cuda 32")
    parser.add_argument("--side", type=at_least_one, help="pixels; default: 64, with --device cuda 256")
    parser.add_argument("--filters", type=at_least_one, help="ngf and ndf; default: 16, with --device cuda 64")
    parser.add_argument("--threads", type=at_least_one, default=1, help="of torch; on a busy machine more don't help")
    parser.add_argument("--precision", choices=("FP32", "TF32"), default="FP32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--upstream", action="store_true", help="against upstream's train.py, on a CPU in FP32")
    arguments = parser.parse_args()
    if arguments.upstream and (arguments.device, arguments.precision) != ("cpu", "FP32"):
        parser.error("--upstream measures on a CPU in FP32")
    found = against_upstream(arguments) if arguments.upstream else [against_plain(arguments)]
    rows = [row for row, _ in found]
    lines = [
        f"{name} of {row.what}: " + ", ".join(f"{whose} {value:g}" for whose, value in each.items())
        for row, counts in found
        for name, each in counts.items()
    ]
    facts = {"torch": torch.__version__, "threads": arguments.threads}
    more = [f"torch {facts['torch']}, {facts['threads']} threads", *lines]
    report(rows, more, arguments.json, counts={row.what: counts for row, counts in found}, **facts)


if __name__ == "__main__":
    run(main)
