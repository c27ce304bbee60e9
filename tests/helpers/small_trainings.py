"""Verdicts on real small trainings, from the windows in benchmarks/convergence_seeds.yaml."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gbench.convergence.batch_sizes import AnyReference, for_batch_size
from gbench.convergence.curves import LOSSES, EpochWindow
from gbench.convergence.judge import Subject, judge
from gbench.convergence.make_reference import make_reference, windows_of
from gbench.convergence.reference import Reference
from simulated_runs import Drawn

SEEDS = Path(__file__).resolve().parents[2] / "benchmarks" / "convergence_seeds.yaml"
RECIPE = "recipe"
LARGER = "batch 4"
EPOCHS, PAIRS = 40, 16


def read_runs() -> dict[str, list[Subject]]:
    found: dict[str, Any] = yaml.safe_load(SEEDS.read_text(encoding="utf-8"))
    return {name: [_trained(name, seed, run) for seed, run in enumerate(runs)] for name, runs in found.items()}


def _trained(name: str, seed: int, run: dict[str, Any]) -> Subject:
    windows: dict[tuple[str, int, int], EpochWindow] = {}
    for loss in LOSSES:
        pairs = zip([*windows_of(EPOCHS), (EPOCHS, EPOCHS)], run["means"][loss], run["sds"][loss], strict=True)
        for (first, last), mean, sd in pairs:
            count = (last - first + 1) * PAIRS // batch_size_of(name)
            windows[loss, first, last] = EpochWindow(mean, sd, sd / math.sqrt(count), count)
    curves = Drawn(EPOCHS, windows)
    return Subject(f"{name} {seed}", None, curves, None, run["quality"], True, seed=seed)


def batch_size_of(name: str) -> int:
    """Of the runs of this name: 'batch 2, lambda_L1 80' have 2."""
    return int(name.split()[1].rstrip(",")) if name.startswith("batch") else 1


def reference_of(runs: list[Subject], batch_size: int = 1) -> Reference:
    recipe = {"schedule.epochs": EPOCHS // 2, "schedule.epochs_decay": EPOCHS // 2, "batch_size": batch_size}
    return make_reference("drawn", f"{len(runs)} runs", recipe, runs)


def rates(
    runs: dict[str, list[Subject]], name: str, trusted: int, judged: int, draws: int, seed: int = 0
) -> tuple[float, float]:
    """Shares of draws that are not reproduced, and inconclusive: `judged` runs against `trusted` ones of the recipe.

    Runs of batch size 2 are judged between references of 1 and 4, of as many runs each.
    """
    rng, words = np.random.default_rng(seed), []

    def shuffled(name: str) -> list[Subject]:
        return [runs[name][place] for place in rng.permutation(len(runs[name]))]

    for _ in range(draws):
        own = shuffled(RECIPE)
        reference: AnyReference = reference_of(own[:trusted])
        if batch_size_of(name) > 1:
            larger = reference_of(shuffled(LARGER)[:trusted], batch_size_of(LARGER))
            reference = for_batch_size([reference, larger], batch_size_of(name))
        others = own[trusted:] if name == RECIPE else shuffled(name)
        words.append(judge(reference, others[:judged]).verdict)
    return words.count("not reproduced") / draws, words.count("inconclusive") / draws
