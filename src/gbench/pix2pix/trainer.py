"""The training of one rank: epochs of steps, each timed and written to the run folder.

Read it from `Trainer.run` down: `run` -> `run_epoch` -> `timed_step` -> `read_steps`. The order within an epoch is
upstream's (junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, train.py): move the schedulers, step through the data,
save.
"""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gbench.errors import RunFailed
from gbench.measure import environment
from gbench.measure.clock import StepClock, clock_for
from gbench.measure.stopping_rule import StoppingRule
from gbench.pix2pix import checkpoint
from gbench.pix2pix.alarm_log import AlarmLog
from gbench.pix2pix.collect_facts import collect_facts, peak_after
from gbench.pix2pix.data.open_loader import open_loader
from gbench.pix2pix.data.pairs import Batch
from gbench.pix2pix.images import ImageWriter
from gbench.pix2pix.nets import determinism
from gbench.pix2pix.pending_steps import PendingSteps
from gbench.pix2pix.ranks.exchange_timer import ExchangeTimer
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.ranks.heartbeat import Heartbeat, hang_limit_s
from gbench.pix2pix.sigterm import StopRequest
from gbench.pix2pix.slow_facts import slow_facts
from gbench.pix2pix.step import apply_switches, precision
from gbench.pix2pix.step.delay import with_delay
from gbench.pix2pix.training_state import TrainingState
from gbench.runfolder.environment_facts import EnvironmentFacts
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import Step, StepWriter
from gbench.settings.spec import RunSpec

MOST_AHEAD = 10  # steps to the next reading per step of the last one: few steps predict only few
READ_S = 2.0  # maximum time between readings: what a crash can lose, and how long a stop request waits
ALL_STEPS_DONE = "all steps are done"


