"""How often the verdict of `gbench converge --check` is right, on simulated runs; the table of docs/convergence.md.

    python benchmarks/convergence.py [--draws 1000]

A draw is a new pair: a reference of 800 printed lines and the runs held against it, both about the published run's
curves. What differs between runs of one recipe, and what a wrong recipe does to the curves, is taken from scaled-down
runs of this project's own training (convergence_effects.yaml, measured by convergence_effects.py): relative shifts of
each window's mean, laid over the published curves. Nothing is known of the real between-run spread of full-size runs.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from gbench.convergence.curves import LOSSES, Curves, Window
from gbench.convergence.making import make_reference
from gbench.convergence.reference import Reference, load_reference
from gbench.convergence.verdict import Subject, Verdict, judge

Floats = NDArray[np.float64]
HERE = Path(__file__).resolve().parent
PUBLISHED = HERE.parent / "configs" / "reference" / "pix2pix_resnet_9blocks-v100-fp32.yaml"
EFFECTS = HERE / "convergence_effects.yaml"
ITERATIONS = 400  # an epoch
PRINTED = 4  # of them
METRICS = ("MAE", "PSNR")
RECIPES = {
    "true reproduction": "reference",
    "lr doubled": "lr_doubled",
    "lambda_L1 50": "lambda_L1_50",
    "D never trained": "D_not_trained",
}


class Drawn(Curves):
    """Curves of which only the means of windows were drawn: what 320,000 single losses would be reduced to."""

    def __init__(self, epochs: int, windows: dict[tuple[str, int, int], Window]) -> None:
        super().__init__(np.arange(1, epochs + 1), {})
        self.windows = windows

    def window(self, loss: str, first: int, last: int) -> Window | None:
        return self.windows.get((loss, first, last))


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
        """Log window means and log metrics of the measured runs of a variant, (runs, 4 * 20 + 2)."""
        return np.array(
            [
                [*(value for name in LOSSES for value in run["log_means"][name])]
                + [math.log(run["quality"][metric]) for metric in METRICS]
                for run in self.measured[variant]
            ]
        )

    @cached_property
    def residuals(self) -> Floats:
        """Deviations of measured runs from the mean of their variant, scaled so that a random sum of them has the
        pooled between-run covariance, (runs, 82)."""
        groups = [self.table(variant) for variant in ("reference", "lr_doubled")]
        centred = np.concatenate([group - group.mean(axis=0) for group in groups])
        return centred / math.sqrt(sum(len(group) - 1 for group in groups))

    def effect(self, variant: str) -> Floats:
        """What a variant shifts, against the reference's recipe, (82,)."""
        shift: Floats = self.table(variant).mean(axis=0) - self.table("reference").mean(axis=0)
        return shift

    def run(self, variant: str, lines: int | None) -> Subject:
        """A run with its end and its evaluation. lines: printed ones an epoch; None: all iterations are known."""
        between = self.rng.standard_normal(len(self.residuals)) @ self.residuals * self.spread
        shift = self.effect(variant) + between
        means = np.exp(self.log_means + shift[:-2].reshape(self.log_means.shape))
        quality = {
            metric: math.log(self.published.runs[0].quality[metric]) + change  # type: ignore[index]
            for metric, change in zip(METRICS, shift[-2:], strict=True)
        }
        windows: dict[tuple[str, int, int], Window] = {}
        last = self.published.epochs
        for row, name in enumerate(LOSSES):
            for place, (first, end) in enumerate([*self.published.windows, (last, last)]):
                column = min(place, len(self.published.windows) - 1)
                count = (end - first + 1) * (lines or ITERATIONS)
                windows[name, first, end] = self.window(means[row, column], self.share_sd[row, column], count)
        metrics = {metric: math.exp(value) for metric, value in quality.items()}
        return Subject("drawn", None, Drawn(last, windows), None, metrics, True)

    def window(self, mean: float, share: float, count: int) -> Window:
        """A window of lognormal losses: drawn one by one where they are few, else their mean alone."""
        if count > 1000:
            error = share * mean / math.sqrt(count)
            return Window(mean + error * self.rng.standard_normal(), share * mean, error, count)
        sigma = math.sqrt(math.log1p(share**2))
        values = mean * np.exp(sigma * self.rng.standard_normal(count) - sigma**2 / 2)
        sd = float(values.std(ddof=1))
        return Window(float(values.mean()), sd, sd / math.sqrt(count), count)

    def verdicts(self, variant: str, draws: int, seeds: int, lines: int | None) -> Iterator[Verdict]:
        """Verdicts on sets of runs of a variant, each against a new reference of printed lines."""
        published = self.published
        for _ in range(draws):
            trusted = self.run("reference", PRINTED)
            reference = make_reference(published.model, published.description, published.recipe, [trusted])
            yield judge(reference, [self.run(variant, lines) for _ in range(seeds)])


def build(seed: int = 0, spread: float = 1.0) -> Simulator:
    """The simulator of this project's reference and measurements."""
    measured = yaml.safe_load(EFFECTS.read_text(encoding="utf-8"))["runs"]
    return Simulator(load_reference(PUBLISHED), measured, np.random.default_rng(seed), spread)


def found_by(verdict: Verdict) -> set[str]:
    """The kinds of comparison that called a run different."""
    kinds = {"bands"} if verdict.departures else set()
    for one in verdict.comparisons:
        if not one.inside:
            last = " of epoch " in one.name
            kinds.add("last epoch" if last else "quality" if one.name in METRICS else "contrasts")
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    draws = parser.parse_args().draws
    kinds = ("bands", "contrasts", "last epoch", "quality")
    print(f"Verdicts in % of {draws} draws\n")
    print("| recipe | runs | losses | between runs | reproduced | not reproduced | " + " | ".join(kinds) + " |")
    print("|---" * (6 + len(kinds)) + "|")
    cases = [(1, None, 1.0), (5, None, 1.0), (1, PRINTED, 1.0), (1, None, 0.5), (1, None, 1.5)]
    for title, variant in RECIPES.items():
        for seeds, lines, spread in cases:
            verdicts = list(build(spread=spread).verdicts(variant, draws, seeds, lines))
            words = Counter(one.verdict for one in verdicts)
            reasons = Counter(kind for one in verdicts for kind in found_by(one))
            shares = [words["reproduced"], words["not reproduced"], *(reasons[kind] for kind in kinds)]
            cells = " | ".join(f"{100 * share / draws:.1f}" for share in shares)
            kept = "printed" if lines else "all"
            print(f"| {title} | {seeds} | {kept} | x {spread:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
