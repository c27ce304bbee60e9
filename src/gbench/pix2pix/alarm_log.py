"""What a convergence run says of itself as it goes: alarms when they happen, and early on how long it will take."""

from __future__ import annotations

from typing import Any

from gbench.errors import RunFailed
from gbench.measure.estimate import PROBE_STEPS, estimate
from gbench.pix2pix.alarm_rules import Watch
from gbench.runfolder.alarms import Alarm, append_alarm, take_back_alarms
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import Step
from gbench.settings.spec import RunSpec


class Lookout:
    """Takes in the steps of a run as they are read. Every rank has one, and all come to the same.

    Args:
        speaks: whether this rank is the one that prints and writes.
        planned_steps: that the run sets out to do; None when that is not known.

    Attributes:
        alarm: the one that is to end the run, once there is one.
    """

    def __init__(
        self, spec: RunSpec, folder: RunFolder, speaks: bool, steps_per_epoch: int, planned_steps: int | None
    ) -> None:
        self._spec, self._folder, self._speaks = spec, folder, speaks
        self._steps_per_epoch, self._planned_steps = steps_per_epoch, planned_steps
        epochs = None if planned_steps is None else planned_steps / steps_per_epoch
        self._watch = Watch(spec.config.alarms, spec.config.optim.gan_mode, steps_per_epoch, epochs)
        self._first_s: list[float] | None = []  # times of the first steps, until the estimate
        self._done = 0  # steps of earlier attempts
        self.alarm: Alarm | None = None

    @property
    def is_sound(self) -> bool:
        """Whether the losses of the last step are all numbers."""
        return self._watch.finite

    def state(self) -> dict[str, Any]:
        """What it remembers, as plain values, for a checkpoint."""
        return self._watch.state()

    def resume(self, after: int, state: dict[str, Any] | None) -> None:
        """Go on after a step, with what `state` gave then. Raises InfrastructureError: the disk failed."""
        self._done = after
        if self._speaks:
            take_back_alarms(self._folder.path, after)
        if state is not None:
            self._watch.load_state(state)

    def take(self, steps: list[Step], losses: list[float], has_ended: bool) -> None:
        """Take in further steps. Raises InfrastructureError: the disk refuses an alarm.

        Args:
            losses: means over all ranks, of one step after another in the order of its names. They are from an
                all-reduce, which leaves the same bits on every rank.
            has_ended: the run has: no alarm can end it any more.
        """
        values = iter(losses)
        for step in steps:
            for alarm in self._watch.step(step.step, step.epoch, {name: next(values) for name in step.losses}):
                if self._speaks:
                    print(f"warning: {alarm}", flush=True)
                    append_alarm(self._folder.path, alarm)
                if alarm.kind in self._spec.config.alarms.stop_on and not has_ended:
                    self.alarm = self.alarm or alarm
        if self._first_s is not None:
            self._first_s += [step.step_s for step in steps]
            if len(self._first_s) >= PROBE_STEPS:
                self._tell_estimate(self._first_s)
                self._first_s = None

    def _tell_estimate(self, first_s: list[float]) -> None:
        ahead = (self._planned_steps or 0) - self._done
        if self._speaks and ahead > PROBE_STEPS:
            print(estimate(first_s, ahead, self._steps_per_epoch), flush=True)

    def failure(self, alarm: Alarm) -> RunFailed:
        """The sentence for a run that an alarm ended."""
        what = f"stopped by --stop-on {alarm.kind}, {alarm}"
        if not self._spec.config.schedule.checkpoint_every:
            return RunFailed(what, "change what caused it and start anew")
        if not self.is_sound:
            return RunFailed(
                what, f"the checkpoints from before are in {self._folder.checkpoints}; change what caused it"
            )
        return RunFailed(
            f"{what}; its checkpoint is saved", f"change what caused it, or go on with {self._folder.resume_command}"
        )
