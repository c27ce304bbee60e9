"""What a convergence run reports while it trains: alarms as they occur, and an early estimate of its duration."""

from typing import Any

from gbench.errors import RunFailed
from gbench.measure.estimate import PROBE_STEPS, estimate
from gbench.pix2pix.alarm_rules import AlarmRules
from gbench.runfolder.alarms import Alarm, append_alarm, take_back_alarms
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import Step
from gbench.settings.spec import RunSpec


class AlarmLog:
    """Applies the alarm rules to the steps of a convergence run, with the same result on every rank; else does nothing.

    Args:
        reports: this rank prints and writes the alarms.
        planned_steps: length of the run; None if unknown.

    Attributes:
        fatal: the first alarm that ends the run (alarms.stop_on).
    """

    def __init__(
        self, spec: RunSpec, folder: RunFolder, reports: bool, steps_per_epoch: int, planned_steps: int | None
    ) -> None:
        self._spec, self._folder, self._reports = spec, folder, reports
        self._steps_per_epoch, self._planned_steps = steps_per_epoch, planned_steps
        self.active = spec.recipe == "convergence"
        epochs = None if planned_steps is None else planned_steps / steps_per_epoch
        self._rules = AlarmRules(spec.config.alarms, spec.config.optim.gan_mode, steps_per_epoch, epochs)
        self._first_s: list[float] | None = []  # times of the first steps, until the estimate
        self._resumed_after = 0
        self.fatal: Alarm | None = None

    @property
    def finite(self) -> bool:
        return self._rules.finite

    def state(self) -> dict[str, Any] | None:
        """The state of the rules as plain values, for a checkpoint."""
        return self._rules.state() if self.active else None

    def resume(self, saved: dict[str, Any] | None) -> None:
        """Continue after a checkpoint, or from the start. Raises InfrastructureError: the disk failed."""
        if not self.active:
            return
        self._resumed_after = saved["step"] if saved else 0
        if self._reports:
            take_back_alarms(self._folder.path, self._resumed_after)
        if saved and saved.get("alarms") is not None:
            self._rules.load_state(saved["alarms"])

    def add(self, steps: list[Step], losses: list[float], has_ended: bool) -> None:
        """Add further steps. Raises InfrastructureError: an alarm can't be written.

        Args:
            losses: means over all ranks (the same bits on each), step after step in the order of its names.
            has_ended: the run has ended: an alarm now only warns.
        """
        if not self.active:
            return
        values = iter(losses)
        for step in steps:
            for alarm in self._rules.step(step.step, step.epoch, {name: next(values) for name in step.losses}):
                if self._reports:
                    print(f"warning: {alarm}", flush=True)
                    append_alarm(self._folder.path, alarm)
                if alarm.kind in self._spec.config.alarms.stop_on and not has_ended:
                    self.fatal = self.fatal or alarm
        if self._first_s is not None:
            self._first_s += [step.step_s for step in steps]
            if len(self._first_s) >= PROBE_STEPS:
                self._print_estimate(self._first_s)
                self._first_s = None

    def _print_estimate(self, first_s: list[float]) -> None:
        remaining = (self._planned_steps or 0) - self._resumed_after
        if self._reports and remaining > PROBE_STEPS:
            print(estimate(first_s, remaining, self._steps_per_epoch), flush=True)

    def failure(self, alarm: Alarm) -> RunFailed:
        what = f"stopped by --stop-on {alarm.kind}, {alarm}"
        if not self._spec.config.schedule.checkpoint_every:
            return RunFailed(what, "fix the cause and start again")
        folder = RunFolder(self._spec.run_dir)  # on the host: in a container it is mounted at another place
        if not self.finite:
            return RunFailed(what, f"fix the cause; earlier checkpoints are in {folder.checkpoints}")
        return RunFailed(f"{what}; its checkpoint is saved", f"fix the cause, or go on with {folder.resume_command}")
