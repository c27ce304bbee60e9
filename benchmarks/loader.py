"""How fast batches come from files, from a cache, and from pairs on the device, in alternating blocks.

    python benchmarks/loader.py [--rounds 40] [--dataset data/facades] [--device cuda] [--json]

On one core, with one thread of torch and no loader processes, in the recipe's sizes: scaled to 286 pixels, crops of 256
with flips. Two stages are timed:

    levels    a batch of uint8 levels on the host, decoded and scaled (plain) or mapped (cached), cropped and flipped
    tensors   what the training takes: float32 in [-1, 1], on the device

Plain is the project's own loader, which repeats upstream's operations for every picture in every epoch. Rates are
images per second of processor time, so of one otherwise idle core (with --device cuda, per second of wall time). A
round is a block of each, and ratios are taken within rounds, so other load on the machine affects all alike. Prints
medians over the rounds with 95 % intervals, and how long a start with an existing cache takes on all cores, until its
whole file is checked and mapped. Without --dataset, 400 pairs of 512x256 pixels are drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from command import at_least_one, parser_of, run
from rows import Row, machine
from timing import Median, alternate, columns, seconds

from gbench.datasets.manifest import dataset_hash
from gbench.datasets.synth import synth
from gbench.pix2pix.data.decoded import CachedLoader, ResidentLoader, crop_and_flip
from gbench.pix2pix.data.pair_cache import CacheFolder, identity_of, map_pairs, prepare
from gbench.pix2pix.data.pair_file import Levels
from gbench.pix2pix.data.pair_loader import Loader, PairLoader, Share
from gbench.pix2pix.data.pairs import AlignedDataset
from gbench.settings.model_config import DataConfig

BATCH = 8
PLAIN_IMAGES, FAST_IMAGES = 24, 960  # a block
STARTS = 31


def levels_by(dataset: AlignedDataset, pair: Callable[[int], Levels]) -> Iterator[int]:
    """Make batches of levels, cropped and flipped from `pair(index)`; yields their sizes, endlessly."""
    side = dataset.config.crop_size
    out = np.empty((BATCH, 2, 3, side, side), np.uint8)
    for epoch in count(1):
        for first in range(0, len(dataset) - BATCH + 1, BATCH):
            for index, place in enumerate(out, first):
                levels = pair(index)
                crop_and_flip(levels, dataset.draw((epoch, index), (levels.shape[-1], levels.shape[-2])), place)
            yield BATCH


def tensors_of(loader: Loader) -> Iterator[int]:
    """Load batches; yields their sizes, endlessly."""
    for epoch in count(1):
        loader.set_epoch(epoch)
        for batch in loader:
            yield len(batch.real_A)


def rate(batches: Iterator[int], images: int, device: torch.device) -> float:
    """Images per second of processor time of all threads over a block; with a GPU, of wall time."""
    on_gpu = device.type == "cuda"
    now = time.perf_counter if on_gpu else time.process_time
    start_s = now()
    done = sum(islice(batches, images // BATCH))
    if on_gpu:
        torch.cuda.synchronize(device)
    return done / (now() - start_s)


def measure(arguments: argparse.Namespace, root: Path, cache_dir: Path) -> dict[str, Any]:
    """All figures, as --json prints them: images/s, ratios to plain, seconds."""
    device = torch.device(arguments.device)
    dataset = AlignedDataset(root, DataConfig(phase=arguments.phase, workers=0), seed=0)
    folder, identity = CacheFolder(cache_dir, 1 << 40), identity_of(dataset, dataset_hash(root))
    made_s = seconds(lambda: prepare(folder, dataset, identity))
    starts_s, processor_s = [], []
    for _ in range(STARTS):
        start_s, of_processor_s = time.perf_counter(), time.process_time()
        assert prepare(folder, dataset, identity_of(dataset, identity["dataset_sha256"])) == "found"
        levels = map_pairs(folder.file(identity), identity)
        starts_s.append(time.perf_counter() - start_s)
        processor_s.append(time.process_time() - of_processor_s)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    share = Share(BATCH, rank=0, world_size=1, drop_last=True)
    ways = {
        "levels plain": levels_by(dataset, dataset.levels),
        "levels cached": levels_by(dataset, levels.__getitem__),
        "tensors plain": tensors_of(PairLoader(dataset, share, pin_memory=False)),
        "tensors cached": tensors_of(CachedLoader(dataset, share, levels, device)),
        "tensors resident": tensors_of(ResidentLoader(dataset, share, levels, device)),
    }
    blocks = {
        name: partial(rate, batches, PLAIN_IMAGES if "plain" in name else FAST_IMAGES, device)
        for name, batches in ways.items()
    }
    rates = columns(list(alternate(blocks, arguments.rounds, warmup=1)))
    ratios = {
        name: [one / plain for one, plain in zip(values, rates[f"{name.split()[0]} plain"], strict=True)]
        for name, values in rates.items()
        if "plain" not in name
    }
    return {
        "machine": machine(),
        "device": arguments.device,
        "versions": {"torch": torch.__version__, "pillow": PIL.__version__},
        "dataset": {"pairs": len(dataset), "files": dataset.paths[0].suffix, "drawn": arguments.dataset is None},
        "rounds": arguments.rounds,
        "rows": [
            Row.of(f"{name}, a core", "decoded in the run", "img/s", values, plain).values()
            for name, values in rates.items()
            if (plain := rates[f"{name.split()[0]} plain"]) is not values
        ],
        "images_s": {name: Median.of(values)._asdict() for name, values in rates.items()},
        "ratio_to_plain": {name: Median.of(values)._asdict() for name, values in ratios.items()},
        "cache": {
            "bytes": levels.nbytes,
            "made_s": made_s,
            "start_s": Median.of(starts_s)._asdict(),
            "start_processor_s": Median.of(processor_s)._asdict(),
        },
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The figures as text."""
    data, cache = found["dataset"], found["cache"]
    drawn, processor_name = "drawn " if data["drawn"] else "", found["machine"]["processor"]
    yield f"{data['pairs']} {drawn}pairs ({data['files']}), {found['rounds']} rounds, one core of {processor_name}"
    for name, taken in found["images_s"].items():
        ratio = found["ratio_to_plain"].get(name)
        against = f"  {ratio['value']:.1f} x plain ({ratio['low']:.1f} to {ratio['high']:.1f})" if ratio else ""
        yield f"{name:<17}{taken['value']:>8,.0f} img/s ({taken['low']:,.0f} to {taken['high']:,.0f}){against}"
    start, processor = cache["start_s"], cache["start_processor_s"]
    yield (
        f"cache of {cache['bytes'] / 1e6:.0f} MB: made in {cache['made_s']:.2f} s; checked and mapped in "
        f"{start['value'] * 1e3:.1f} ms ({start['low'] * 1e3:.1f} to {start['high'] * 1e3:.1f}), "
        f"of which {processor['value'] * 1e3:.1f} ms processor time"
    )


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__, json=True)
    parser.add_argument("--rounds", type=at_least_one, default=40, help="blocks of each way")
    parser.add_argument("--dataset", type=Path, help="a folder in the aligned layout; default: draw pairs")
    parser.add_argument("--drawn", type=at_least_one, default=400, help="pairs to draw without --dataset")
    parser.add_argument("--phase", choices=("train", "val", "test"), default="train")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.dataset
        if root is None:
            root = Path(folder, "drawn")
            synth(root, {"train": arguments.drawn}, size=256)
        cache_dir = Path(folder, "cache")
        cache_dir.mkdir()
        found = measure(arguments, root, cache_dir)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        print(*lines(found), sep="\n")


if __name__ == "__main__":
    run(main)
