"""Runs and references with drawn losses, and the published run's log lines."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from gbench.convergence.curves import LOSSES
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import RunSpec
from run_folders import write_run

EPOCHS, STEPS = 40, 25  # of drawn runs, steps of an epoch
SETTINGS = ("schedule.epochs=20", "schedule.epochs_decay=20")
MEANS = {"G_GAN": 2.5, "G_L1": 30.0, "D_real": 0.3, "D_fake": 0.3}
SPREADS = {"G_GAN": 0.3, "G_L1": 0.19, "D_real": 1.0, "D_fake": 1.0}  # of single losses, as shares


def drawn_losses(seed: int, factors: Mapping[str, float] | None = None) -> Callable[[int], dict[str, float]]:
    """Losses per step: lognormal about slowly decreasing means, times `factors`."""
    rng = np.random.default_rng(seed)
    scales = {name: MEANS[name] * (factors or {}).get(name, 1.0) for name in LOSSES}

    def losses(step: int) -> dict[str, float]:
        fall = 1 - 0.3 * step / (EPOCHS * STEPS)
        return {
            name: scale * fall * float(np.exp(SPREADS[name] * rng.standard_normal() - SPREADS[name] ** 2 / 2))
            for name, scale in scales.items()
        }

    return losses


def convergence_run(
    spec: RunSpec, seed: int = 0, factors: Mapping[str, float] | None = None, steps: int | None = None
) -> RunFolder:
    """The folder of a convergence run with drawn losses; with fewer steps than planned, a run that was stopped."""
    planned = EPOCHS * STEPS
    return write_run(
        spec.model_copy(update={"run_id": f"run-{seed}", "seed": seed}),
        steps=steps or planned,
        planned_steps=planned,
        losses=drawn_losses(seed, factors),
        epoch=lambda step: (step - 1) // STEPS + 1,
    )


def published_lines(path: Path, factors: Mapping[str, float] | None = None) -> list[str]:
    """The published run's log lines in upstream's format, losses times `factors`."""
    lines = []
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            losses = "".join(f"{name}: {float(row[name]) * (factors or {}).get(name, 1.0):.3f} " for name in LOSSES)
            head = f"epoch: {row['epoch']}, iters: {row['iters']}, time: {row['time_s']}, data: {row['data_s']}"
            lines.append(f"({head}) {losses}")
    return lines