class Trainer:
    """One rank's training. The constructor builds the parts; `run` trains.

    cache_dir: of decoded pairs, in this process's container; None: the spec's. clock: None: the device's.

    Raises:
        RunFailed: the device does not support the spec, or another precision ran.
        UsageError, InfrastructureError: the dataset is not the spec's, or the disk failed.
    """

    def __init__(
        self,
        spec: RunSpec,
        folder: RunFolder,
        data_dir: Path,
        ranks: Ranks,
        cache_dir: Path | None = None,
        clock: StepClock | None = None,
    ) -> None:
        self.spec, self.folder, self.ranks, self.schedule = spec, folder, ranks, spec.schedule
        apply_switches.require_tuned_here(spec)
        if spec.config.speed.threads is not None:
            torch.set_num_threads(spec.config.speed.threads)
        determinism.choose_kernels(spec.deterministic, spec.config.data.preprocess != "scale_width")
        precision.set_precision(spec.precision, ranks.device)
        dataset_sha256 = folder.host().dataset.sha256
        self.loader, data = open_loader(spec, data_dir, cache_dir or Path(spec.cache_dir), dataset_sha256, ranks)
        self.planned_steps = self.schedule.planned_steps(len(self.loader))
        self.state = TrainingState(spec, ranks, len(self.loader))
        self.model = self.state.model
        self.train_step = with_delay(
            apply_switches.step_of(self.model, spec.config.speed, ranks.world_size), ranks.device
        )
        self.facts: dict[str, Any] = {  # for environment.json
            "planned_steps": self.planned_steps,
            "steps_per_epoch": len(self.loader),
            "data": data,
        }
        self.facts_pipe: int | None = None  # see `slow_facts`
        self.exchange = ExchangeTimer(self.model.trained, ranks)
        self.clock = clock or clock_for(ranks.device)
        self.pending = PendingSteps(self.clock, spec, ranks)
        self.image_writer = ImageWriter(folder)
        self.stop_request = StopRequest(at_once=not self.schedule.checkpoint_every)
        self.stopping_rule = StoppingRule(self.schedule, ranks.gather, steps_per_epoch=len(self.loader))
        self.alarm_log = AlarmLog(spec, folder, ranks.is_first, len(self.loader), self.planned_steps)
        self.resumed_after: int | None = None  # the step that a resumed run continues after
        self.read_at = 1  # step of the next reading, the same on every rank
        self.heartbeat = Heartbeat()
        self.step_limit_s = self.hang_limit_s()
        self.ended: str | None = None  # the reason, once the run is complete
        self.stopped = False  # by SIGTERM or an alarm, before it was complete
        self.shown: tuple[Tensor, Tensor] | None = None  # real_A, real_B of the last batch, where images are written

    def run(self, facts_pipe: int | None = None, heartbeat: Heartbeat | None = None) -> None:
        """Train until all steps are done, the stopping rule ends the run, or SIGTERM or an alarm stops it.

        facts_pipe: see `slow_facts`. heartbeat: where to note each step; None: nobody watches.

        Raises RunFailed: stopped by SIGTERM or an alarm; the checkpoint to resume from is saved.
        """
        self.facts_pipe = facts_pipe
        if not self.facts_can_wait():
            self.add_slow_facts()
        self.facts |= collect_facts(self.spec, self.ranks)
        self.resumed_after = self.resume()
        self.heartbeat = heartbeat or self.heartbeat
        with self.stop_request.handled(), StepWriter(self.folder.path, self.ranks.rank, self.resumed_after) as writer:
            try:
                self.beat(self.hang_limit_s())
                while not (self.ended or self.stopped):
                    self.run_epoch(writer)
                    self.end_epoch(writer)
                self.image_writer.wait()
            except BaseException:
                with suppress(Exception):  # a broken device or a full disk: the first error is the one to report
                    self.write_steps(writer)
                raise
        self.raise_if_stopped()
        self.beat(self.hang_limit_s())
        self.facts["ended"] = {"steps": self.state.step, "because": self.ended}
        self.facts["learning_rates"] = self.state.learning_rates
        self.facts["exchange"] = self.exchange.steps()
        self.write_environment("precision_at_end")
        self.beat(0)

    def facts_can_wait(self) -> bool:
        """Whether the run may begin while a process collects the slow facts: until step 3 nothing is measured then.

        Every rank must call it. The ranks of other nodes than the first have no such process.
        """
        measures_peak = self.ranks.device.type == "cpu" and self.spec.config.measure.peak_seconds > 0
        begins = self.facts_pipe is not None and not self.folder.begun(self.ranks.rank)
        warms_up = self.schedule.warmup_steps >= 2 and self.spec.profiling is None
        return all(self.ranks.gather(begins and warms_up and not measures_peak))

    def add_slow_facts(self) -> None:
        """Add the slow facts, and then the speed of the network, which collecting them would disturb.

        Every rank must call it. Raises InfrastructureError: an all-reduce failed.
        """
        if self.ranks.is_first:
            self.facts |= slow_facts(self.spec, self.ranks.device, self.facts_pipe)
        self.facts["network"] = self.exchange.probe()

    def resume(self) -> int | None:
        """Restore the last usable checkpoint and return its step; None if this run has not begun before.

        Without a checkpoint it starts again, with the same random numbers; after its last step it only records its end.
        """
        if not self.folder.begun(self.ranks.rank):
            return None
        saved = checkpoint.last_whole(self.folder.checkpoints)
        self.alarm_log.resume(saved)
        if saved is None:
            return 0
        self.state.restore(saved)
        self.read_at = self.state.step + 1
        if self.state.step == self.planned_steps:
            self.ended = ALL_STEPS_DONE
        return self.state.step

    def run_epoch(self, writer: StepWriter) -> None:
        """Step through the rest of this epoch, or to the end of the run if that comes first."""
        if self.state.batches == 0:
            self.state.move_schedulers()
        images = self.state.batches * self.spec.batch_size
        for batch in self.timed_batches():
            losses = self.timed_step(batch)
            self.state.step += 1
            self.state.batches += 1
            images += len(batch.real_A) * self.ranks.world_size
            self.pending.add(self.state.step, self.state.epoch, len(batch.real_A), losses)
            self.beat(self.step_limit_s)
            if self.state.step == self.planned_steps:
                self.ended = ALL_STEPS_DONE
            self.log_and_read(images, writer)
            if self.ended or self.stopped:
                return
        if self.pending and self.schedule.checkpoint_every and self.state.epoch % self.schedule.checkpoint_every == 0:
            self.read_steps(writer)

    def timed_batches(self) -> Iterator[Batch]:
        """The remaining batches of this epoch. The run's time starts once its first batch is loaded."""
        self.loader.set_epoch(self.state.epoch, skip=self.state.batches)
        self.clock.ask()
        batches: Iterator[Batch] = iter(self.loader)
        if self.state.step == (self.resumed_after or 0):
            batches = chain([next(batches)], batches)
            self.clock.start()
            self.stopping_rule.start()
        return batches

    def timed_step(self, batch: Batch) -> dict[str, Tensor]:
        """One training step on this rank's device; returns its losses, on the device."""
        real_A, real_B, _ = batch
        device = self.ranks.device
        self.clock.batch_ready()
        losses = self.train_step(real_A.to(device, non_blocking=True), real_B.to(device, non_blocking=True))
        self.clock.step_done()
        if self.schedule.images_every:
            self.shown = real_A, real_B
        return losses

    def log_and_read(self, images: int, writer: StepWriter) -> None:
        """Print the log line and read the pending steps, if they are due. images: of this epoch, on all devices."""
        line_due = self.state.step % self.schedule.print_every == 0
        reading_due = self.ended is not None or self.state.step >= self.read_at
        line = self.line(images) if line_due else None
        if reading_due:
            self.read_steps(writer)
        if line is not None and self.ranks.is_first:
            print(line, flush=True)  # after the reading: what displays the line reads these steps
        if line_due or reading_due:
            self.clock.ask()

    def line(self, images: int) -> str:
        """The log line of this step; see `PendingSteps.line`."""
        return self.pending.line(images)

    def write_steps(self, writer: StepWriter) -> list[Step]:
        """Wait for the device, then write and return the pending steps."""
        steps = self.pending.read()
        if self.state.step > 1:
            self.exchange.note(self.state.step - 1)
        writer.append(steps)
        return steps

    def read_steps(self, writer: StepWriter) -> None:
        """Write the pending steps, and decide whether the run ends and when to read next.

        Every rank must call it at the same step.
        """
        steps = self.write_steps(writer)
        self.step_limit_s = self.hang_limit_s(steps)
        if self.schedule.checkpoint_every:
            self.state.epoch_G_L1 += [step.losses["G_L1"] for step in steps if step.epoch == self.state.epoch]
        if "network" not in self.facts:
            self.add_slow_facts()
        if "precision" not in self.facts:
            self.write_environment("precision")
        reason = self.stopping_rule.reason((step.step_s, step.images * self.ranks.world_size) for step in steps)
        # One exchange: what depends on a clock is rank 0's decision; any rank may have received SIGTERM.
        next_in = self.steps_to_next_reading([step.step_s for step in steps])
        decided = [reason is not None, next_in] if self.ranks.is_first else [0, 0]
        losses = [loss for step in steps for loss in step.losses.values()] if self.alarm_log.active else []
        values = [*decided, self.stop_request.received, *losses]
        shared = torch.tensor(values, dtype=torch.float64, device=self.ranks.device)
        enough, next_in, stop, *means = self.ranks.mean(shared).tolist()
        self.read_at = self.state.step + max(1, round(next_in * self.ranks.world_size))
        if enough and not self.ended:
            self.ended = reason or "rank 0 has measured enough"
        self.alarm_log.add(steps, means, self.ended is not None)
        self.stopped = (stop > 0 and not self.ended) or self.alarm_log.fatal is not None

    def steps_to_next_reading(self, times: list[float]) -> int:
        """Steps that fit in READ_S, or in the rest of --max-time. times: seconds of the last steps."""
        left_s = self.stopping_rule.left_s()
        fit = int((READ_S if left_s is None else min(READ_S, left_s)) / statistics.fmean(times))
        return max(1, min(fit, MOST_AHEAD * len(times)))

    def end_epoch(self, writer: StepWriter) -> None:
        """Write sample images and a checkpoint, if they are due, and begin the next epoch."""
        self.beat(self.hang_limit_s())
        if self.due(self.schedule.images_every):
            self.save_images()
        if self.due(self.schedule.checkpoint_every) and self.alarm_log.finite:
            self.image_writer.wait()  # a checkpoint comes after the images and steps that precede it
            writer.sync()
            self.save()
        self.state.begin_next_epoch()
        self.beat(self.step_limit_s)

    def beat(self, limit_s: float) -> None:
        """Note that this rank goes on. limit_s: within which it does so again; 0: it need not."""
        self.heartbeat.beat(limit_s, self.state.step)

    def hang_limit_s(self, steps: Sequence[Step] = ()) -> float:
        """Seconds after which the run hangs without a new step; 0: never. steps: the last ones; none: none is due."""
        may_take_long = self.spec.compiles or self.spec.profiling is not None
        times = [] if may_take_long else [step.step_s for step in steps]
        return hang_limit_s(self.spec.config.measure.hang_seconds, times)

    def due(self, every: int) -> bool:
        """Whether something done every `every` epochs (0: never) is due: after such an epoch, or as the run ends."""
        return every > 0 and (self.ended is not None or self.stopped or self.state.epoch % every == 0)

    def save_images(self) -> None:
        """Write the sample images of this epoch, in the background; rank 0's."""
        if self.ranks.is_first and self.shown is not None:
            assert self.model.fake_B is not None, "there was a step"
            real_A, real_B = self.shown
            self.image_writer.save(self.state.epoch, real_A, self.model.fake_B, real_B)

    def save(self) -> None:
        """Write a checkpoint, on every rank at once."""
        self.state.save(self.folder.checkpoints, self.alarm_log.state())

    def raise_if_stopped(self) -> None:
        """Raises RunFailed: an alarm or SIGTERM stopped the run before its end."""
        if self.alarm_log.fatal is not None:
            raise self.alarm_log.failure(self.alarm_log.fatal)
        if self.stopped:
            saved = "its checkpoint is saved" if self.alarm_log.finite else "not saved, as its losses are not finite"
            raise RunFailed(
                f"stopped by SIGTERM after step {self.state.step}; {saved}",
                f"go on with {RunFolder(self.spec.run_dir).resume_command}",
            )

    def write_environment(self, moment: str) -> None:
        """Write environment.json: all facts, the memory peaks so far, and the precision read back, as `moment`.

        Every rank must call it. Raises RunFailed: another precision ran than the spec's.
        """
        fake_B = self.model.fake_B
        if fake_B is None:  # resumed after its last step
            fake_B = self.model.try_out(self.spec.config.data.crop_size)
        self.facts[moment] = precision.confirmed(self.spec.precision, fake_B.dtype)
        self.facts["memory"] = self.ranks.gather(environment.memory(self.ranks.device))
        if moment == "precision_at_end":  # after the memory peaks are read: it allocates more
            self.facts |= peak_after(self.spec, self.ranks.device)
        if self.ranks.is_first:
            self.folder.write_environment(EnvironmentFacts.model_validate(self.facts))
