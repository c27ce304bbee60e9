"""Simulated convergence runs about the published curves, for the verdict's error rates (benchmarks/convergence.py).

Differences between runs of one recipe, and effects of a wrong recipe, come from scaled-down runs of this project's own
training (benchmarks/convergence_effects.yaml), as relative shifts of each window's mean, applied to the published
curves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from gbench.convergence.contrasts import CONTRASTS, Contrast
from gbench.convergence.curves import LOSSES, Curves, EpochWindow
from gbench.convergence.judge import Subject, Verdict, judge
from gbench.convergence.make_reference import make_reference
from gbench.convergence.reference import Reference, load_reference

Floats = NDArray[np.float64]
ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "configs" / "reference" / "pix2pix_resnet_9blocks-v100-fp32.yaml"
EFFECTS = ROOT / "benchmarks" / "convergence_effects.yaml"
ITERATIONS = 400  # per epoch
PRINTED = 4  # printed iterations per epoch
METRICS = ("MAE", "PSNR")


class Drawn(Curves):
    """Curves with drawn window means only, instead of 320,000 single losses that would be reduced to them."""

    def __init__(self, epochs: int, windows: dict[tuple[str, int, int], EpochWindow]) -> None:
        super().__init__(np.arange(1, epochs + 1), {})
        object.__setattr__(self, "drawn", windows)

    def window(self, loss: str, first: int, last: int, share: float | None = None) -> EpochWindow | None:
        found: EpochWindow = self.drawn[loss, first, last]  # type: ignore[attr-defined]
        if share is None:
            return found
        return replace(found, standard_error=max(found.sd, share * found.mean) / math.sqrt(found.count))


@dataclass(frozen=True)
class Case:
    """One comparison of simulated runs with a simulated reference."""

    own: int = 0
    """Runs with all iterations in the reference; 0: the printed lines of one run, as in the published reference."""
    seeds: int = 1
    """Number of runs judged together."""
    lines: int | None = None
    """Printed lines per epoch of a run; None: all iterations."""
    spread: float = 1.0
    """True spread between runs, divided by the assumed one."""

    @property
    def cells(self) -> str:
        """Its columns of the table."""
        reference = f"{self.own} own runs" if self.own else "published"
        return f"{reference} | {self.seeds} | {'printed lines' if self.lines else 'all'} | x {self.spread:g}"


@dataclass(frozen=True)
class Simulator:
    """Draws runs about the published curves.

    spread: what between-run deviations are multiplied by, to see what a wrong assumption costs.
    """

    published: Reference
    measured: dict[str, list[dict[str, Any]]]
    rng: np.random.Generator
    spread: float = 1.0

    @cached_property
    def log_means(self) -> Floats:
        """Of the published run, smoothed over its line noise by a cubic, (4, 20)."""
        places = np.arange(len(self.published.windows))
        raw = np.log([self.published.runs[0].losses[name].mean for name in LOSSES])
        return np.array([np.polyval(np.polyfit(places, row, 3), places) for row in raw])

    @cached_property
    def share_sd(self) -> Floats:
        """Spread of single losses as a share of their mean, (4, 20)."""
        losses = [self.published.runs[0].losses[name] for name in LOSSES]
        return np.array([np.divide(loss.sd, loss.mean) for loss in losses])

    def table(self, variant: str) -> Floats:
        """Log window means, log spreads and log metrics of the measured runs of a variant, (runs, 2 * 4 * 20 + 2)."""
        return np.array(
            [
                [value for kind in ("log_means", "log_spreads") for name in LOSSES for value in run[kind][name]]
                + [math.log(run["quality"][metric]) for metric in METRICS]
                for run in self.measured[variant]
            ]
        )

    @cached_property
    def residuals(self) -> Floats:
        """Deviations of measured runs from the mean of their variant, scaled so that a random sum of them has the
        pooled between-run covariance, (runs, 162)."""
        groups = [self.table(variant) for variant in ("reference", "lr_doubled")]
        centred = np.concatenate([group - group.mean(axis=0) for group in groups])
        return centred / math.sqrt(sum(len(group) - 1 for group in groups))

    def effect(self, variant: str) -> Floats:
        """The shift of a variant compared with the reference's recipe, (162,)."""
        shift: Floats = self.table(variant).mean(axis=0) - self.table("reference").mean(axis=0)
        return shift

    def run(self, variant: str, lines: int | None) -> Subject:
        """A finished run with its evaluation. lines: printed lines per epoch; None: all iterations."""
        between = self.rng.standard_normal(len(self.residuals)) @ self.residuals * self.spread
        shift = self.effect(variant) + between
        means, shares = np.exp(
            np.array([self.log_means, np.log(self.share_sd)]) + shift[:-2].reshape(2, *self.log_means.shape)
        )
        quality = {
            metric: math.log(self.published.runs[0].quality[metric]) + change  # type: ignore[index]
            for metric, change in zip(METRICS, shift[-2:], strict=True)
        }
        windows: dict[tuple[str, int, int], EpochWindow] = {}
        last = self.published.epochs
        for row, name in enumerate(LOSSES):
            for place, (first, end) in enumerate([*self.published.windows, (last, last)]):
                column = min(place, len(self.published.windows) - 1)
                count = (end - first + 1) * (lines or ITERATIONS)
                windows[name, first, end] = self.window(means[row, column], shares[row, column], count)
        metrics = {metric: math.exp(value) for metric, value in quality.items()}
        return Subject("drawn", None, Drawn(last, windows), None, metrics, True)

    def window(self, mean: float, share: float, count: int) -> EpochWindow:
        """A window of lognormal losses: single losses if they are few, otherwise only their mean."""
        if count > 1000:
            error = share * mean / math.sqrt(count)
            return EpochWindow(mean + error * self.rng.standard_normal(), share * mean, error, count)
        sigma = math.sqrt(math.log1p(share**2))
        values = mean * np.exp(sigma * self.rng.standard_normal(count) - sigma**2 / 2)
        sd = float(values.std(ddof=1))
        return EpochWindow(float(values.mean()), sd, sd / math.sqrt(count), count)

    def verdicts(self, variant: str, draws: int, case: Case) -> Iterator[Verdict]:
        """Verdicts on sets of runs of a variant, each against a new reference."""
        published = self.published
        for _ in range(draws):
            kept = None if case.own else PRINTED
            trusted = [self.run("reference", kept) for _ in range(case.own or 1)]
            reference = make_reference(published.model, published.description, published.recipe, trusted)
            yield judge(reference, [self.run(variant, case.lines) for _ in range(case.seeds)])


