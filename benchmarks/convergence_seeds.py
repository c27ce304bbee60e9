"""How often the verdict on real small trainings is right: seeds of one recipe, and of recipes that are wrong.

    python benchmarks/convergence_seeds.py train --out runs     (10 CPU minutes)
    python benchmarks/convergence_seeds.py table --out runs > benchmarks/convergence_seeds.yaml
    python benchmarks/convergence_seeds.py judge [--draws 400]

`train` draws 16 pairs of 36 pixels and trains ResNet-9 with 8 filters on crops of 32 for 20 + 20 epochs: 20 seeds of
the recipe, 2 of each wrong one, 8 each at batch sizes 2 and 4. Existing runs are kept. `table` prints their windows,
which `judge` reads: it draws references and sets of runs from these seeds, none of them in both. Runs at batch size 2
are judged between references of 1 and 4. Its table is in docs/convergence.md.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import yaml
from command import at_least_one, parser_of, run
from convergence_effects import Scale, one_process, train

from gbench.convergence import tolerance
from gbench.convergence.curves import LOSSES, of_run, whole
from gbench.convergence.make_reference import windows_of
from gbench.datasets.synth import synth
from gbench.runfolder.folder import RunFolder
from small_trainings import LARGER, RECIPE, rates, read_runs

SMALL = Scale(load_size=36, crop_size=32, filters=8, epochs=20)
PAIRS = {"train": 16, "test": 8}
SEEDS, OTHER_SEEDS, BATCH_SEEDS = 20, 2, 8
WRONG: dict[str, tuple[str, ...]] = {
    "lambda_L1 80": ("optim.lambda_L1=80",),
    "lambda_L1 120": ("optim.lambda_L1=120",),
    "D's lr halved": (),
    "dropout off": ("network.dropout=false",),
    "flip off": ("data.flip=false",),
    "wrong direction": ("data.direction=AtoB",),
}
BATCHES: dict[str, tuple[int, tuple[str, ...], int]] = {  # batch size, settings, seeds
    **{f"batch {size}": (size, (), BATCH_SEEDS) for size in (2, 4)},
    "batch 2, lambda_L1 80": (2, WRONG["lambda_L1 80"], OTHER_SEEDS),
    "batch 2, lambda_L1 120": (2, WRONG["lambda_L1 120"], OTHER_SEEDS),
}


def run_id_of(name: str, seed: int) -> str:
    return f"{name}-{seed}".replace(" ", "_").replace("'", "").replace(",", "")


def train_all(out: Path) -> None:
    """Every run that is not there, the recipe's own first."""
    with tempfile.TemporaryDirectory() as place, one_process(Path(place)):
        data = Path(place) / "data"
        synth(data, PAIRS, SMALL.load_size)
        wanted = [(RECIPE, 1, (), seed) for seed in range(SEEDS)]
        wanted += [(name, 1, settings, seed) for seed in range(OTHER_SEEDS) for name, settings in WRONG.items()]
        wanted += [(name, size, rest, seed) for name, (size, rest, seeds) in BATCHES.items() for seed in range(seeds)]
        for name, batch_size, settings, seed in wanted:
            run_id = run_id_of(name, seed)
            if not (out / run_id / "quality.json").exists():
                rate = 0.5 if name == "D's lr halved" else 1.0
                train(run_id, settings, seed, data, out, SMALL, rate, batch_size)


def table(out: Path) -> dict[str, Any]:
    """Means and spreads of each run's windows, of its last epoch at the end, and its image quality."""
    found: dict[str, Any] = {}
    for name in (RECIPE, *WRONG, *BATCHES):
        for seed in range(SEEDS):
            place = out / run_id_of(name, seed)
            if not (place / "quality.json").exists():
                continue
            curves = of_run(RunFolder(place))
            places = [*windows_of(curves.last_epoch), (curves.last_epoch, curves.last_epoch)]
            losses = {loss: whole([curves.window(loss, *window) for window in places]) for loss in LOSSES}
            quality = json.loads((place / "quality.json").read_text())
            found.setdefault(name, []).append(
                {
                    "means": {loss: [float(f"{one.mean:.3g}") for one in each] for loss, each in losses.items()},
                    "sds": {loss: [float(f"{one.sd:.2g}") for one in each] for loss, each in losses.items()},
                    "quality": {metric: float(f"{value:.4g}") for metric, value in quality.items()},
                }
            )
    return found


def judge_all(draws: int) -> None:
    """Print how often sets of seeds are called different, against references of other seeds of the recipe."""
    runs = read_runs()
    print(f"Verdicts in % of {draws} draws: not reproduced, inconclusive\n")
    print("| runs | reference | judged | before: not reproduced | not reproduced | inconclusive |")
    print("|---" * 6 + "|")
    cases = [(RECIPE, *sizes) for sizes in ((5, 10), (5, 5), (5, 2), (5, 1), (3, 3), (2, 2), (1, 1), (1, 2), (1, 5))]
    cases += [(name, 5, judged) for name in WRONG if name in runs for judged in {len(runs[name]), 1}]
    cases += [(name, 5, judged) for name in BATCHES if name != LARGER for judged in {min(len(runs[name]), 5), 1}]
    for name, trusted, judged in cases:
        known, tolerance.MEASURED = tolerance.MEASURED, math.inf  # the assumed spread always pooled
        before = sum(rates(runs, name, trusted, judged, draws))  # and whatever is outside, however little
        tolerance.MEASURED = known
        shares = (before, *rates(runs, name, trusted, judged, draws))
        cells = " | ".join(f"{100 * share:.1f}" for share in shares)
        print(f"| {name} | {trusted} | {judged} | {cells} |", flush=True)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("job", choices=("train", "table", "judge"))
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--draws", type=at_least_one, default=400)
    given = parser.parse_args()
    if given.job == "train":
        train_all(given.out)
    elif given.job == "table":
        print(yaml.safe_dump(table(given.out), sort_keys=False, default_flow_style=None, width=120), end="")
    else:
        judge_all(given.draws)


if __name__ == "__main__":
    run(main)
