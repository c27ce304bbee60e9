"""What the measured loop must not do between two readings: wait for the device, talk, write; and it must not grow.

Nothing of the loop is replaced: its clock, which it calls at the end of every step, looks on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile, record_function

from gbench.measure.clock import StepClock, marks_for
from gbench.measure.hotspots import OPTIMIZER
from gbench.measure.trace import load
from gbench.pix2pix.nets.generators import GENERATORS, ResnetGenerator
from gbench.pix2pix.ranks.group import BACKENDS, Ranks
from gbench.pix2pix.trainer import Trainer
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import StepWriter
from gbench.settings.spec import RunSpec
from spawned_ranks import FORKSERVER

MakeSpec = Callable[..., RunSpec]
Fault = Callable[[dict[str, torch.Tensor]], object]
THREAD_IO = Path("/proc/thread-self/io")
WAITS = ("aten::item", "aten::_local_scalar_dense")
NOT_A_LINE = "schedule.print_every=7"

# The smallest generator and discriminator there are.
TINY = (
    "network.ngf=1",
    "network.ndf=1",
    "network.netD=pixel",
    "network.norm=none",
    "network.dropout=false",
    "data.load_size=8",
    "data.crop_size=8",
    "schedule.print_every=100",
    "schedule.epochs=1000000",
)
# The steps since a reading are kept until the next one: after some readings the most that this takes has been taken.
READINGS, STRETCH, LEAKING_STEPS, GROWTH_BYTES = 10, 20, 600, 1 << 20


class Clock(StepClock):
    """Calls `at_start` at the start, and after each step `at_end` with its number."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(marks_for(device))
        self.at_start: Callable[[], None] = lambda: None
        self.at_end: Callable[[int], None] = lambda step: None
        self.step = 0

    def start(self) -> None:
        super().start()
        self.at_start()

    def step_done(self) -> None:
        super().step_done()
        self.step += 1
        self.at_end(self.step)


class ObservedTrainer(Trainer):
    """Records after which steps it read or printed; runs `fault` within each step."""

    def __init__(self, spec: RunSpec, data_dir: Path, ranks: Ranks, fault: Fault | None = None) -> None:
        self.observer = Clock(ranks.device)
        super().__init__(spec, RunFolder.create(spec), data_dir, ranks, clock=self.observer)
        self.busy_after: set[int] = set()
        self.readings = 0
        train_step = self.train_step

        def faulty(*pair: torch.Tensor) -> dict[str, torch.Tensor]:
            losses = train_step(*pair)
            if fault is not None:
                fault(losses)
            return losses

        self.train_step = faulty

    def line(self, images: int) -> str:
        self.busy_after.add(self.state.step)
        return super().line(images)

    def steps_to_next_reading(self, times: list[float]) -> int:
        """Few enough that a short run has several readings on any machine."""
        return min(200, super().steps_to_next_reading(times))

    def read_steps(self, writer: StepWriter) -> None:
        self.busy_after.add(self.state.step)
        self.readings += 1
        super().read_steps(writer)


def waits(trainer: ObservedTrainer, tmp_path: Path) -> set[int]:
    """The steps between readings in which the loop fetched a number from a tensor; Adam's own counters, which torch
    keeps on the processor, are not the device's."""
    regions: list[record_function] = []

    def begin() -> None:
        regions.append(record_function(f"step {len(regions) + 1}"))
        regions[-1].__enter__()

    def end(step: int) -> None:
        regions[-1].__exit__(None, None, None)
        begin()

    trainer.observer.at_start, trainer.observer.at_end = begin, end
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        trainer.run()
        regions[-1].__exit__(None, None, None)
    profiler.export_chrome_trace(str(tmp_path / "trace.json.gz"))
    found = set()
    for event in load(tmp_path / "trace.json.gz"):
        around = [one.name for one in event.around()]
        if event.name in WAITS and not any(name.startswith(OPTIMIZER) for name in around):
            found |= {int(name.split()[1]) for name in around if name.startswith("step ")}
    return {step for step in found if step - 1 not in trainer.busy_after}


def writes(trainer: ObservedTrainer) -> set[int]:
    """The steps between readings in which the training thread called write(2), to whatever file."""
    counts: list[int] = []

    def count(step: int = 0) -> None:
        values = dict(line.split(": ") for line in THREAD_IO.read_text().splitlines())
        counts.append(int(values["syscw"]))

    trainer.observer.at_start, trainer.observer.at_end = count, count
    trainer.run()
    assert any(counts[step + 1] > counts[step] for step in trainer.busy_after if step + 1 < len(counts))  # it can see
    return {
        step for step in range(1, len(counts)) if counts[step] > counts[step - 1] and step - 1 not in trainer.busy_after
    }


def test_between_readings_no_number_is_fetched_from_a_tensor(
    make_spec: MakeSpec, facades: Path, tmp_path: Path, ranks: Ranks
) -> None:
    """Within an epoch: as one begins, torch's DataLoader draws its seed, on the processor."""

    def run(fault: Fault | None = None) -> tuple[set[int], set[int]]:
        spec = make_spec(model="pix2pix_resnet_6blocks", batch_size=1, steps=16, settings=(NOT_A_LINE,))
        trainer = ObservedTrainer(spec, facades, ranks, fault)
        return waits(trainer, tmp_path), trainer.busy_after

    found, busy_after = run()
    assert found == set()
    assert 2 <= len(busy_after) < 10  # it read, and there was something to look at
    found, _ = run(lambda losses: losses["G_L1"].item())
    assert len(found) >= 5


