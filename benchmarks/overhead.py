"""What measuring costs: the real training loop with its instrumentation on and off, in alternating blocks.

    python benchmarks/overhead.py [--pairs 200] [--steps 40] [--device cuda] [--json]

On is all that a run does to measure itself: the clock's marks, a log line every 10th step as in the recipe, the
telemetry sampler, and a reading at the end of each block (fetch losses, write rows, decide whether to stop; a run reads
every 2 seconds, so blocks of 40 steps of 10 ms read five times as often). Off is the same loop on the same model and
data without any of it. Prints the median over pairs of the extra cost of a step: in wall time, and in processor time of
the loop's own process, which is more precise if other processes disturb wall times.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from command import at_least_one, parser_of, run
from one_rank import alone
from rows import Row, report
from timing import Median, alternate

from gbench.datasets.synth import synth
from gbench.measure.clock import StepClock, marks_for
from gbench.measure.telemetry.sampler_process import TelemetryProcess
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.trainer import Trainer
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import StepWriter
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec

# Some 10 ms a step on one thread of a processor; a GPU takes nine blocks as the recipe has them.
SMALL = (
    *("data.load_size=36", "data.crop_size=32", "data.workers=0", "measure.peak_seconds=0"),
    *("network.ngf=4", "network.ndf=4"),
)


class SwitchedClock(StepClock):
    """Marks nothing while it is off."""

    on = True

    def start(self) -> None:
        """Nothing, when off."""
        if self.on:
            super().start()

    def ask(self) -> None:
        """Nothing, when off."""
        if self.on:
            super().ask()

    def batch_ready(self) -> None:
        """Nothing, when off."""
        if self.on:
            super().batch_ready()

    def step_done(self) -> None:
        """Nothing, when off."""
        if self.on:
            super().step_done()


class Seconds(NamedTuple):
    """Of a step."""

    wall: float
    processor: float


class Switched(Trainer):
    """A trainer whose instrumentation is on or off."""

    def __init__(self, spec: RunSpec, folder: RunFolder, data_dir: Path, ranks: Ranks) -> None:
        self.switch = SwitchedClock(marks_for(ranks.device))
        super().__init__(spec, folder, data_dir, ranks, clock=self.switch)

    def line(self, images: int) -> str:
        """Nothing, when off."""
        return super().line(images) if self.switch.on else ""

    def read_steps(self, writer: StepWriter) -> None:
        """Nothing, when off."""
        if self.switch.on:
            super().read_steps(writer)
        self.pending.clear()

    def block(self, on: bool, writer: StepWriter, sampler: psutil.Process) -> Seconds:
        """What a step takes, over one epoch."""
        self.switch.on = on
        if on:
            sampler.resume()
        else:
            sampler.suspend()
        before, self.state.batches = self.state.step, 0
        self.read_at = self.state.step + len(self.loader)
        self.clock.start()
        start_s, processor_s = time.perf_counter(), time.process_time()
        self.run_epoch(writer)
        if self.ranks.device.type == "cuda":
            torch.cuda.synchronize()
        steps = self.state.step - before
        if not on:
            self.state.step = before  # its stream has no gaps
        return Seconds((time.perf_counter() - start_s) / steps, (time.process_time() - processor_s) / steps)


def the_spec(arguments: argparse.Namespace, folder: Path) -> RunSpec:
    """A run of the recipe that does not end by itself."""
    request = Request(
        model="pix2pix_resnet_6blocks" if arguments.device == "cpu" else "pix2pix_resnet_9blocks",
        batch_size=arguments.batch,
        device_count=1,
        precision="FP32",
        device=arguments.device,
        runner="local",
        steps=(1 << 31) - 1,
        settings=("schedule.epochs=1000000", *(SMALL if arguments.device == "cpu" else ())),  # no epoch is the last
        datasets_dir=str(folder / "facades"),
        dataset="synthetic",
        results_dir=str(folder / "results"),
    )
    return resolve(request, {}).spec


def compare(arguments: argparse.Namespace, ranks: Ranks, base: Path) -> list[dict[bool, Seconds]]:
    """What a step takes with instrumentation on (True) and off, in every pair of blocks."""
    size = 40 if arguments.device == "cpu" else 286
    synth(base / "facades", {"train": arguments.steps * arguments.batch}, size=size)
    spec = the_spec(arguments, base)
    folder = RunFolder.create(spec)
    trainer = Switched(spec, folder, base / "facades", ranks)
    gpus = ["0"] if arguments.device == "cuda" else []
    with (
        TelemetryProcess(folder.path, [os.getpid()], gpus) as telemetry,
        StepWriter(folder.path, 0) as writer,
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        telemetry.measure_idle(0)  # waits until it samples
        (sampler,) = psutil.Process().children()
        blocks = {on: partial(trainer.block, on, writer, sampler) for on in (True, False)}
        pairs = list(alternate(blocks, arguments.pairs, warmup=2))
        sampler.resume()  # to hear that it is to stop
    return pairs


def cost(on_s: Sequence[float], off_s: Sequence[float]) -> str:
    """The median extra cost of a step with its 95 % interval, as text."""
    more_s, step_s = Median.of([on - off for on, off in zip(on_s, off_s, strict=True)]), statistics.median(off_s)
    return (
        f"{more_s.value * 1e6:.0f} us a step (95 % interval {more_s.low * 1e6:.0f} to {more_s.high * 1e6:.0f}), "
        f"{more_s.value / step_s:.2%} of {step_s * 1e3:.1f} ms"
    )


def found_in(pairs: list[dict[bool, Seconds]], steps: int) -> tuple[list[Row], list[str]]:
    """The figures as rows and as text. steps: per block."""
    rows, lines = [], [f"{len(pairs)} pairs of blocks of {steps} steps; measuring costs"]
    for name in Seconds._fields:
        on, off = ([1e3 * getattr(pair[state], name) for pair in pairs] for state in (True, False))
        rows.append(Row.of(f"a measured step, {name} time", "the same step, not measured", "ms", on, off))
        lines.append(f"{name + ' time':<16}{cost([value / 1e3 for value in on], [value / 1e3 for value in off])}")
    return rows, lines


def main() -> None:
    """Measure both loops and print the difference."""
    parser = parser_of(__doc__, json=True)
    parser.add_argument("--pairs", type=at_least_one, default=200, help="pairs of blocks, on and off alternating")
    parser.add_argument("--steps", type=at_least_one, default=40, help="steps per block, a multiple of 10")
    parser.add_argument("--batch", type=at_least_one, default=1, help="images a step")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # leaves a processor to the sampler
    with tempfile.TemporaryDirectory() as folder, alone(arguments.device) as ranks:
        pairs = compare(arguments, ranks, Path(folder))
    report(*found_in(pairs, arguments.steps), arguments.json)


if __name__ == "__main__":
    run(main)
