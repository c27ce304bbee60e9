"""A run folder written like that of a convergence run, and a follower of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from gbench.follow.follower import Views, following
from gbench.runfolder.folder import VISUALS, RunFolder
from gbench.runfolder.steps import Step, StepWriter
from gbench.settings.spec import RunSpec
from run_folders import ENVIRONMENT, fake_losses

STEPS = 4  # an epoch
PATIENCE_S = 60.0


class Writer:
    """Writes steps and images of a run with one rank."""

    def __init__(self, spec: RunSpec, folder: RunFolder | None = None, resumed_after: int | None = None) -> None:
        self.folder = folder or RunFolder.create(spec)
        self.folder.write("environment.json", {**ENVIRONMENT, "steps_per_epoch": STEPS, "planned_steps": 40})
        self.step, self._writer = resumed_after or 0, StepWriter(self.folder.path, 0, resumed_after)

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.step += 1
            epoch = 1 + (self.step - 1) // STEPS
            self._writer.append(
                [Step(self.step, epoch, 4, 0.02, 0.1, 0.1 * self.step, 0, False, fake_losses(self.step))]
            )

    def images(self, epoch: int) -> None:
        """Write three grey images of 4 x 2 pixels, lighter in later epochs."""
        self.folder.images.mkdir(exist_ok=True)
        for place, name in enumerate(VISUALS):
            Image.fromarray(np.full((4, 2, 3), 60 * place + epoch, np.uint8)).save(self.folder.image(epoch, name))


@contextmanager
def followed(folder: RunFolder, views: Views) -> Iterator[list[str]]:
    """Run a follower's process in this context; yields the lines of its log."""
    lines: list[str] = []
    with following(folder, views, lines.append) as on_line:
        on_line("a line of the run")
        yield lines


def until(what: Callable[[], bool]) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)
