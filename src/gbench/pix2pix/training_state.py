"""The state that a run resumes from: networks, optimisers, schedulers, random states and progress."""

import statistics
from pathlib import Path
from typing import Any

from gbench.pix2pix import checkpoint
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.step.build_model import build_model
from gbench.pix2pix.step.schedule import build_scheduler, start_epoch
from gbench.settings.spec import RunSpec

PROGRESS = ("step", "epoch", "batches", "epoch_G_L1", "learning_rates")  # attributes that a checkpoint holds


class TrainingState:
    """The state of one rank, at the beginning of a run or restored from a checkpoint.

    Attributes:
        step: number of completed steps.
        epoch: the current one, from 1.
        batches: completed batches of the current epoch.
        epoch_G_L1: this rank's G_L1 of each step of the current epoch, if checkpoints are kept.
        learning_rates: of G and D in each epoch, read back from the optimisers.
    """

    def __init__(self, spec: RunSpec, ranks: Ranks, steps_per_epoch: int) -> None:
        self._spec, self._ranks, self._steps_per_epoch = spec, ranks, steps_per_epoch
        self.model = build_model(spec, ranks)
        optim, schedule = spec.config.optim, spec.config.schedule
        self.schedulers = [
            build_scheduler(optimizer, optim.lr_policy, schedule.epochs, schedule.epochs_decay, optim.lr_decay_iters)
            for optimizer in (self.model.optimizer_G, self.model.optimizer_D)
        ]
        self.step, self.epoch, self.batches = 0, 1, 0
        self.epoch_G_L1: list[float] = []
        self.learning_rates: list[list[float]] = []

    def move_schedulers(self) -> None:
        """Set the learning rates of the current epoch, before its first step."""
        for scheduler in self.schedulers:
            start_epoch(scheduler)
        optimizers = self.model.optimizer_G, self.model.optimizer_D
        self.learning_rates.append([optimizer.param_groups[0]["lr"] for optimizer in optimizers])

    def begin_next_epoch(self) -> None:
        self.epoch, self.batches, self.epoch_G_L1 = self.epoch + 1, 0, []

    def save(self, folder: Path, alarms: dict[str, Any] | None) -> None:
        """Write a checkpoint: weights and buffers of rank 0, the random state of every rank. Every rank must call it.

        alarms: state of the alarm rules. Raises InfrastructureError: it can't be written.
        """
        random_states = self._ranks.gather(checkpoint.random_state(self._ranks.device))
        if not self._ranks.is_first:
            return
        values: dict[str, Any] = {
            "spec": self._spec.model_dump(),
            **{name: getattr(self, name) for name in PROGRESS},
            "model": self.model.state_dict(),
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "random_states": random_states,
            "alarms": alarms,
        }
        whole = self.batches == self._steps_per_epoch
        checkpoint.save_run(values, folder, self.epoch, whole, self._spec.config.schedule.checkpoint_keep)
        if whole:
            G_L1 = statistics.fmean(self.epoch_G_L1)
            checkpoint.save_if_best(values["model"]["generator"], folder, self.epoch, G_L1)

    def restore(self, values: dict[str, Any]) -> None:
        """Restore what `save` wrote, on this rank."""
        self.model.load_state_dict(values["model"])
        for scheduler, state in zip(self.schedulers, values["schedulers"], strict=True):
            scheduler.load_state_dict(state)
        checkpoint.set_random_state(values["random_states"][self._ranks.rank], self._ranks.device)
        for name in PROGRESS:
            setattr(self, name, values[name])
        if self.batches == self._steps_per_epoch:
            self.begin_next_epoch()
