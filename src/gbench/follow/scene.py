"""The state of a run that views show; the same for every view."""

import re

import numpy as np
from numpy.typing import NDArray

from gbench.convergence.curves import Curves, Floats
from gbench.follow.growing_steps import History
from gbench.runfolder.folder import VISUALS, RunFolder
from gbench.settings.linear_policy import linear_factor

Pixels = NDArray[np.uint8]


class Scene:
    """A run, read repeatedly."""

    steps_per_epoch: int
    """0 until the worker has written it."""
    last: bool
    """Whether the run has ended, so that nothing more will follow."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.spec, self.history = folder, folder.spec(), History(folder)
        self.steps_per_epoch, self.last = 0, False

    def look(self, last: bool) -> None:
        """Read new steps. last: whether the run has ended."""
        self.history.read()
        self.last = last
        if not self.steps_per_epoch:
            self.steps_per_epoch = self.folder.environment().steps_per_epoch or 0

    @property
    def epochs(self) -> int:
        return self.spec.config.schedule.planned_epochs(self.steps_per_epoch)

    @property
    def whole_epochs(self) -> int:
        """Number of epochs of which all steps are done."""
        return self.history.steps // self.steps_per_epoch if self.steps_per_epoch else 0

    def of_epochs(self) -> dict[str, dict[str, Floats]]:
        """Figures of the whole epochs, one value each, by plot: mean losses, img/s, linear learning rate."""
        count, optim, schedule = self.whole_epochs, self.spec.config.optim, self.spec.config.schedule
        steps = count * self.steps_per_epoch
        curves, work = self.history.curves(), self.history.work()[:steps].reshape(count, -1, 2).sum(1)
        plots = {
            "loss": {name: values[:steps].reshape(count, -1).mean(1) for name, values in curves.losses.items()},
            "img_s": {"img_s": work[:, 0] * self.spec.world_size / work[:, 1]},
        }
        if optim.lr_policy == "linear":
            of = schedule.epochs, schedule.epochs_decay
            rates = [optim.lr * linear_factor(*of, epoch) for epoch in range(1, count + 1)]
            plots["learning_rate"] = {"learning_rate": np.array(rates)}
        return plots

    def images(self) -> tuple[int, list[Pixels]] | None:
        """The newest sample images' epoch, and the images, (H, W, 3) in order of VISUALS; None if there are none."""
        from gbench.datasets.decode import decode_rgb

        names = [path.name for path in self.folder.images.glob("*_real_B.png")]  # real_B is written last
        epochs = [int(match[1]) for name in names if (match := re.fullmatch(r"epoch(\d+)_real_B\.png", name))]
        if not epochs:
            return None
        paths = (self.folder.image(max(epochs), name) for name in VISUALS)
        return max(epochs), [np.asarray(decode_rgb(path)) for path in paths]


class View:
    """One way to show a run."""

    def show(self, scene: Scene) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Release what it holds; no `show` follows."""


def printed(curves: Curves, every: int, after: int = 0) -> tuple[NDArray[np.int64], dict[str, Floats]]:
    """The numbers (from 1) of the steps after `after` for which upstream would print a line, and their losses."""
    numbers = np.arange((after // every + 1) * every, len(curves.epochs) + 1, every)
    return numbers, {name: values[numbers - 1] for name, values in curves.losses.items()}
