"""Alarm rules of a convergence run: NaN or infinite losses, a collapsed discriminator, a flat G_L1.

A pure function of the losses, so that every rank raises the same alarms at the same step. docs/live-view.md says how
the thresholds were chosen.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, variance
from typing import Any

from gbench.runfolder.alarms import Alarm
from gbench.settings.literals import AlarmKind
from gbench.settings.model_config import AlarmConfig


class AlarmRules:
    """Applies the rules to the losses of every step; raises each alarm once while its condition lasts.

    Args:
        gan_mode: with wgangp a collapse of D is not judged: its losses have no fixed scale.
        epochs: planned length of the run; None if unknown, which turns off the rule for a flat G_L1.

    Attributes:
        finite: all losses of the last step are finite.
    """

    def __init__(self, config: AlarmConfig, gan_mode: str, steps_per_epoch: int, epochs: float | None) -> None:
        self._config, self._judges_D, self._steps_per_epoch = config, gan_mode != "wgangp", steps_per_epoch
        self._flat_until = config.flat_until * (epochs or 0)
        self._keep = max(config.collapse_epochs, config.flat_epochs)
        # epochs without the condition before it raises an alarm again
        self._quiet_epochs = {"nan": 1, "collapse": config.collapse_epochs, "flat": config.flat_epochs}
        self._sums: dict[str, float] = {}
        self._steps = 0
        self._means: list[dict[str, float]] = []  # of the last complete epochs
        self._seen: dict[str, int] = {}  # kind -> the last epoch in which its condition held
        self.finite = True

    def step(self, step: int, epoch: int, losses: Mapping[str, float]) -> list[Alarm]:
        """Add the losses of a step, means over all ranks, and return the alarms that it raises."""
        not_finite = [name for name, value in losses.items() if not math.isfinite(value)]
        self.finite = not not_finite
        raised: list[tuple[AlarmKind, str]] = []
        if not_finite:
            verb = "is" if len(not_finite) == 1 else "are"
            raised.append(("nan", f"{' and '.join(not_finite)} {verb} NaN or infinite"))
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in losses.items()}
        self._steps += 1
        if step % self._steps_per_epoch == 0:
            means = {name: total / self._steps for name, total in self._sums.items()}
            self._means = [*self._means, means][-self._keep :]
            self._sums, self._steps = {}, 0
            if self._judges_D and (text := self._collapse(epoch)):
                raised.append(("collapse", text))
            if text := self._flat(epoch):
                raised.append(("flat", text))
        return [Alarm(kind, epoch, step, text) for kind, text in raised if self._is_new(kind, epoch)]

    def _is_new(self, kind: AlarmKind, epoch: int) -> bool:
        before = self._seen.get(kind)
        self._seen[kind] = epoch
        return before is None or epoch - before > self._quiet_epochs[kind]

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
        """The state as plain values, for a checkpoint."""
        return {"sums": self._sums, "steps": self._steps, "means": self._means, "seen": self._seen}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._sums, self._steps = dict(state["sums"]), state["steps"]
        self._means, self._seen = list(state["means"]), dict(state["seen"])


def surely_fell_less(before: Sequence[float], after: Sequence[float], share: float) -> bool:
    """Whether the decrease of the mean plus two standard errors is below `share` of the first mean.

    So neither a few noisy values nor a slow decrease over many values counts as a plateau.
    """
    error = math.sqrt(variance(before) / len(before) + variance(after) / len(after))
    return fmean(before) - fmean(after) + 2 * error < share * fmean(before)