@pytest.mark.skipif(not THREAD_IO.exists(), reason="this kernel does not count a thread's writes")
def test_between_readings_nothing_is_printed_or_written(
    make_spec: MakeSpec, facades: Path, tmp_path: Path, ranks: Ranks
) -> None:
    def run(fault: Fault | None = None) -> set[int]:
        return writes(ObservedTrainer(make_spec(steps=20, settings=(NOT_A_LINE,)), facades, ranks, fault))

    assert run() == set()
    assert len(run(lambda losses: print("a step", flush=True))) >= 10
    with (tmp_path / "file").open("ab", buffering=0) as file:
        assert len(run(lambda losses: file.write(b"a step"))) >= 10


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_between_readings_nothing_waits_for_the_gpu(make_spec: MakeSpec, facades: Path, tmp_path: Path) -> None:
    """Uses torch's detection of synchronising calls, off while the loop reads."""

    class Unguarded(ObservedTrainer):
        def line(self, images: int) -> str:
            torch.cuda.set_sync_debug_mode("default")
            return super().line(images)

        def read_steps(self, writer: StepWriter) -> None:
            torch.cuda.set_sync_debug_mode("default")
            super().read_steps(writer)

    def guard(step: int) -> None:
        if step >= 2:  # in the second step DistributedDataParallel reorders its buckets once, and waits for that
            torch.cuda.set_sync_debug_mode("error")

    def run(fault: Fault | None = None) -> None:
        spec = make_spec(device="cuda", steps=20, settings=(NOT_A_LINE,))
        trainer = Unguarded(spec, facades, ranks, fault)
        clock = trainer.observer
        ready = clock.batch_ready
        clock.batch_ready = lambda: (guard(trainer.state.step), ready())[1]  # type: ignore[method-assign]
        try:
            trainer.run()
        finally:
            torch.cuda.set_sync_debug_mode("default")

    dist.init_process_group(BACKENDS["cuda"], f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        ranks = Ranks(0, 1, torch.device("cuda", 0))
        run()
        with pytest.raises(RuntimeError, match="synchroniz"):
            run(lambda losses: losses["G_L1"].item())
    finally:
        dist.destroy_process_group()


def growth(spec: RunSpec, data_dir: Path) -> list[tuple[int, int]]:
    """Bytes by which a process that does nothing else grows, and over how many steps that is: from its first READINGS
    readings on, and over its last LEAKING_STEPS steps, in which it keeps 8 KiB a step."""
    stretches: list[list[tuple[int, int]]] = [[], [], []]  # at the start, before it leaks, at the end: step and bytes
    kept: list[torch.Tensor] = []
    process = psutil.Process()

    def weigh(step: int) -> None:
        started, flat, leaked = stretches
        if trainer.readings >= READINGS and len(started) < STRETCH:
            started.append((step, process.memory_info().rss))
        last = trainer.planned_steps or 0
        for stretch, end in ((flat, last - LEAKING_STEPS), (leaked, last)):
            if end - STRETCH < step <= end:
                stretch.append((step, process.memory_info().rss))

    def leak(losses: dict[str, torch.Tensor]) -> None:
        if trainer.state.step >= (trainer.planned_steps or 0) - LEAKING_STEPS:
            kept.append(torch.zeros(2048))

    GENERATORS[spec.config.network.netG] = partial(ResnetGenerator, blocks=0)  # of 10,000 steps only the loop matters
    dist.init_process_group("gloo", f"file://{spec.results_dir}-{spec.run_id}", rank=0, world_size=1)
    trainer = ObservedTrainer(spec, data_dir, Ranks(0, 1, torch.device("cpu")), leak)
    trainer.observer.at_end = weigh
    trainer.steps_to_next_reading = lambda times: 100  # type: ignore[method-assign]  # whatever the machine
    trainer.run()
    # the least over a stretch: what a single step holds for a moment is no growth
    return [
        (min(size for _, size in after) - min(size for _, size in before), after[-1][0] - before[0][0])
        for before, after in pairwise(stretches)
    ]


def test_memory_is_flat(make_spec: MakeSpec, facades: Path) -> None:
    """GBENCH_TEST_STEPS=10000 for as many steps."""
    steps = int(os.environ.get("GBENCH_TEST_STEPS", "2000"))
    changes = {"model": "pix2pix_resnet_6blocks", "batch_size": 1, "data_source": "synthetic", "settings": TINY}
    with ProcessPoolExecutor(1, FORKSERVER) as process:  # memory that other tests freed hides growth
        spec = make_spec(steps=steps + LEAKING_STEPS, **changes)
        (grown, flat_steps), (leaked, leaking_steps) = process.submit(growth, spec, facades).result()
    print(f"{grown / 1024:.0f} KiB more after {flat_steps} steps, then {leaked / 1024:.0f} KiB after {leaking_steps}")
    assert grown < GROWTH_BYTES and flat_steps > 900
    assert leaked > 2 * GROWTH_BYTES and leaking_steps > 300
