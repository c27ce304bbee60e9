"""`gbench eval` against upstream's own test.py, whole processes in turn, on the same images, weights and settings.

    UPSTREAM_DIR=/srv/pytorch-CycleGAN-and-pix2pix python benchmarks/evaluate.py [--rounds 5] [--size full] [--json]

Upstream's code is the clone in UPSTREAM_DIR, at the commit of CODE_LINK and unchanged; else it is cloned, which needs
the network. Both take drawn pairs, freshly drawn weights of resnet_9blocks, batch 1, dropout and the statistics of each
image, on this processor; small is 64 pixels and 16 filters, full is 256 pixels and 64 filters. The images that don't
depend on dropout must be equal, pixel by pixel. Times are from the start of a process to its end; processor time is
that of it and its children. gbench computes MAE, PSNR and SSIM besides, and upstream doesn't.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from command import at_least_one, parser_of, run
from PIL import Image
from rows import Row, report
from timing import alternate, columns

from gbench.datasets.synth import synth
from gbench.errors import InfrastructureError
from gbench.pix2pix.step.build_model import build_networks
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec
from gbench.upstream.source import Pinned, find_code

SIZES = {"small": ("data.load_size=72", "data.crop_size=64", "network.ngf=16", "network.ndf=16"), "full": ()}
MODEL, NAME, GOAL = "pix2pix_resnet_9blocks", "drawn", 1.0


class Taken(NamedTuple):
    """What a process took, with its children."""

    wall_s: float
    processor_s: float


def taken(command: list[str], folder: Path) -> Taken:
    """Run a command to its end in `folder`."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InfrastructureError(f"{' '.join(command[:4])} failed: {done.stderr.strip()}", "see what it says")
    wall_s, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def ours(spec: RunSpec, folder: Path, settings: tuple[str, ...]) -> list[str]:
    where = ["--device", "cpu", "--runner", "local", "--datasets-dir", str(folder / "data"), "--dataset", NAME]
    words = [word for setting in settings if "load_size" not in setting for word in ("--set", setting)]
    weights = str(folder / NAME / "latest_net_G.pth")
    out = str(Path(tempfile.mkdtemp(dir=folder, prefix="ours"), "evaluation"))
    return [sys.executable, "-m", "gbench", "eval", weights, "--model", spec.model, *where, *words, "-q", "--out", out]


def upstreams(spec: RunSpec, folder: Path, count: int) -> list[str]:
    network, data = spec.config.network, spec.config.data
    options: dict[str, object] = {
        "dataroot": folder / "data" / NAME,
        "name": NAME,
        "checkpoints_dir": folder,
        "results_dir": folder / "upstream",
        "model": "pix2pix",
        "gpu_ids": -1,
        "num_test": count,
        **{key: getattr(network, key) for key in ("netG", "ngf", "norm")},
        "direction": data.direction,
        "preprocess": data.preprocess,
        "load_size": data.crop_size,
        "crop_size": data.crop_size,
    }
    return [sys.executable, "test.py", *(word for key, value in options.items() for word in (f"--{key}", str(value)))]


def require_alike(ours: Path, theirs: Path, count: int) -> None:
    """Compare the images that don't depend on dropout. Raises AssertionError: a pixel differs, or one is missing."""
    names = sorted(path.name for path in theirs.glob("*_real_?.png"))
    assert len(names) == 2 * count == len(list(ours.glob("*_real_?.png"))), names
    for name in names:
        np.testing.assert_array_equal(*(np.asarray(Image.open(folder / name)) for folder in (ours, theirs)))


def measure(size: str, arguments: argparse.Namespace, code: Path, folder: Path) -> list[Row]:
    """The rows of one size: wall time, and processor time."""
    settings, count = SIZES[size], arguments.images
    request = Request(MODEL, 1, 1, "FP32", device="cpu", runner="local", datasets_dir=str(folder), settings=settings)
    spec = resolve(request, {}).spec
    synth(folder / "data" / NAME, {"test": count}, size=spec.config.data.crop_size)
    (folder / NAME).mkdir()
    torch.save(build_networks(spec)[0].state_dict(), folder / NAME / "latest_net_G.pth")

    def evaluate() -> Taken:
        return taken(ours(spec, folder, settings), folder)

    ways = {"ours": evaluate, "upstream": partial(taken, upstreams(spec, folder, count), code)}
    found = columns(list(alternate(ways, arguments.rounds, warmup=arguments.rounds > 1)))
    require_alike(
        next(folder.glob("ours*/evaluation/images")), folder / "upstream" / NAME / "test_latest" / "images", count
    )
    what = f"gbench eval of {count} images, {spec.config.data.crop_size} pixels, {spec.config.network.ngf} filters"
    return [
        Row.of(
            f"{what}, {name}", "upstream's test.py", "s", *([one[place] for one in found[way]] for way in ways)
        )._replace(ratio_goal=GOAL)
        for place, name in enumerate(("wall time", "processor time"))
    ]


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__, json=True)
    parser.add_argument("--rounds", type=at_least_one, default=5, help="runs of each, alternating")
    parser.add_argument("--size", choices=list(SIZES), action="append", help="repeatable; default: small")
    parser.add_argument("--images", type=at_least_one, default=106)
    parser.add_argument("--threads", type=at_least_one, help="of torch, in both; default: its own")
    arguments = parser.parse_args()
    if arguments.threads:
        os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    rows = []
    for size in arguments.size or ["small"]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            link = resolve(Request(MODEL, 1, 1, "FP32", datasets_dir=name), {}).spec.code_link
            clone = os.environ.get("UPSTREAM_DIR")
            code = find_code(Pinned.of(link), clone, folder, folder, partial(print, file=sys.stderr))
            rows += measure(size, arguments, code.folder, folder)
    threads = arguments.threads or torch.get_num_threads()
    report(rows, [f"torch {torch.__version__}, {threads} threads, {arguments.rounds} rounds"], arguments.json)


if __name__ == "__main__":
    run(main)
