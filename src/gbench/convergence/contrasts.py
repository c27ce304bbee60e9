"""The figures that a whole curve is summed up in: few, so that each may be held against a narrow tolerance.

A window of 40 printed lines knows the mean of G_L1 to 3 %, all 800 lines know it to 0.7 %: what changes a curve a
little everywhere, as a doubled learning rate does, shows in contrasts over the whole run and in no window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gbench.convergence.comparison import Figure, log_mean, minus


@dataclass(frozen=True)
class Contrast:
    """The mean of a loss over a part of the run, or how it differs from that over another part.

    over, against: shares of the run, first and last. between: standard deviation between runs of one recipe
    (`spread.py`).
    """

    name: str
    loss: str
    between: float
    over: tuple[float, float]
    against: tuple[float, float] | None = None

    def figure(self, means: Sequence[float], errors: Sequence[float]) -> Figure:
        """The contrast of a run with these window means."""
        whole = _part(means, errors, self.over)
        return whole if self.against is None else minus(whole, _part(means, errors, self.against))


def _part(means: Sequence[float], errors: Sequence[float], share: tuple[float, float]) -> Figure:
    first, last = (round(len(means) * place) for place in share)
    last = max(last, first + 1)
    return log_mean(means[first:last], errors[first:last])


WHOLE, FIRST_HALF, SECOND_HALF = (0.0, 1.0), (0.0, 0.5), (0.5, 1.0)
CONTRASTS = (
    Contrast("G_GAN over the whole run", "G_GAN", 0.041, WHOLE),
    Contrast("G_L1 over the whole run", "G_L1", 0.015, WHOLE),
    Contrast("D_real over the whole run", "D_real", 0.042, WHOLE),
    Contrast("D_fake over the whole run", "D_fake", 0.047, WHOLE),
    Contrast("G_GAN, second half to first", "G_GAN", 0.017, SECOND_HALF, FIRST_HALF),
    Contrast("G_L1, second half to first", "G_L1", 0.010, SECOND_HALF, FIRST_HALF),
)
