"""The steps of a rank since its device was last waited for: what they took and gave is read for all of them at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gbench.measure.clock import StepClock, StepTime
from gbench.pix2pix.ranks.group import Ranks
from gbench.runfolder.loss_line import loss_line
from gbench.runfolder.steps import Step
from gbench.settings.spec import RunSpec


@dataclass(frozen=True)
class _Done:
    """A step whose time and losses are still on the device. images: of this rank."""

    step: int
    epoch: int
    images: int
    losses: dict[str, Tensor]


class Unread:
    """Steps that nobody has read yet, and the clock that times them."""

    def __init__(self, clock: StepClock, spec: RunSpec, ranks: Ranks) -> None:
        self.clock = clock
        self._batch_size, self._warmup_steps = spec.batch_size, spec.config.schedule.warmup_steps
        self._ranks = ranks
        self._done: list[_Done] = []
        self._times: list[StepTime] = []  # of the first of them, where a log line needed these already

    def __len__(self) -> int:
        """How many."""
        return len(self._done)

    def add(self, step: int, epoch: int, images: int, losses: dict[str, Tensor]) -> None:
        """A step whose work is handed over. images: of this rank."""
        self._done.append(_Done(step, epoch, images, losses))

    def clear(self) -> None:
        """Forget them."""
        self._done, self._times = [], []

    def line(self, images: int) -> str:
        """Wait for the device, and give upstream's log line of the last step, with the losses of the whole batch.

        Every rank must call it at the same step. No more is done here than the line needs: where lines are frequent,
        what they cost is part of the figure.

        Args:
            images: of this epoch so far, over all devices.
        """
        last = self._done[-1]
        self._times += self.clock.read()
        means = self._ranks.mean(torch.stack(list(last.losses.values()))).tolist()
        taken = self._times[-1]
        compute_s = (taken.step_s - taken.data_s - taken.between_s) / self._batch_size
        losses = dict(zip(last.losses, means, strict=True))
        return loss_line(last.epoch, images, compute_s, taken.data_s, losses)

    def read(self) -> list[Step]:
        """Wait for the device, and give them, as the run folder has them; none is left."""
        done, times = self._done, [*self._times, *self.clock.read()]
        self.clear()
        if not done:
            return []
        names = tuple(done[0].losses)
        values = torch.stack([loss for step in done for loss in step.losses.values()]).view(len(done), -1)
        return [
            Step(
                step.step,
                step.epoch,
                step.images,
                **vars(taken),
                warmup=step.step <= self._warmup_steps,
                losses=dict(zip(names, row, strict=True)),
            )
            # the one copy from the device; a run that is stopped within a step may have a time more
            for step, taken, row in zip(done, times, values.tolist(), strict=False)
        ]