def build(seed: int = 0, spread: float = 1.0) -> Simulator:
    """The simulator of this project's reference and measurements."""
    measured = yaml.safe_load(EFFECTS.read_text(encoding="utf-8"))["runs"]
    return Simulator(load_reference(PUBLISHED), measured, np.random.default_rng(seed), spread)


def contrast_of(contrast: Contrast, values: Floats) -> float:
    """A contrast of a run's row of `Simulator.table`."""
    means, shares = np.exp(values[:-2]).reshape(2, len(LOSSES), -1)[:, LOSSES.index(contrast.loss)]
    windows = [EpochWindow(mean, mean * share, 0.0, 1) for mean, share in zip(means, shares, strict=True)]
    return contrast.figure(windows).value


def spreads(simulator: Simulator) -> dict[str, float]:
    """Between-run standard deviations of the measured runs, for `gbench.convergence.seed_spread` and `contrasts`."""
    groups = [simulator.table(variant) for variant in ("reference", "lr_doubled")]
    free = sum(len(group) - 1 for group in groups)

    def pooled(values: list[Floats]) -> float:
        squares = sum(((each - each.mean(axis=0)) ** 2).sum(axis=0) for each in values)
        return math.sqrt(float(np.mean(squares)) / free)

    windows = [group[:, : (group.shape[1] - 2) // 2].reshape(len(group), len(LOSSES), -1) for group in groups]
    found = {f"{name}, a window": pooled([each[:, row] for each in windows]) for row, name in enumerate(LOSSES)}
    for contrast in CONTRASTS:
        found[contrast.name] = pooled([np.array([contrast_of(contrast, run) for run in group]) for group in groups])
    for place, metric in enumerate(METRICS):
        found[metric] = pooled([group[:, place - len(METRICS)] for group in groups])
    return found
