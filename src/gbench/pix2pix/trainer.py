"""The training run of one rank: epochs of steps, each timed and written down as it ends.

The order of things within an epoch is upstream's (junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, train.py): move the
schedulers, then step through the data, then save.
"""

from __future__ import annotations

import signal
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from gbench.errors import RunFailed
from gbench.measure import environment
from gbench.measure.clock import clock_for
from gbench.measure.peak import Peak, measure_peak
from gbench.measure.stopping_rule import Enough
from gbench.pix2pix import checkpoint
from gbench.pix2pix.alarm_log import Lookout
from gbench.pix2pix.data.open_loader import open_loader
from gbench.pix2pix.data.pairs import Batch
from gbench.pix2pix.images import ImageWriter
from gbench.pix2pix.nets import determinism
from gbench.pix2pix.pending_steps import Unread
from gbench.pix2pix.ranks.affinity import read_back
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.step import apply_switches, precision
from gbench.pix2pix.step.build_model import build_model
from gbench.pix2pix.step.count_ops import main_convolution, work_per_image
from gbench.pix2pix.step.schedule import build_scheduler, start_epoch
from gbench.runfolder.environment_facts import EnvironmentFacts
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.step_writer import StepWriter
from gbench.runfolder.steps import Step
from gbench.settings.spec import RunSpec

MOST_AHEAD = 10  # steps to the next reading for each since the last one: a single step says little of those to come
READ_S = 2.0  # at least so often the steps are read: a crash costs no more, and a request to stop waits no longer


