"""What a convergence run is watched for: losses that are no numbers, a discriminator that has collapsed, a flat G_L1.

A pure function of the losses, step by step, so that every rank comes to the same alarms at the same step. The bounds
stand in `settings.spec.AlarmConfig`; docs/live-view.md says what they were held against.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, variance
from typing import Any

from gbench.runfolder.alarms import Alarm
from gbench.settings.literals import AlarmKind
from gbench.settings.spec import AlarmConfig


class Watch:
    """Takes in the losses of every step, and says when something is wrong; each thing once while it lasts.

    Args:
        gan_mode: with wgangp D is not judged: its losses are no distance from what it should say.
        epochs: that the run sets out to do; None when that is not known, and a flat G_L1 no alarm.
    """

    def __init__(self, config: AlarmConfig, gan_mode: str, steps_per_epoch: int, epochs: float | None) -> None:
        self._config, self._judges_D, self._steps_per_epoch = config, gan_mode != "wgangp", steps_per_epoch
        self._flat_until = config.flat_until * (epochs or 0)
        self._keep = max(config.collapse_epochs, config.flat_epochs)
        # it has to be over for so many epochs before it is an alarm again
        self._over = {"nan": 1, "collapse": config.collapse_epochs, "flat": config.flat_epochs}
        self._sums: dict[str, float] = {}
        self._steps = 0
        self._means: list[dict[str, float]] = []  # of the last whole epochs
        self._seen: dict[str, int] = {}  # kind -> the last epoch in which it showed
        self.finite = True  # whether the losses of the last step are all numbers

    def step(self, step: int, epoch: int, losses: Mapping[str, float]) -> list[Alarm]:
        """Take in a step's losses, means over all ranks; gives the alarms that it brings."""
        lost = [name for name, value in losses.items() if not math.isfinite(value)]
        self.finite = not lost
        found: list[tuple[AlarmKind, str]] = []
        if lost:
            found.append(("nan", f"{' and '.join(lost)} {'is' if len(lost) == 1 else 'are'} NaN or infinite"))
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in losses.items()}
        self._steps += 1
        if step % self._steps_per_epoch == 0:
            means = {name: total / self._steps for name, total in self._sums.items()}
            self._means = [*self._means, means][-self._keep :]
            self._sums, self._steps = {}, 0
            if self._judges_D and (text := self._collapse(epoch)):
                found.append(("collapse", text))
            if text := self._flat(epoch):
                found.append(("flat", text))
        return [Alarm(kind, epoch, step, text) for kind, text in found if self._is_news(kind, epoch)]

    def _is_news(self, kind: AlarmKind, epoch: int) -> bool:
        before = self._seen.get(kind)
        self._seen[kind] = epoch
        return before is None or epoch - before > self._over[kind]

    def _collapse(self, epoch: int) -> str | None:
        window = self._means[-self._config.collapse_epochs :]
        if len(window) < self._config.collapse_epochs:
            return None
        D_real, D_fake = (fmean(means[name] for means in window) for name in ("D_real", "D_fake"))
        if not max(D_real, D_fake) < self._config.collapse_below:
            return None
        first = epoch - len(window) + 1
        return f"D has collapsed: D_real is {D_real:.2g} and D_fake {D_fake:.2g}, means of epochs {first} to {epoch}"

    def _flat(self, epoch: int) -> str | None:
        window = [means["G_L1"] for means in self._means[-self._config.flat_epochs :]]
        if len(window) < self._config.flat_epochs or epoch > self._flat_until:
            return None
        half = len(window) // 2
        before, after = window[:half], window[half:]
        if not surely_fell_less(before, after, self._config.flat_below):
            return None
        first = epoch - len(window) + 1
        return (
            f"G_L1 is flat: {fmean(before):.4g} is the mean of epochs {first} to {first + half - 1}, "
            f"{fmean(after):.4g} of epochs {first + half} to {epoch}"
        )

    def state(self) -> dict[str, Any]:
        """What it remembers, as plain values, for a checkpoint."""
        return {"sums": self._sums, "steps": self._steps, "means": self._means, "seen": self._seen}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self._sums, self._steps = dict(state["sums"]), state["steps"]
        self._means, self._seen = list(state["means"]), dict(state["seen"])


def surely_fell_less(before: Sequence[float], after: Sequence[float], share: float) -> bool:
    """Whether the fall from one mean to the other, two standard errors added, is below this share of the first.

    A few noisy values so are no evidence of a plateau, and a slow fall in many is none either.
    """
    error = math.sqrt(variance(before) / len(before) + variance(after) / len(after))
    return fmean(before) - fmean(after) + 2 * error < share * fmean(before)
