"""What a wrong recipe does to the loss curves, measured on scaled-down runs of this project's own training.

    python benchmarks/convergence_effects.py train --data data/facades --out runs [--seeds 5]
    python benchmarks/convergence_effects.py table --out runs

`train` runs each variant with each seed on one core: ResNet-9 with 16 filters, 64 pixels, 40 pairs, batch 1, 30 + 30
epochs (2,400 steps, about two minutes), then evaluates the generator on 10 other pairs. Variants beyond the first two
get one seed: their effects are large. Existing runs are kept. `table` prints each run's figures in the format of
benchmarks/convergence_effects.yaml, which benchmarks/convergence.py reads.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import yaml
from command import at_least_one, parser_of, run
from PIL import Image

from gbench.convergence.curves import LOSSES, of_run
from gbench.convergence.make_reference import windows_of
from gbench.pix2pix.data.pair_loader import PairLoader, Share
from gbench.pix2pix.data.pairs import AlignedDataset
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.trainer import Trainer
from gbench.runfolder.folder import RunFolder
from gbench.settings.request import Request
from gbench.settings.resolve import resolve

PAIRS, TEST_PAIRS = 40, 10


@dataclass(frozen=True)
class Scale:
    """How small a run is. Epochs: as many again with a falling learning rate."""

    load_size: int = 72
    crop_size: int = 64
    filters: int = 16
    epochs: int = 30

    @property
    def settings(self) -> tuple[str, ...]:
        return (
            *(f"data.load_size={self.load_size}", f"data.crop_size={self.crop_size}", "data.workers=0"),
            *(f"network.ngf={self.filters}", f"network.ndf={self.filters}"),
            *(f"schedule.epochs={self.epochs}", f"schedule.epochs_decay={self.epochs}"),
            *("schedule.checkpoint_every=0", "schedule.print_every=1000"),
            *("measure.peak_seconds=0", "measure.telemetry_hz=0"),
        )


SCALE = Scale()
RATE_OF_D = {"D_not_trained": 0.0}  # variant -> learning rate of D, as a share of the recipe's
VARIANTS: dict[str, tuple[str, ...]] = {
    "reference": (),
    "lr_doubled": ("optim.lr=4e-4",),
    "lambda_L1_50": ("optim.lambda_L1=50",),
    "D_not_trained": (),
}


def shrink(data: Path, folder: Path) -> None:
    """Copy the first pairs of a dataset (its train split, else its test split), scaled down so that they load fast."""
    split = next(data / name for name in ("train", "test") if (data / name).is_dir())
    paths = sorted(split.iterdir())[: PAIRS + TEST_PAIRS]
    for phase, chosen in (("train", paths[:PAIRS]), ("test", paths[PAIRS:])):
        (folder / phase).mkdir(parents=True)
        for path in chosen:
            with Image.open(path) as pair:
                small = pair.convert("RGB").resize((2 * SCALE.load_size, SCALE.load_size), Image.Resampling.BICUBIC)
            small.save(folder / phase / f"{path.stem}.png")


def train(
    run_id: str,
    settings: tuple[str, ...],
    seed: int,
    data: Path,
    out: Path,
    scale: Scale = SCALE,
    rate_of_D: float = 1.0,
    batch_size: int = 1,
) -> None:
    """One run, its folder under OUT/RUN_ID. settings: those of the variant. rate_of_D: as a share of the recipe's."""
    request = Request(
        *("pix2pix_resnet_9blocks", batch_size, 1, "FP32"),
        recipe="convergence",
        device="cpu",
        runner="local",
        seed=seed,
        settings=(*scale.settings, *settings),
        results_dir=str(out),
    )
    spec = resolve(request, {}).spec.model_copy(update={"run_id": run_id})
    folder = RunFolder.create(spec)
    trainer = Trainer(spec, folder, data, Ranks(0, 1, torch.device("cpu")))
    of_D = trainer.state.schedulers[1]
    of_D.base_lrs = [rate_of_D * rate for rate in of_D.base_lrs]
    trainer.run()
    (folder.path / "quality.json").write_text(json.dumps(quality(trainer, data)))


@contextmanager
def one_process(place: Path) -> Iterator[None]:
    """torch.distributed with this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{place}/store", rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def quality(trainer: Trainer, data: Path) -> dict[str, float]:
    """MAE on [-1, 1] and PSNR in dB on 8 bits, means over the test pairs, with dropout and batch statistics on."""
    config = trainer.spec.config.data.model_copy(
        update={"phase": "test", "load_size": trainer.spec.config.data.crop_size, "flip": False, "shuffle": False}
    )
    loader = PairLoader(AlignedDataset(data, config, seed=0), Share(1, 0, 1, drop_last=False), pin_memory=False)
    loader.set_epoch(1)
    errors, ratios = [], []
    for real_A, real_B, _ in loader:
        fake_B = trainer.model.forward(real_A)
        errors.append(float((fake_B - real_B).abs().mean()))
        fake, real = (((image + 1) * 127.5).round() for image in (fake_B, real_B))
        ratios.append(10 * math.log10(255**2 / float(((fake - real) ** 2).mean())))
    return {"MAE": statistics.fmean(errors), "PSNR": statistics.fmean(ratios)}


def train_all(data: Path, out: Path, seeds: int) -> None:
    """Every variant with every seed, a seed at a time."""
    with tempfile.TemporaryDirectory() as place:
        small = Path(place)
        shrink(data, small)
        with one_process(small):
            for seed in range(seeds):
                for number, (variant, settings) in enumerate(VARIANTS.items()):
                    if (number < 2 or seed < 1) and not (out / f"{variant}-{seed}").exists():
                        rate = RATE_OF_D.get(variant, 1.0)
                        train(f"{variant}-{seed}", settings, seed, small, out, rate_of_D=rate)


def table(out: Path) -> dict[str, Any]:
    """The figures of each complete run.

    Natural logarithms of its window means and of the relative spreads of single losses, its image quality, and the
    factor by which the variance of a window's mean exceeds that of as many independent iterations.
    """
    found: dict[str, Any] = {}
    for variant in VARIANTS:
        for place in sorted(path.parent for path in out.glob(f"{variant}-*/quality.json")):
            curves = of_run(RunFolder(place))
            windows = {
                name: [curves.window(name, *window) for window in windows_of(curves.last_epoch)] for name in LOSSES
            }
            half = {name: curves.window(name, curves.last_epoch // 2 + 1, curves.last_epoch) for name in LOSSES}
            found.setdefault(variant, []).append(
                {
                    "log_means": {
                        name: [round(math.log(one.mean), 4) for one in found_windows if one]
                        for name, found_windows in windows.items()
                    },
                    "log_spreads": {
                        name: [round(math.log(one.sd / one.mean), 4) for one in found_windows if one]
                        for name, found_windows in windows.items()
                    },
                    "quality": json.loads((place / "quality.json").read_text()),
                    "variance_factor": {
                        name: round((one.standard_error / one.sd) ** 2 * one.count, 3)
                        for name, one in half.items()
                        if one
                    },
                }
            )
    return found


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("job", choices=("train", "table"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=at_least_one, default=5)
    given = parser.parse_args()
    if given.job == "train":
        train_all(given.data, given.out, given.seeds)
    else:
        print(yaml.safe_dump(table(given.out), sort_keys=False, default_flow_style=None, width=120), end="")


if __name__ == "__main__":
    run(main)
