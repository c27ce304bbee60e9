"""The training run of one rank: epochs of steps, each timed and written down as it ends.

The order of things within an epoch is upstream's (junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, train.py): move the
schedulers, then step through the data, then save.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gbench.errors import RunFailed
from gbench.measure import environment
from gbench.measure.clock import clock_for
from gbench.measure.enough import Enough
from gbench.measure.peak import Peak, measure_peak
from gbench.pix2pix import checkpoint, determinism, precision
from gbench.pix2pix.data import Batch, build_loader
from gbench.pix2pix.logline import loss_line
from gbench.pix2pix.model import Pix2Pix
from gbench.pix2pix.networks import build_networks
from gbench.pix2pix.ranks import Ranks
from gbench.pix2pix.schedule import build_scheduler, start_epoch
from gbench.pix2pix.work import main_convolution, work_per_image
from gbench.runfolder import RunFolder, Step, StepWriter
from gbench.settings.spec import RunSpec, ScheduleConfig


def build_model(spec: RunSpec, ranks: Ranks) -> Pix2Pix:
    """The model on this rank's device: weights alike on every rank, dropout each rank's own."""
    optim = spec.config.optim
    generator, discriminator = build_networks(spec)
    determinism.seed_noise(spec.seed, ranks.rank)
    return Pix2Pix(
        ranks.wrap(generator),
        ranks.wrap(discriminator),
        optim.gan_mode,
        optim.lambda_L1,
        optim.lr,
        (optim.beta1, optim.beta2),
        autocast_dtype=precision.AUTOCAST[spec.precision],
    )


@dataclass(frozen=True)
class Unread:
    """A step whose time and losses are still on the device. images: of this rank."""

    step: int
    epoch: int
    images: int
    losses: dict[str, Tensor]


def planned_steps(schedule: ScheduleConfig, steps_per_epoch: int) -> int | None:
    """How many steps a run sets out to do; None when its interval decides. `max_steps` repeats epochs if need be."""
    if schedule.max_steps is not None:
        return schedule.max_steps
    if schedule.until_ci is not None:
        return None
    return (schedule.epochs + schedule.epochs_decay) * steps_per_epoch


class Trainer:
    """One rank's training, from the spec to the last sample in the run folder.

    Raises:
        RunFailed: the device can't do what was asked, or did something else.
        UsageError, InfrastructureError: the dataset is not what the spec needs, or the disk failed.
    """

    def __init__(self, spec: RunSpec, folder: RunFolder, data_dir: Path, ranks: Ranks) -> None:
        self.spec, self.folder, self.ranks = spec, folder, ranks
        optim, self.schedule = spec.config.optim, spec.config.schedule
        determinism.choose_kernels(spec.deterministic, spec.config.data.preprocess != "scale_width")
        precision.set_precision(spec.precision, ranks.device)
        self.loader = build_loader(
            data_dir,
            spec.config.data,
            batch_size=spec.batch_per_device,
            rank=ranks.rank,
            world_size=ranks.world_size,
            seed=spec.seed,
            drop_last=self.schedule.drop_last,
            pin_memory=ranks.device.type == "cuda",
        )
        work = work_per_image(spec)  # before the model, whose seeds must be the last ones set
        self.model = build_model(spec, ranks)
        epochs, decay = self.schedule.epochs, self.schedule.epochs_decay
        self.schedulers = [
            build_scheduler(optimizer, optim.lr_policy, epochs, decay, optim.lr_decay_iters)
            for optimizer in (self.model.optimizer_G, self.model.optimizer_D)
        ]
        self.planned_steps = planned_steps(self.schedule, len(self.loader))
        self.facts: dict[str, Any] = {
            "planned_steps": self.planned_steps,
            "device": environment.device_name(ranks.device),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "software": environment.software(),
            "hardware": environment.hardware(ranks.device),
            "work_per_image": asdict(work),
        }
        if spec.config.measure.peak_seconds:
            self.facts["peak"] = asdict(self.measure_peak(spec.config.measure.peak_seconds))
        self.clock = clock_for(ranks.device)
        self.step = 0
        self.unread: list[Unread] = []
        self.ended: str | None = None  # why, once it has

    def measure_peak(self, seconds: float) -> Peak:
        """What this device can do, in the precision of the run, while the other ranks try theirs."""
        device, dtype = self.ranks.device, precision.AUTOCAST[self.spec.precision] or torch.float32
        peak = measure_peak(device, dtype, main_convolution(self.spec), seconds)
        if device.type == "cuda":  # what it took is no part of the training's memory
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        return peak

    def run(self) -> None:
        """Train until all steps are done, or what was measured is enough."""
        with StepWriter(self.folder, self.ranks.rank) as writer:
            for epoch in count(1):
                self.run_epoch(epoch, writer)
                every = self.schedule.checkpoint_every
                if every and (self.ended or epoch % every == 0):
                    self.save(epoch)
                if self.ended:
                    break
        self.facts["ended"] = {"steps": self.step, "because": self.ended}
        self.write_environment("precision_at_end")

    def run_epoch(self, epoch: int, writer: StepWriter) -> None:
        """Step through one epoch, or to the end of the run where that comes first."""
        for scheduler in self.schedulers:
            start_epoch(scheduler)
        self.loader.set_epoch(epoch)
        self.clock.ask()
        batches: Iterator[Batch] = iter(self.loader)
        if self.step == 0:
            batches = chain([next(batches)], batches)  # the clock starts with the first batch at hand
            self.clock.start()
            self.enough = Enough(self.schedule.until_ci, self.schedule.max_time_s, self.schedule.warmup_steps)
        images = 0
        device = self.ranks.device
        for real_A, real_B, _ in batches:
            self.clock.batch_ready()
            losses = self.model.train_step(real_A.to(device, non_blocking=True), real_B.to(device, non_blocking=True))
            self.clock.step_done()
            self.step += 1
            images += len(real_A) * self.ranks.world_size
            self.unread.append(Unread(self.step, epoch, len(real_A), losses))
            if self.step == self.planned_steps:
                self.ended = "all steps are done"
            if self.ended or self.step == 1 or self.step % self.schedule.print_every == 0:
                self.read_steps(images, writer)
                self.clock.ask()
            if self.ended:
                break

    def read_steps(self, images: int, writer: StepWriter) -> None:
        """Wait for the device, write down the steps since the last reading, and print upstream's log line.

        Every rank must call it at the same step: the line has the losses of the whole batch.

        Args:
            images: of this epoch so far, over all devices.
        """
        times = self.clock.read()
        values = torch.stack([loss for step in self.unread for loss in step.losses.values()]).view(len(self.unread), -1)
        rows = values.tolist()  # the one copy from the device since the last reading
        names, warmup = tuple(self.unread[-1].losses), self.schedule.warmup_steps
        writer.append(
            Step(
                unread.step,
                unread.epoch,
                unread.images,
                **vars(taken),
                warmup=unread.step <= warmup,
                losses=dict(zip(names, row, strict=True)),
            )
            for unread, taken, row in zip(self.unread, times, rows, strict=True)
        )
        if self.step == 1:
            self.write_environment("precision")
        enough = self.enough.reason((taken.step_s, self.spec.batch_size) for taken in times)
        stop = values.new_tensor([self.ranks.is_first and enough is not None])  # rank 0 decides, for all at once
        *means, stopped = self.ranks.mean(torch.cat([values[-1], stop])).tolist()
        if stopped and not self.ended:
            self.ended = enough or "rank 0 has measured enough"
        if self.ranks.is_first and self.step % self.schedule.print_every == 0:
            last, taken = self.unread[-1], times[-1]
            compute_s = (taken.step_s - taken.data_s - taken.between_s) / self.spec.batch_size
            losses = dict(zip(names, means, strict=True))
            print(loss_line(last.epoch, images, compute_s, taken.data_s, losses), flush=True)
        self.unread.clear()

    def write_environment(self, moment: str) -> None:
        """Write down all facts, with the peaks of memory so far and the precision read back under `moment`.

        Every rank must call it. Raises RunFailed when the precision is not what was asked.
        """
        assert self.model.fake_B is not None, "called before the first step"
        found = precision.read_back(self.model.fake_B.dtype)
        if found["ran"] != self.spec.precision:
            raise RunFailed(
                f"PRECISION {self.spec.precision} was asked, torch reports {found['ran']} ({found})",
                "look for code that changes torch.backends during the run",
            )
        self.facts[moment] = found
        self.facts["memory"] = self.ranks.gather(environment.memory(self.ranks.device))
        if self.ranks.is_first:
            self.folder.write("environment.json", self.facts)

    def save(self, epoch: int) -> None:
        """Write this epoch's checkpoint: weights and buffers of rank 0, the random state of every rank."""
        random_states = self.ranks.gather(checkpoint.random_state(self.ranks.device))
        if not self.ranks.is_first:
            return
        state = self.model.state_dict()
        whole = {
            "version": checkpoint.CHECKPOINT_VERSION,
            "spec": self.spec.model_dump(),
            "epoch": epoch,
            "step": self.step,
            "model": state,
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "random_states": random_states,
        }
        checkpoint.save(whole, self.folder.checkpoints / f"epoch-{epoch:04d}.pt")
        checkpoint.save(state["generator"], self.folder.checkpoints / "latest_net_G.pth")
        checkpoint.save(state["discriminator"], self.folder.checkpoints / "latest_net_D.pth")
