"""What measuring costs: the real training loop with its instrumentation on and off, block by block in turn.

    python benchmarks/overhead.py [--pairs 200] [--steps 40] [--device cuda] [--json]

On is all that a run does to measure itself: the marks of the clock, a log line every 10th step as the recipe has it, a
reading at the end of each block (losses fetched, rows written, all that a run decides then; a run of such steps has one
in 2 seconds, so a block of 40 steps of 10 ms has five times as many), and the telemetry sampler beside it. Off is the
same loop, on the same model and data, with none of it. Prints the median over pairs of what a step costs more: in wall
time, and in processor time of the loop's own process, which tells the loop's part where other processes make wall times
uncertain.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from command import at_least_one, run
from medians import Median
from one_rank import alone
from rows import Row, json_option, report

from gbench.datasets.synth import synth
from gbench.measure.clock import HostMarks, StepClock, clock_for
from gbench.measure.telemetry.sampler_process import TelemetryProcess
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.trainer import Trainer
from gbench.runfolder.folder import RunFolder, StepWriter
from gbench.settings.resolve import Request, resolve
from gbench.settings.spec import RunSpec

# Some 10 ms a step on one thread of a processor; a GPU takes nine blocks as the recipe has them.
SMALL = (
    *("data.load_size=36", "data.crop_size=32", "data.workers=0", "measure.peak_seconds=0"),
    *("network.ngf=4", "network.ndf=4"),
)


class NoClock(StepClock):
    """Marks nothing."""

    def __init__(self) -> None:
        super().__init__(HostMarks())

    def start(self) -> None: ...

    def ask(self) -> None: ...

    def batch_ready(self) -> None: ...

    def step_done(self) -> None: ...


class Seconds(NamedTuple):
    """Of a step."""

    wall: float
    processor: float


class Switched(Trainer):
    """A trainer whose instrumentation is on or off."""

    on = True

    def line(self, images: int) -> str:
        """Nothing, when off."""
        return super().line(images) if self.on else ""

    def read_steps(self, writer: StepWriter) -> None:
        """Nothing, when off."""
        if self.on:
            super().read_steps(writer)
        self.unread.clear()

    def block(self, on: bool, writer: StepWriter, sampler: psutil.Process) -> Seconds:
        """What a step takes, over one epoch."""
        self.on, self.unread.clock = on, clock_for(self.ranks.device) if on else NoClock()
        if on:
            sampler.resume()
        else:
            sampler.suspend()
        before, self.batches = self.step, 0
        self.read_at = self.step + len(self.loader)
        self.unread.clock.start()
        start_s, processor_s = time.perf_counter(), time.process_time()
        self.run_epoch(writer)
        if self.ranks.device.type == "cuda":
            torch.cuda.synchronize()
        steps = self.step - before
        if not on:
            self.step = before  # its stream has no gaps
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
        steps=1 << 40,
        settings=("schedule.epochs=1000000", *(SMALL if arguments.device == "cpu" else ())),  # no epoch is the last
        options={"DATASETS_DIR": str(folder / "facades"), "DATASETS": "synthetic"},
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
    pairs = []
    with (
        TelemetryProcess(folder.path, [os.getpid()], gpus) as telemetry,
        StepWriter(folder, 0) as writer,
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        telemetry.measure_idle(0)  # waits until it samples
        (sampler,) = psutil.Process().children()
        for pair in range(-2, arguments.pairs):  # two to warm up
            order = (True, False) if pair % 2 == 0 else (False, True)
            times = {on: trainer.block(on, writer, sampler) for on in order}
            if pair >= 0:
                pairs.append(times)
        sampler.resume()  # to hear that it is to stop
    return pairs


def cost(on_s: Sequence[float], off_s: Sequence[float]) -> str:
    """The median of what a step costs more, with a 95 % interval by order statistics, in words."""
    more_s, step_s = Median.of([on - off for on, off in zip(on_s, off_s, strict=True)]), statistics.median(off_s)
    return (
        f"{more_s.value * 1e6:.0f} us a step (95 % interval {more_s.low * 1e6:.0f} to {more_s.high * 1e6:.0f}), "
        f"{more_s.value / step_s:.2%} of {step_s * 1e3:.1f} ms"
    )


def found_in(pairs: list[dict[bool, Seconds]], steps: int) -> tuple[list[Row], list[str]]:
    """The figures as rows and in words. steps: of a block."""
    rows, lines = [], [f"{len(pairs)} pairs of blocks of {steps} steps; measuring costs"]
    for name in Seconds._fields:
        on, off = ([1e3 * getattr(pair[state], name) for pair in pairs] for state in (True, False))
        rows.append(Row.of(f"a measured step, {name} time", "the same step, not measured", "ms", on, off))
        lines.append(f"{name + ' time':<16}{cost([value / 1e3 for value in on], [value / 1e3 for value in off])}")
    return rows, lines


def main() -> None:
    """Alternate the two loops and print what the difference is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=at_least_one, default=200, help="pairs of blocks, on and off in turn")
    parser.add_argument("--steps", type=at_least_one, default=40, help="steps a block, a multiple of 10")
    parser.add_argument("--batch", type=at_least_one, default=1, help="images a step")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    json_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as many as keep the sampler off the loop's processor
    with tempfile.TemporaryDirectory() as folder, alone(arguments.device) as ranks:
        pairs = compare(arguments, ranks, Path(folder))
    report(*found_in(pairs, arguments.steps), arguments.json)


if __name__ == "__main__":
    run(main)
