"""RUN_DIR/losses.svg, rewritten after each epoch."""

import time
from collections.abc import Mapping, Sequence

from gbench.base.files import write_atomically
from gbench.convergence.recipe import differences, recipe_of
from gbench.convergence.reference import Band, references_of
from gbench.follow.scene import Scene, View
from gbench.settings.spec import RunSpec

NAME = "losses.svg"
SHARE = 0.1  # limit of the share of time spent drawing, for short epochs


class LossPlot(View):
    """The plot of a run's losses over the bands of the reference for its recipe, if there is one."""

    def __init__(self, scene: Scene) -> None:
        self._bands = bands_of(scene.spec)
        self._drawn = (0, 0)
        self._next_s = 0.0

    def show(self, scene: Scene) -> None:
        """Draw the plot if an epoch was added or the run has ended. Raises InfrastructureError: it can't be written."""
        now = (scene.history.epoch, scene.history.taken_back)
        if not scene.last and (now == self._drawn or time.monotonic() < self._next_s):
            return
        from gbench.reports.loss_plot import loss_plot

        began_s = time.monotonic()
        title = f"{scene.spec.record_name}, epoch {now[0]} of {scene.epochs}"
        write_atomically(scene.folder.path / NAME, loss_plot(scene.history.curves(), self._bands, scene.epochs, title))
        self._drawn, ended_s = now, time.monotonic()
        self._next_s = ended_s + (ended_s - began_s) / SHARE


def bands_of(spec: RunSpec) -> Mapping[str, Sequence[Band]]:
    """Loss name -> bands of the reference with this run's model and recipe; empty if there is no such reference."""
    recipe = recipe_of(spec)
    for reference in references_of(spec.model).values():
        if not differences(recipe, reference.recipe):
            return {name: reference.bands(name) for name in reference.runs[0].losses}
    return {}
