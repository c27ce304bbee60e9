"""The evaluation of one rank: its share of the test split through the generator.

As upstream's test.py (at 003efc4c), dropout and batch statistics stay on. Dropout is seeded per batch, and batches have
the same images for any number of ranks, so that results don't depend on it.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gbench.base.files import make_folder
from gbench.datasets.decode import decode_rgb
from gbench.datasets.manifest import hash_file
from gbench.errors import GbenchError, InfrastructureError, RunFailed
from gbench.measure import environment
from gbench.pix2pix import checkpoint
from gbench.pix2pix.data.pairs import AlignedDataset, collate
from gbench.pix2pix.data.transforms import Levels
from gbench.pix2pix.image_metrics import image_metrics, require_size, to_levels
from gbench.pix2pix.images import write_png
from gbench.pix2pix.nets import determinism
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.ranks.heartbeat import PATIENCE_STEPS, Heartbeat, hang_limit_s
from gbench.pix2pix.step import precision
from gbench.pix2pix.step.build_model import build_networks
from gbench.pix2pix.weights import generator_weights, load_generator
from gbench.runfolder import evaluation_result
from gbench.runfolder.evaluation_result import METRICS, SET_METRICS, Checkpoint, Evaluation, Image, spread
from gbench.runfolder.folder import VISUALS, RunFolder
from gbench.settings.spec import RunSpec

PROGRESS_S = 1.0  # between lines of progress


class Evaluator:
    """One rank's evaluation. inputs_dir: folder of the files that the spec names; None: their own paths.

    Raises:
        UsageError: the checkpoint is another network's, or a file has other weights.
        InfrastructureError: a file can't be read, or the disk failed.
        RunFailed: the device can't do what the spec asks for, or the generator's output is not finite.
    """

    def __init__(self, spec: RunSpec, folder: RunFolder, data_dir: Path, inputs_dir: Path | None, ranks: Ranks) -> None:
        assert spec.evaluation is not None, "the spec of a training"
        self.spec, self.config, self.folder, self.ranks, self.data_dir = spec, spec.evaluation, folder, ranks, data_dir
        config = self.config
        self.files = {name: inputs_dir / name if inputs_dir else Path(path) for name, path in config.inputs.items()}
        determinism.choose_kernels(deterministic=True, one_size=False)
        precision.set_precision(spec.precision, ranks.device)
        self.dataset = AlignedDataset(data_dir, spec.config.data, spec.seed)
        self.names = output_names(self.dataset.paths)
        self.generator = build_networks(spec)[0]
        values = checkpoint.load(self.files["checkpoint"])
        load_generator(
            self.generator, generator_weights(values, config.checkpoint), config.checkpoint, spec.config.network.netG
        )
        self.epoch = config.epoch or (values.get("epoch") if "model" in values else None)
        self.generator.to(ranks.device).train(not config.eval_mode)
        self.lpips: Callable[[Levels, Levels], float] | None = None
        if config.lpips_weights:
            from gbench.pix2pix.perceptual_metrics import build_lpips  # imports torchvision and torchmetrics: seconds

            self.lpips = build_lpips(self.files["lpips_weights"], config.lpips_weights)
        self.images_dir = folder.path / "images"
        self.ran: dict[str, Any] = {}
        self.heartbeat = Heartbeat()
        self.batch_times: deque[float] = deque(maxlen=PATIENCE_STEPS)
        self.batches_done = 0

    def run(self, heartbeat: Heartbeat | None = None) -> None:
        """Evaluate this rank's share; rank 0 writes evaluation.json for all ranks.

        heartbeat: where to note each batch; None: nobody watches.
        """
        self.heartbeat = heartbeat or self.heartbeat
        self.beat()
        make_folder(self.images_dir)
        size = self.spec.batch_per_device
        batches = [range(first, min(first + size, len(self.dataset))) for first in range(0, len(self.dataset), size)]
        mine: list[tuple[int, Image]] = []
        printed_s = time.monotonic()
        for number in range(self.ranks.rank, len(batches), self.ranks.world_size):
            begun_s = time.monotonic()
            mine += self.evaluate(batches[number])
            self.batches_done += 1
            self.batch_times.append(time.monotonic() - begun_s)
            self.beat(self.batch_times)
            if self.ranks.is_first and time.monotonic() - printed_s > PROGRESS_S:
                printed_s = time.monotonic()
                self.print_progress(min((number + self.ranks.world_size) * size, len(self.dataset)))
        shares = self.ranks.gather(mine)
        ran = self.ranks.gather(self.ran)[0]
        if not self.ranks.is_first:
            self.heartbeat.beat(0, self.batches_done)
            return
        self.print_progress(len(self.dataset))
        images = [image for _, image in sorted(pair for share in shares for pair in share)]
        self.beat()
        self.folder.write(evaluation_result.NAME, self.result(images, ran).model_dump())
        self.heartbeat.beat(0, self.batches_done)

    def beat(self, times: Sequence[float] = ()) -> None:
        """Note that this rank goes on. times: of the last batches; none: what comes may take long."""
        self.heartbeat.beat(hang_limit_s(self.spec.config.measure.hang_seconds, times), self.batches_done)

    def print_progress(self, done: int) -> None:
        """Print a line of progress."""
        print(f"evaluated {done} of {len(self.dataset)} images", flush=True)

    def evaluate(self, indices: range) -> list[tuple[int, Image]]:
        """Run one batch through the generator, write its images, and return their metrics with their indices."""
        batch = collate([self.dataset[0, index] for index in indices])
        if isinstance(batch, GbenchError):
            raise batch
        real_A, real_B, paths = batch
        require_size(*real_B.shape[-2:])
        determinism.seed_image(self.spec.seed, indices[0])
        fake_B = self.generate(real_A)
        results = []
        for place, index in enumerate(indices):
            name = self.names[index]
            if not bool(torch.isfinite(fake_B[place]).all()):
                raise RunFailed(
                    f"the generator of {self.config.checkpoint} gives NaN for {paths[place]}",
                    "its training diverged: take an earlier checkpoint",
                )
            three = map(to_levels, (real_A[place], fake_B[place], real_B[place]))
            shown = dict(zip(VISUALS, three, strict=True))
            for kind, levels in shown.items():
                write_png(levels, self.images_dir / f"{name}_{kind}.png")
            metrics = image_metrics(fake_B[place], real_B[place])
            if self.lpips is not None:
                metrics["LPIPS"] = self.lpips(shown["fake_B"], shown["real_B"])
            source = self.dataset.paths[index].relative_to(self.data_dir).as_posix()
            results.append((index, Image(name=name, source=source, metrics=metrics)))
        return results

    @torch.no_grad()
    def generate(self, real_A: Tensor) -> Tensor:
        """Output of G, (N, 3, height, width) float32 on the CPU. Raises RunFailed: another precision ran."""
        device, dtype = self.ranks.device, precision.AUTOCAST[self.spec.precision]
        with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
            fake_B: Tensor = self.generator(real_A.to(device))
        self.ran = precision.confirmed(self.spec.precision, fake_B.dtype)
        return fake_B.float().cpu()

    def result(self, images: list[Image], ran: dict[str, Any]) -> Evaluation:
        spec, config = self.spec, self.config
        not_computed = (
            {} if self.lpips else {"LPIPS": "no weights: gbench eval takes --lpips-weights or installed ones"}
        )
        set_metrics: dict[str, float] = {}
        if config.fid_weights is None:
            not_computed |= dict.fromkeys(SET_METRICS, "no weights: gbench eval takes --fid-weights, or installed ones")
        elif len(images) < 2:
            not_computed |= dict.fromkeys(SET_METRICS, "it takes two images or more")
        else:
            set_metrics = self.distances(images, config.fid_weights)
        names = [name for name in METRICS if name in images[0].metrics]
        return Evaluation(
            model=spec.model,
            checkpoint=Checkpoint(
                path=config.checkpoint,
                sha256=hash_file(self.files["checkpoint"]).sha256,
                epoch=self.epoch,
                run_id=config.run_id,
            ),
            dropout=spec.config.network.dropout and not config.eval_mode,
            statistics="running" if config.eval_mode else "batch",
            seed=spec.seed,
            batch_size_per_device=spec.batch_per_device,
            device=environment.device_name(self.ranks.device),
            device_count=self.ranks.world_size,
            precision=ran["ran"],
            dataset=spec.dataset,
            dataset_sha256=self.folder.host().dataset.sha256,
            network=spec.config.network,
            data=spec.config.data,
            software=environment.software(),
            metrics={name: spread(image.metrics[name] for image in images) for name in names},
            set_metrics=set_metrics,
            not_computed=not_computed,
            images=images,
        )

    def distances(self, images: list[Image], weights: str) -> dict[str, float]:
        from gbench.pix2pix.perceptual_metrics import set_distances  # imports torchvision and torchmetrics: seconds

        print(f"{' and '.join(SET_METRICS)} of {len(images)} images", flush=True)
        files = [[self.images_dir / f"{image.name}_{kind}.png" for image in images] for kind in ("fake_B", "real_B")]
        fakes, reals = ([np.array(decode_rgb(path)) for path in paths] for paths in files)
        return set_distances(self.files["fid_weights"], weights, fakes, reals, self.beat)


def output_names(paths: list[Path]) -> list[str]:
    """Prefix of each pair's output files: its stem, as in upstream. Raises InfrastructureError: two are equal."""
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(path.stem, path)
        if other != path:
            raise InfrastructureError(f"{other} and {path} would be written under one name", "rename one of them")
    return list(seen)
