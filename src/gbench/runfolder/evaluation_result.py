"""evaluation.json: what a generator made of a test split, in figures. Next to folder.py, and read by the same rules.

An evaluation has a run folder of its own: spec.json, host.json, log.txt as any run, and

    evaluation.json      settings, metrics of each image, their mean and deviation; rank 0, at the end
    images/              N_real_A.png, N_fake_B.png, N_real_B.png, under upstream's names; every rank
    gallery.html         all of it to look at; host, at the end
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import DataConfig, Frozen, NetworkConfig

NAME = "evaluation.json"
FINAL = Path("evaluations") / "final"  # below a convergence run's folder: the evaluation that it ends with


class Metric(NamedTuple):
    """How a metric is to be read."""

    higher_is_better: bool
    unit: str
    meaning: str


# Of each image, between fake_B and real_B.
METRICS = {
    "MAE": Metric(False, "", "mean absolute error on the [-1, 1] scale"),
    "PSNR": Metric(True, "dB", "peak signal-to-noise ratio of the 8-bit RGB images"),
    "SSIM": Metric(True, "", "structural similarity of the 8-bit RGB images"),
    "LPIPS": Metric(False, "", "learned perceptual distance of the 8-bit RGB images"),
}
# Of all images together.
SET_METRICS = {
    "FID": Metric(False, "", "Fréchet Inception distance between all fake_B and all real_B"),
    "KID": Metric(False, "", "kernel Inception distance between all fake_B and all real_B, unbiased"),
}


class Checkpoint(Frozen):
    """What was evaluated. epoch: after which it was saved, where that is known; run_id: of its training, likewise."""

    path: str
    sha256: str
    epoch: int | None
    run_id: str | None


class Spread(Frozen):
    """Mean and sample standard deviation over images; null where they are not finite, or of too few images."""

    mean: float | None
    sd: float | None


class Image(Frozen):
    """One pair. name: what its files in images/ begin with. metrics: by name; null where infinite (equal images)."""

    name: str
    source: str
    metrics: dict[str, float | None]


class Evaluation(Frozen):
    """One evaluation.

    dropout, statistics: what the generator ran with. network, data: the settings in use. metrics: over images.
    set_metrics: of all images together. not_computed: why a metric is absent.
    """

    model: str
    checkpoint: Checkpoint
    dropout: bool
    statistics: str
    seed: int
    batch_size_per_device: int
    device: str
    device_count: int
    precision: str
    dataset: str
    dataset_sha256: str | None
    network: NetworkConfig
    data: DataConfig
    software: dict[str, Any]
    metrics: dict[str, Spread]
    set_metrics: dict[str, float]
    not_computed: dict[str, str]
    images: list[Image]

    @property
    def mode(self) -> str:
        """What the generator ran with, in words."""
        if self.statistics == "running":
            return "dropout off, running statistics"
        return f"as upstream's test.py: dropout {'on' if self.dropout else 'none'}, batch statistics; seed {self.seed}"

    @property
    def absent(self) -> list[tuple[str, str]]:
        """The metrics that were not computed, those of one reason together, and the reason."""
        reasons = dict.fromkeys(self.not_computed.values())
        return [(" and ".join(name for name, its in self.not_computed.items() if its == why), why) for why in reasons]

    @property
    def trained(self) -> str:
        """What was evaluated, in words."""
        name = Path(self.checkpoint.path).name
        return f"{name}, epoch {self.checkpoint.epoch}" if self.checkpoint.epoch else name


def spread(values: Iterable[float | None]) -> Spread:
    """Mean and deviation of one metric over images."""
    numbers = [math.inf if value is None else value for value in values]
    if not all(map(math.isfinite, numbers)):
        return Spread(mean=None, sd=None)
    return Spread(mean=statistics.fmean(numbers), sd=statistics.stdev(numbers) if len(numbers) > 1 else None)


def read_evaluation(folder: RunFolder) -> Evaluation | None:
    """The evaluation in its run folder; None when it did not come to its end.

    Raises:
        InfrastructureError: it is there but broken, or of another version.
    """
    return read_evaluation_file(folder.path / NAME)


def read_evaluation_file(path: Path) -> Evaluation | None:
    """As `read_evaluation`, from a file of any name."""
    return RunFolder(path.parent).read_as(path.name, Evaluation, "evaluate the checkpoint again")


def final_of(run: RunFolder) -> RunFolder:
    """The folder of the evaluation that a convergence run ends with."""
    return RunFolder(run.path / FINAL)


def read_final(run: RunFolder) -> Evaluation | None:
    """The evaluation that a convergence run ended with; None where there is none. Raises InfrastructureError."""
    return read_evaluation(final_of(run))