class Trainer:
    """One rank's training, from the spec to the last sample in the run folder.

    Args:
        cache_dir: where this process sees the folder of decoded pairs; None: where the spec has it.

    Raises:
        RunFailed: the device can't do what was asked, or did something else.
        UsageError, InfrastructureError: the dataset is not what the spec needs, or the disk failed.
    """

    def __init__(
        self, spec: RunSpec, folder: RunFolder, data_dir: Path, ranks: Ranks, cache_dir: Path | None = None
    ) -> None:
        self.spec, self.folder, self.ranks = spec, folder, ranks
        optim, self.schedule = spec.config.optim, spec.config.schedule
        apply_switches.require_tuned_here(spec)
        apply_switches.set_threads(spec.config.speed)
        determinism.choose_kernels(spec.deterministic, spec.config.data.preprocess != "scale_width")
        precision.set_precision(spec.precision, ranks.device)
        dataset_sha256 = folder.host().dataset.sha256
        self.loader, data = open_loader(spec, data_dir, cache_dir or Path(spec.cache_dir), dataset_sha256, ranks)
        work = work_per_image(spec)  # before the model, whose seeds must be the last ones set
        self.model = build_model(spec, ranks)
        self.train_step = apply_switches.step_of(self.model, spec.config.speed)
        epochs, decay = self.schedule.epochs, self.schedule.epochs_decay
        self.schedulers = [
            build_scheduler(optimizer, optim.lr_policy, epochs, decay, optim.lr_decay_iters)
            for optimizer in (self.model.optimizer_G, self.model.optimizer_D)
        ]
        self.planned_steps = self.schedule.planned_steps(len(self.loader))
        self.facts: dict[str, Any] = {
            "planned_steps": self.planned_steps,
            "steps_per_epoch": len(self.loader),
            "device": environment.device_name(ranks.device),
            "profile": spec.profile,
            "speed": spec.config.speed.on,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "software": environment.software(),
            "hardware": environment.hardware(ranks.device),
            "rank": ranks.gather(ranks.binding and read_back(ranks.binding)),
            "work_per_image": asdict(work),
            "data": data,
        }
        if spec.config.measure.peak_seconds:
            self.facts["peak"] = asdict(self.measure_peak(spec.config.measure.peak_seconds))
        self.unread = Unread(clock_for(ranks.device), spec, ranks)
        self.step, self.epoch, self.batches = 0, 1, 0  # the epoch to go on in, and its batches that are done
        self.read_at = 1  # the step of the next reading, alike on every rank
        self.epoch_G_L1: list[float] = []
        self.learning_rates: list[list[float]] = []  # of G and D in each epoch, read back from their optimisers
        self.ended: str | None = None  # why, once it has
        self.stop_asked = False
        self.stopped = False
        self.lookout = self.make_lookout() if spec.recipe == "convergence" else None
        self.shown: tuple[Tensor, Tensor] | None = None  # real_A and real_B of the last batch, where images are wanted
        self.image_writer = ImageWriter(folder)
        self.resumed_after = self.resume()

    def measure_peak(self, seconds: float) -> Peak:
        """What this device can do, in the precision of the run, while the other ranks try theirs."""
        device, dtype = self.ranks.device, precision.AUTOCAST[self.spec.precision] or torch.float32
        peak = measure_peak(device, dtype, main_convolution(self.spec), seconds)
        if device.type == "cuda":  # what it took is no part of the training's memory
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        return peak

    def make_lookout(self) -> Lookout:
        """Who looks on at a convergence run; what is measured is left alone."""
        return Lookout(self.spec, self.folder, self.ranks.is_first, len(self.loader), self.planned_steps)

    def resume(self) -> int | None:
        """Take up the run where its last whole checkpoint left it; None where this is the run's beginning.

        A run that was ended before its first checkpoint begins anew, in the same streams. For one that was ended after
        its last step, before it had written down that it was done, that alone is left.
        """
        if not self.folder.begun(self.ranks.rank):
            return None
        state = checkpoint.last_whole(self.folder.checkpoints)
        if self.lookout is not None:
            self.lookout.resume(state["step"] if state else 0, state.get("alarms") if state else None)
        if state is None:
            return 0
        self.model.load_state_dict(state["model"])
        for scheduler, values in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(values)
        checkpoint.set_random_state(state["random_states"][self.ranks.rank], self.ranks.device)
        self.step, self.epoch, self.batches = state["step"], state["epoch"], state["batches"]
        self.epoch_G_L1 = state["epoch_G_L1"]
        self.learning_rates = state["learning_rates"]
        if self.batches == len(self.loader):
            self.epoch, self.batches, self.epoch_G_L1 = self.epoch + 1, 0, []
        self.read_at = self.step + 1
        if self.step == self.planned_steps:
            self.ended = "all steps are done"
        return self.step

    def run(self) -> None:
        """Train until all steps are done, what was measured is enough, or someone asks to stop.

        Raises:
            RunFailed: asked to stop, by a signal or by an alarm; the checkpoint to go on from is saved.
        """
        with self.stoppable(), StepWriter(self.folder, self.ranks.rank, self.resumed_after) as writer:
            try:
                while not (self.ended or self.stopped):
                    self.run_epoch(writer)
                    if self.due(self.schedule.images_every):
                        self.save_images()
                    if self.due(self.schedule.checkpoint_every) and self.is_sound:
                        self.image_writer.wait()  # before the checkpoint: what is resumed has its images
                        writer.sync()  # and its stream, which goes on from there
                        self.save()
                    self.epoch, self.batches, self.epoch_G_L1 = self.epoch + 1, 0, []
                self.image_writer.wait()
            except BaseException:
                with suppress(Exception):  # a broken device or a full disk: why the run ended is what counts
                    self.write_steps(writer)
                raise
        if self.lookout is not None and self.lookout.alarm is not None:
            raise self.lookout.failure(self.lookout.alarm)
        if self.stopped:
            saved = "whose checkpoint is saved" if self.is_sound else "whose losses are no numbers: it is not saved"
            raise RunFailed(
                f"stopped by SIGTERM after step {self.step}, {saved}",
                f"go on with {self.folder.resume_command}",
            )
        self.facts["ended"] = {"steps": self.step, "because": self.ended}
        self.facts["learning_rates"] = self.learning_rates
        self.write_environment("precision_at_end")

    def due(self, every: int) -> bool:
        """Whether what comes every so many epochs (0: never) comes now, after an epoch or at the end of the run."""
        return every > 0 and (self.ended is not None or self.stopped or self.epoch % every == 0)

    @property
    def is_sound(self) -> bool:
        """Whether the weights may take a good checkpoint's place."""
        return self.lookout is None or self.lookout.is_sound

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """SIGTERM is remembered in here for the next reading, where the run keeps checkpoints; else it ends the run by
        SystemExit, so that its last steps are still written down."""

        def on_sigterm(number: int, frame: FrameType | None) -> None:
            self.stop_asked = True
            if not self.schedule.checkpoint_every:
                signal.signal(number, signal.SIG_IGN)  # torchrun may send it again: the steps come first
                sys.exit(128 + number)

        before = signal.signal(signal.SIGTERM, on_sigterm)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def run_epoch(self, writer: StepWriter) -> None:
        """Step through one epoch, or what is left of it, or to the end of the run where that comes first."""
        if self.batches == 0:
            for scheduler in self.schedulers:
                start_epoch(scheduler)
            optimizers = self.model.optimizer_G, self.model.optimizer_D
            self.learning_rates.append([optimizer.param_groups[0]["lr"] for optimizer in optimizers])
        self.loader.set_epoch(self.epoch, skip=self.batches)
        self.unread.clock.ask()
        batches: Iterator[Batch] = iter(self.loader)
        if self.step == (self.resumed_after or 0):
            batches = chain([next(batches)], batches)  # the clock starts with the first batch at hand
            self.unread.clock.start()
            self.enough = Enough(
                self.schedule.until_ci,
                self.schedule.max_time_s,
                self.schedule.warmup_steps,
                self.schedule.max_warmup_steps,
                self.ranks.gather,
            )
        images = self.batches * self.spec.batch_size
        device = self.ranks.device
        for real_A, real_B, _ in batches:
            self.unread.clock.batch_ready()
            losses = self.train_step(real_A.to(device, non_blocking=True), real_B.to(device, non_blocking=True))
            self.unread.clock.step_done()
            if self.schedule.images_every:
                self.shown = real_A, real_B
            self.step += 1
            self.batches += 1
            images += len(real_A) * self.ranks.world_size
            self.unread.add(self.step, self.epoch, len(real_A), losses)
            if self.step == self.planned_steps:
                self.ended = "all steps are done"
            says, due = self.step % self.schedule.print_every == 0, self.ended or self.step >= self.read_at
            line = self.line(images) if says else None
            if due:
                self.read_steps(writer)
            if line is not None and self.ranks.is_first:
                print(line, flush=True)  # after the steps, where both are due: what shows it reads them
            if says or due:
                self.unread.clock.ask()
            if self.ended or self.stopped:
                return
        if self.unread and self.schedule.checkpoint_every and self.epoch % self.schedule.checkpoint_every == 0:
            self.read_steps(writer)

    def line(self, images: int) -> str:
        """The log line of this step; see `Unread.line`."""
        return self.unread.line(images)

    def write_steps(self, writer: StepWriter) -> list[Step]:
        """Wait for the device, and write down the steps since the last reading; gives these steps."""
        steps = self.unread.read()
        writer.append(steps)
        return steps

    def read_steps(self, writer: StepWriter) -> None:
        """Wait for the device, write down the steps since the last reading, and see whether the run should end.

        Every rank must call it at the same step.
        """
        steps = self.write_steps(writer)
        if self.schedule.checkpoint_every:
            self.epoch_G_L1 += [step.losses["G_L1"] for step in steps if step.epoch == self.epoch]
        if "precision" not in self.facts:
            self.write_environment("precision")
        enough = self.enough.reason((step.step_s, step.images * self.ranks.world_size) for step in steps)
        # Rank 0 decides for all at once what its clock has to decide; anyone may have been asked to stop.
        next_in = self.steps_to_next_reading([step.step_s for step in steps])
        said = [enough is not None, next_in] if self.ranks.is_first else [0, 0]
        watched = [] if self.lookout is None else [loss for step in steps for loss in step.losses.values()]
        shared = torch.tensor([*said, self.stop_asked, *watched], dtype=torch.float64, device=self.ranks.device)
        measured, next_in, stop, *means = self.ranks.mean(shared).tolist()
        self.read_at = self.step + max(1, round(next_in * self.ranks.world_size))
        if measured and not self.ended:
            self.ended = enough or "rank 0 has measured enough"
        self.stopped = stop > 0 and not self.ended
        if self.lookout is not None:
            self.lookout.take(steps, means, self.ended is not None)
            self.stopped = self.stopped or self.lookout.alarm is not None

    def steps_to_next_reading(self, times: list[float]) -> int:
        """How many steps there are in READ_S, or in what is left of --max-time.

        Args:
            times: seconds of the last steps.
        """
        left_s = self.enough.left_s()
        within = int((READ_S if left_s is None else min(READ_S, left_s)) / statistics.fmean(times))
        return max(1, min(within, MOST_AHEAD * len(times)))

    def write_environment(self, moment: str) -> None:
        """Write down all facts, with the peaks of memory so far and the precision read back under `moment`.

        Every rank must call it. Raises RunFailed when the precision is not what was asked.
        """
        fake_B = self.model.fake_B
        if fake_B is None:  # resumed after its last step
            fake_B = self.model.try_out(self.spec.config.data.crop_size)
        self.facts[moment] = precision.confirmed(self.spec.precision, fake_B.dtype)
        self.facts["memory"] = self.ranks.gather(environment.memory(self.ranks.device))
        if self.ranks.is_first:
            self.folder.write_environment(EnvironmentFacts.model_validate(self.facts))

    def save_images(self) -> None:
        """Have the sample images of this epoch written; rank 0's."""
        if self.ranks.is_first and self.shown is not None:
            assert self.model.fake_B is not None, "there was a step"
            real_A, real_B = self.shown
            self.image_writer.save(self.epoch, real_A, self.model.fake_B, real_B)

    def save(self) -> None:
        """Write a checkpoint: weights and buffers of rank 0, the random state of every rank."""
        random_states = self.ranks.gather(checkpoint.random_state(self.ranks.device))
        if not self.ranks.is_first:
            return
        state: dict[str, Any] = {
            "spec": self.spec.model_dump(),
            "epoch": self.epoch,
            "batches": self.batches,
            "step": self.step,
            "model": self.model.state_dict(),
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "random_states": random_states,
            "epoch_G_L1": self.epoch_G_L1,
            "learning_rates": self.learning_rates,
            "alarms": self.lookout and self.lookout.state(),
        }
        whole, folder = self.batches == len(self.loader), self.folder.checkpoints
        checkpoint.save_run(state, folder, self.epoch, whole, self.schedule.checkpoint_keep)
        if whole:
            G_L1 = statistics.fmean(self.epoch_G_L1)
            checkpoint.save_if_best(state["model"]["generator"], folder, self.epoch, G_L1)
