"""What two processes cost against one on the same cores: alternating launches of one total batch.

    python benchmarks/scaling.py [--rounds 10] [--steps 60] [--batch 4] [--side 64] [--filters 16]

Three kinds of launch, each round in another order: one process with a thread on every core; one process per core, bound
to it; the same, left to the scheduler (measure.pin=false). Prints the median over rounds of each one's throughput
relative to one process, with a 95 % interval. CPUs only.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path

from command import at_least_one, parser_of, run
from timing import Median, alternate

from gbench.cli.shared.output import Terminal
from gbench.datasets.synth import synth
from gbench.runs.launch import launch
from gbench.settings.request import Request
from gbench.settings.resolve import resolve

CORES = len(os.sched_getaffinity(0))
KINDS = {"one process": (1, True), "bound": (CORES, True), "not bound": (CORES, False)}


def throughput(arguments: argparse.Namespace, base: Path, processes: int, pin: bool) -> float:
    """Images per second of one launch."""
    request = Request(
        model="pix2pix_resnet_9blocks",
        batch_size=arguments.batch,
        device_count=processes,
        precision="FP32",
        ignore_check=True,
        device="cpu",
        runner="local",
        steps=arguments.steps,
        warmup=arguments.steps // 6,
        settings=(
            *(f"data.load_size={arguments.side + arguments.side // 8}", f"data.crop_size={arguments.side}"),
            *(f"network.ngf={arguments.filters}", f"network.ndf={arguments.filters}"),
            *("data.workers=0", "measure.peak_seconds=0", "measure.idle_seconds=0", f"measure.pin={str(pin).lower()}"),
        ),
        data_source="synthetic",  # computing and communication alone
        datasets_dir=str(base / "facades"),
        dataset="synthetic",
        cndb_dir=str(base / "cndb"),
        results_dir=str(base / "results"),
        logs_dir=str(base / "logs"),
    )
    environ = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    summary = launch(resolve(request, environ).spec, environ, Terminal(quiet=True)).summary
    assert summary is not None, "there are measured steps"
    return summary.throughput_img_s


def main() -> None:
    """Launch them alternately and print how they compare."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=at_least_one, default=10, help="launches of each kind")
    parser.add_argument("--steps", type=at_least_one, default=60, help="steps per launch, a sixth of them warm-up")
    parser.add_argument("--batch", type=at_least_one, default=2 * CORES, help="images per step, over all processes")
    parser.add_argument("--side", type=at_least_one, default=64, help="pixels of an image")
    parser.add_argument("--filters", type=at_least_one, default=16, help="ngf and ndf")
    arguments = parser.parse_args()
    if CORES < 2:
        parser.error("needs two CPUs or more")
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        synth(Path(folder) / "facades", {"train": arguments.batch}, size=arguments.side + arguments.side // 8)
        launches = {name: partial(throughput, arguments, Path(folder), *how) for name, how in KINDS.items()}
        for found in alternate(launches, arguments.rounds):
            rounds.append(found)
            print("  ".join(f"{name} {found[name]:.4g} img/s" for name in KINDS), flush=True)
    print(f"{len(rounds)} rounds; {CORES} processes against one, throughput")
    for name in list(KINDS)[1:]:
        ratio = Median.of([found[name] / found["one process"] for found in rounds])
        print(f"{name:<12}{ratio.value:.3f} (95 % interval {ratio.low:.3f} to {ratio.high:.3f})")


if __name__ == "__main__":
    run(main)
