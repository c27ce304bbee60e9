"""Plot the losses of a convergence run by epoch, with the bands of its reference."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gbench.convergence.curves import Curves, Floats
from gbench.convergence.reference import Band
from gbench.reports.plots import loss_panels
from gbench.reports.svg import MUTED, SERIES, figure, standalone, to_svg
from gbench.reports.text import four


def loss_plot(curves: Curves, bands: Mapping[str, Sequence[Band]], epochs: int, title: str) -> str:
    """An SVG file of all losses: mean and standard deviation of each complete epoch, with the bands in the background.

    Args:
        curves: not empty. bands: by loss; may lack some losses. epochs: planned length of the run.
    """
    numbers, first = np.unique(curves.epochs, return_index=True)
    lengths = np.diff(np.append(first, len(curves.epochs)))
    if len(numbers) > 1 and lengths[-1] < lengths[0]:  # leave out an incomplete last epoch
        numbers, first, lengths = numbers[:-1], first[:-1], lengths[:-1]
    names, ends = list(curves.losses), []
    with figure(1.6 * math.ceil(len(names) / 2) + 0.5) as drawn:
        panels = loss_panels(drawn, names, "epoch")
        for axes, name in zip(panels, names, strict=True):
            for number, band in enumerate(bands.get(name, ())):
                edges = (band.first_epoch - 0.5, band.last_epoch + 0.5)
                label = None if number else "reference"
                axes.fill_between(edges, band.low, band.high, color=MUTED, alpha=0.3, linewidth=0, label=label)
            mean, sd = _by_epoch(curves.losses[name][: first[-1] + lengths[-1]], first)
            axes.fill_between(
                numbers, mean - sd, mean + sd, color=SERIES[0], alpha=0.2, linewidth=0, label="± sd of its steps"
            )
            marker = "o" if len(numbers) == 1 else None
            axes.plot(numbers, mean, color=SERIES[0], marker=marker, label="mean of an epoch")
            axes.set_xlim(0.5, max(epochs, int(numbers[-1])) + 0.5)
            ends.append(f"{name} {four(float(mean[-1]))}")
        drawn.suptitle(title, fontsize=8)
        drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        described = f"Line plots of the losses by epoch. After epoch {numbers[-1]}: {', '.join(ends)}."
        return standalone(to_svg(drawn, "losses", f"{title}. {described}"))


def _by_epoch(values: Floats, first: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the values of each epoch. first: index of each epoch's first value."""
    parts = np.split(values, first[1:])
    return np.array([part.mean() for part in parts]), np.array([part.std() for part in parts])
