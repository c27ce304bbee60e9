"""What there is to see of a run at one moment: the same for every view."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from gbench.convergence.curves import Curves, Floats
from gbench.follow.growing_steps import History
from gbench.runfolder.folder import VISUALS, RunFolder

Pixels = NDArray[np.uint8]


class Scene:
    """A run, looked at again and again.

    Attributes:
        steps_per_epoch: 0 until the worker has written it down.
        last: whether the run has ended, and nothing more will come.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.spec, self.history = folder, folder.spec(), History(folder)
        self.steps_per_epoch, self.last = 0, False

    def look(self, last: bool) -> None:
        """Take in what is new."""
        self.history.read()
        self.last = last
        if not self.steps_per_epoch:
            self.steps_per_epoch = self.folder.environment().steps_per_epoch or 0

    @property
    def has_begun(self) -> bool:
        """Whether there is something to show."""
        return self.history.steps > 0 and self.steps_per_epoch > 0

    @property
    def epochs(self) -> int:
        """How many epochs the run sets out to do."""
        return self.spec.config.schedule.planned_epochs(self.steps_per_epoch)

    def curves(self) -> Curves:
        """The losses so far."""
        return self.history.curves()

    def images(self) -> tuple[int, list[Pixels]] | None:
        """The newest sample images, (H, W, 3) in order of VISUALS, and their epoch; None where there are none."""
        from PIL import Image

        found = [re.fullmatch(r"epoch(\d+)_real_B\.png", path.name) for path in self.folder.images.glob("*_real_B.png")]
        epochs = [int(match[1]) for match in found if match]  # real_B comes last
        if not epochs:
            return None
        paths = (self.folder.image(max(epochs), name) for name in VISUALS)
        return max(epochs), [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def printed(curves: Curves, every: int, after: int = 0) -> tuple[NDArray[np.int64], dict[str, Floats]]:
    """The steps past `after` of which upstream would print a line, from 1, and their losses."""
    numbers = np.arange((after // every + 1) * every, len(curves.epochs) + 1, every)
    return numbers, {name: values[numbers - 1] for name, values in curves.losses.items()}
