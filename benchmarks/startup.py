"""What it takes to begin: `gbench --help`, and `gbench launch` to its first training step.

    python benchmarks/startup.py [--rounds 7] [--ranks 1 2 4 8] [--json]

A launch is measured from the start of its process to the start of the first step by the step's own clock: on this
host, `--runner local`, on a processor, networks and pictures tiny, no peak measured and no idle time. An image's start
comes on top. Its reference is plain.py, a script of a few lines under torchrun, with as many ranks. Ranks share the
cores.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from command import at_least_one, parser_of, run
from rows import Row, report
from timing import Median

from gbench.datasets.synth import synth

HELP_GOAL_S, LAUNCH_GOAL = 0.15, 0.75
PLAIN = Path(__file__).with_name("plain.py")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
TINY = {
    "data.load_size": 36,
    "data.crop_size": 32,
    "data.workers": 0,
    "network.ngf": 4,
    "network.ndf": 4,
    "measure.peak_seconds": 0,
    "measure.idle_seconds": 0,
}
PARTS = {  # each a process of its own, to its end
    "an empty Python": (sys.executable, "-c", "pass"),
    "import torch": (sys.executable, "-c", "import torch"),
    "import torch, and an Adam": (
        *(sys.executable, "-c"),
        "import torch; torch.optim.Adam([torch.zeros(1, requires_grad=True)])",
    ),
    "the worker's imports": (sys.executable, "-c", "import gbench.pix2pix.__main__"),
    "the host's imports": (
        sys.executable,
        "-c",
        "import gbench.cli.launch, gbench.runs.launch",
    ),
    "torchrun of nothing": (*TORCHRUN, "1", "--no-python", "true"),
}


def seconds(command: tuple[str, ...]) -> float:
    """Of a process, to its end."""
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - start


def launch(data: Path, folder: Path, ranks: int) -> tuple[float, float]:
    """Seconds of a launch to its run folder, and to the first step of its last rank."""
    settings = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    where = ["--device", "cpu", "--runner", "local", "--datasets-dir", str(data), "--dataset", "synthetic"]
    command = [
        sys.executable,
        "-m",
        "gbench",
        "launch",
        "pix2pix_resnet_6blocks",
        str(4 * ranks),
        str(ranks),
        "FP32",
        "false",
        "ignore_check",
    ]
    start, start_utc = time.monotonic(), time.time()
    done = subprocess.run(
        [*command, *where, *settings, "--steps", "3", "--warmup", "2", "--json"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    made = Path(json.loads(done.stdout)["paths"]["run"])
    steps = [json.loads(path.read_text().splitlines()[1]) for path in made.glob("steps-rank*.jsonl")]
    began = max(step["end_s"] - step["step_s"] for step in steps)
    return (made / "spec.json").stat().st_mtime - start_utc, began - start


def plain(ranks: int) -> float:
    """Seconds of a plain script under torchrun to the first step of its last rank."""
    start = time.monotonic()
    done = subprocess.run([*TORCHRUN, str(ranks), str(PLAIN)], check=True, capture_output=True, text=True)
    return max(float(began) for began in re.findall(r"began ([\d.]+)", done.stdout)) - start


def ours(ranks: int) -> str:
    return f"gbench launch of {ranks} rank{'s' * (ranks > 1)}, to the first step"


def reference(ranks: int) -> str:
    return f"torchrun of a plain script, {ranks} rank{'s' * (ranks > 1)}"


def lines(parts: dict[str, Median]) -> Iterator[str]:
    """Where the time goes, for a person."""
    yield "where the time goes, seconds (95 % interval):"
    for name, taken in parts.items():
        yield f"  {name:<46}{taken.value:.2f} ({taken.low:.2f} to {taken.high:.2f})"


def main() -> None:
    """Measure in turn, and print."""
    parser = parser_of(__doc__, json=True)
    parser.add_argument("--rounds", type=at_least_one, default=7)
    parser.add_argument("--ranks", type=at_least_one, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synth(folder / "data", {"train": 4 * max(arguments.ranks)}, size=36)
        for number in range(-1 if arguments.rounds > 1 else 0, arguments.rounds):  # one to fill the page cache
            found = {name: seconds(command) for name, command in PARTS.items()}
            found["gbench --help"] = seconds((sys.executable, "-m", "gbench", "--help"))
            for ranks in arguments.ranks:
                folder_s, found[ours(ranks)] = launch(folder / "data", folder, ranks)
                found.setdefault("launch: to its run folder", folder_s)
                found[reference(ranks)] = plain(ranks)
            for what, one in found.items() if number >= 0 else ():
                taken.setdefault(what, []).append(one)
    rows = [
        Row.of("gbench --help", "python -c pass", "s", taken["gbench --help"], taken["an empty Python"], HELP_GOAL_S),
    ]
    for ranks in arguments.ranks:
        pair = taken[ours(ranks)], taken[reference(ranks)]
        rows.append(Row.of(ours(ranks), reference(ranks), "s", *pair, ratio_goal=LAUNCH_GOAL))
    parts = {what: Median.of(times) for what, times in taken.items()}
    report(rows, lines(parts), arguments.json, parts_s={what: one._asdict() for what, one in parts.items()})


if __name__ == "__main__":
    run(main)
