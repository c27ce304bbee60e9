"""evaluation.json: the metrics of a generator on a test split.

An evaluation has its own run folder, with spec.json, host.json and log.txt as in any run, and

    evaluation.json      settings, metrics of each image, their mean and standard deviation; rank 0, at the end
    images/              N_real_A.png, N_fake_B.png, N_real_B.png, under upstream's names; every rank
    gallery.html         images and metrics as a page; host, at the end
"""

import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from gbench.runfolder.folder import RunFolder
from gbench.settings.model_config import DataConfig, Frozen, NetworkConfig

NAME = "evaluation.json"
FINAL = Path("evaluations") / "final"  # folder of a convergence run's final evaluation, below that of the run


class Metric(NamedTuple):
    """How to read a metric."""

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
    path: str
    sha256: str
    epoch: int | None
    """Epoch after which it was saved; None if unknown."""
    run_id: str | None


class Spread(Frozen):
    """Mean and sample standard deviation over images; null if not finite, or from too few images."""

    mean: float | None
    sd: float | None


class Image(Frozen):
    name: str
    """Prefix of its files in images/."""
    source: str
    metrics: dict[str, float | None]
    """By name; null if infinite (equal images)."""


class Evaluation(Frozen):
    model: str
    checkpoint: Checkpoint
    dropout: bool
    statistics: str
    """Statistics that its normalisation used: `batch` or `running`."""
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
    """By name, as the next two: METRICS over images."""
    set_metrics: dict[str, float]
    not_computed: dict[str, str]
    """Why a metric is absent."""
    images: Annotated[list[Image], Field(min_length=1)]

    @property
    def mode(self) -> str:
        """How the generator ran, in words."""
        if self.statistics == "running":
            return "dropout off, running statistics"
        return f"as upstream's test.py: dropout {'on' if self.dropout else 'none'}, batch statistics; seed {self.seed}"

    @property
    def absent(self) -> list[tuple[str, str]]:
        """The metrics that were not computed, grouped by reason, and the reason."""
        reasons = dict.fromkeys(self.not_computed.values())
        return [(" and ".join(name for name, its in self.not_computed.items() if its == why), why) for why in reasons]

    @property
    def trained(self) -> str:
        """What was evaluated, in words."""
        name = Path(self.checkpoint.path).name
        return f"{name}, epoch {self.checkpoint.epoch}" if self.checkpoint.epoch else name


def spread(values: Iterable[float | None]) -> Spread:
    """Mean and standard deviation of one metric over images."""
    numbers = [math.inf if value is None else value for value in values]
    if not all(map(math.isfinite, numbers)):
        return Spread(mean=None, sd=None)
    return Spread(mean=statistics.fmean(numbers), sd=statistics.stdev(numbers) if len(numbers) > 1 else None)


def read_evaluation(folder: RunFolder) -> Evaluation | None:
    """The evaluation in its run folder; None if it did not finish. Raises InfrastructureError: it can't be used."""
    return read_evaluation_file(folder.path / NAME)


def read_evaluation_file(path: Path) -> Evaluation | None:
    """`read_evaluation` of a file with any name."""
    return RunFolder(path.parent).read_as(path.name, Evaluation, "evaluate the checkpoint again")


def final_of(run: RunFolder) -> RunFolder:
    return RunFolder(run.path / FINAL)


def read_final(run: RunFolder) -> Evaluation | None:
    """The final evaluation of a convergence run, if any. Raises InfrastructureError: as `read_evaluation`."""
    return read_evaluation(final_of(run))
