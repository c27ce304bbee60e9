"""Verdicts on real small trainings, from the windows in benchmarks/convergence_seeds.yaml."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gbench.convergence.curves import LOSSES, EpochWindow
from gbench.convergence.judge import Subject, judge
from gbench.convergence.make_reference import make_reference, windows_of
from gbench.convergence.reference import Reference
from simulated_runs import Drawn

SEEDS = Path(__file__).resolve().parents[2] / "benchmarks" / "convergence_seeds.yaml"
RECIPE = "recipe"
EPOCHS, PAIRS = 40, 16


def read_runs() -> dict[str, list[Subject]]:
    found: dict[str, Any] = yaml.safe_load(SEEDS.read_text(encoding="utf-8"))
    return {name: [_trained(name, seed, run) for seed, run in enumerate(runs)] for name, runs in found.items()}


def _trained(name: str, seed: int, run: dict[str, Any]) -> Subject:
    windows: dict[tuple[str, int, int], EpochWindow] = {}
    for loss in LOSSES:
        pairs = zip([*windows_of(EPOCHS), (EPOCHS, EPOCHS)], run["means"][loss], run["sds"][loss], strict=True)
        for (first, last), mean, sd in pairs:
            count = (last - first + 1) * PAIRS
            windows[loss, first, last] = EpochWindow(mean, sd, sd / math.sqrt(count), count)
    curves = Drawn(EPOCHS, windows)
    return Subject(f"{name} {seed}", None, curves, None, run["quality"], True, seed=seed)


def reference_of(runs: list[Subject]) -> Reference:
    recipe = {"schedule.epochs": EPOCHS // 2, "schedule.epochs_decay": EPOCHS // 2, "batch_size": 1}
    return make_reference("drawn", f"{len(runs)} runs", recipe, runs)


def rates(
    runs: dict[str, list[Subject]], name: str, trusted: int, judged: int, draws: int, seed: int = 0
) -> tuple[float, float]:
    """Shares of draws that are not reproduced, and inconclusive: `judged` runs against `trusted` ones of the recipe."""
    rng, words = np.random.default_rng(seed), []
    for _ in range(draws):
        places = rng.permutation(len(runs[RECIPE]))
        reference = reference_of([runs[RECIPE][place] for place in places[:trusted]])
        others = [runs[RECIPE][place] for place in places[trusted:]]
        if name != RECIPE:
            others = [runs[name][place] for place in rng.permutation(len(runs[name]))]
        words.append(judge(reference, others[:judged]).verdict)
    return words.count("not reproduced") / draws, words.count("inconclusive") / draws
