"""The steps since the last reading: their times and losses stay on the device until all are read at once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gbench.measure.clock import StepClock, StepTime
from gbench.pix2pix.ranks.group import Ranks
from gbench.runfolder.loss_line import loss_line
from gbench.runfolder.steps import Step
from gbench.settings.spec import RunSpec


@dataclass(frozen=True)
class _PendingStep:
    """A step with time and losses still on the device. images: of this rank."""

    step: int
    epoch: int
    images: int
    losses: dict[str, Tensor]


class PendingSteps:
    """Steps not read yet, and the clock that times them."""

    def __init__(self, clock: StepClock, spec: RunSpec, ranks: Ranks) -> None:
        self._clock, self._ranks = clock, ranks
        self._batch_size, self._warmup_steps = spec.batch_size, spec.schedule.warmup_steps
        self._steps: list[_PendingStep] = []
        self._times: list[StepTime] = []  # of the first of these steps, where a log line already needed them

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, step: int, epoch: int, images: int, losses: dict[str, Tensor]) -> None:
        """Add a step that was handed to the device. images: of this rank; losses: 0-dim tensors on the device."""
        self._steps.append(_PendingStep(step, epoch, images, losses))

    def clear(self) -> None:
        self._steps, self._times = [], []

    def line(self, images: int) -> str:
        """Wait for the device and return upstream's log line of the last step, with the losses of the whole batch.

        Every rank must call it at the same step. It does no more than the line needs: its cost is part of a step.
        images: of this epoch so far, over all devices.
        """
        last = self._steps[-1]
        self._times += self._clock.read()
        means = self._ranks.mean(torch.stack(list(last.losses.values()))).tolist()
        time = self._times[-1]
        compute_s = (time.step_s - time.data_s - time.between_s) / self._batch_size
        losses = dict(zip(last.losses, means, strict=True))
        return loss_line(last.epoch, images, compute_s, time.data_s, losses)

    def read(self) -> list[Step]:
        """Wait for the device, return all steps as rows of the run folder, and drop them."""
        steps, times = self._steps, [*self._times, *self._clock.read()]
        self.clear()
        if not steps:
            return []
        names = tuple(steps[0].losses)
        values = torch.stack([loss for step in steps for loss in step.losses.values()]).view(len(steps), -1)
        return [
            Step(
                step.step,
                step.epoch,
                step.images,
                **vars(time),
                warmup=step.step <= self._warmup_steps,
                losses=dict(zip(names, row, strict=True)),
            )
            # the only copy from the device; a run stopped within a step may have one time more than steps
            for step, time, row in zip(steps, times, values.tolist(), strict=False)
        ]
