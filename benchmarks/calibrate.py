"""What `gbench calibrate` states on this machine against what is counted on other runs of it.

    python benchmarks/calibrate.py [--blocks 10] [--draws 1000] [--vary 0.5]

The machine is calibrated with 5 blocks. Then it is measured once more with --blocks, and from these runs sides and
nights are drawn that the real gates judge: without a loss, and with runs that were really slowed by 1, 2 and 3 %. Each
step of the run script sleeps for 10 ms, and the script reports the rate of its fastest tenth, which other programs on
the machine hardly change. --vary draws the time of a run's steps with that spread, in %. It is the table of
docs/calibrate.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from command import at_least_one, parser_of, run

from gbench.compare.change import change
from gbench.compare.gate import figures_of
from gbench.compare.metrics import THROUGHPUT
from gbench.compare.verdict import judge
from gbench.machine.calibration import CalibratedRun, Calibration, GateRates
from gbench.measure.nights import MIN_NIGHTS, judge_night

SCRIPT = """exec {python} - <<'END'
import os, random, time
seconds = 0.010 * (1 + random.gauss(0, {vary})) + float(os.environ.get("GBENCH_STEP_DELAY_S", "0"))
def step():
    began = time.perf_counter()
    time.sleep(seconds)
    return time.perf_counter() - began
rate = 4 / sorted(step() for _ in range(60))[6]
with open(os.environ["BENCHMARK_LOG"], "a") as log:
    print(f"network:sleeping, batch size:4, device count:1, dpf mode:Single, precision:FP32, "
          f"throughput:{{rate}} samples/s, device:none, dataset:none", file=log)
END
"""
BLOCKS = 5  # of the calibration
THRESHOLD = 0.03

Runs = tuple[CalibratedRun, ...]


def calibrated(folder: Path, name: str, blocks: int) -> Calibration:
    command = [sys.executable, "-m", "gbench", "calibrate", "pix2pix_resnet_9blocks", "4", "1", "FP32"]
    command += ["--device", "cpu", "--runner", "local", "--datasets-dir", "data", "--dataset", "drawn"]
    command += ["--run-model-file", "run.sh", "--cache-dir", name, "--results", name, "--logs", name]
    command += ["--blocks", str(blocks), "--quiet", "--json"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True)
    values = json.loads(done.stdout)
    return Calibration.model_validate({key: values[key] for key in Calibration.model_fields})


def windows(runs: Runs, count: int, draws: int, seed: int) -> list[list[CalibratedRun]]:
    """Successive runs from random places, in a circle."""
    starts = np.random.default_rng(seed).integers(len(runs), size=draws)
    return [[runs[(start + place) % len(runs)] for place in range(count)] for start in starts]


def found_by_compare(stated: Calibration, plain: Runs, new: Runs, count: int, draws: int) -> float:
    """Share of regressions. plain and new have no run in common."""
    alarms = 0
    for base, slow in zip(windows(plain, count, draws, 1), windows(new, count, draws, 2), strict=True):
        sides = figures_of(base), figures_of(slow)
        found = change(*sides, True, [], THROUGHPUT.unknown_sd, figures_of(stated.runs))
        alarms += judge([(THROUGHPUT, found)], THRESHOLD)[0].verdict == "regression"
    return alarms / draws


def found_by_nightly(stated: Calibration, plain: Runs, new: Runs, count: int, draws: int) -> float:
    alarms = 0
    pinned = windows(plain, count, draws * MIN_NIGHTS, 3)
    for place, tonight in enumerate(windows(new, count, draws, 4)):
        nights = [[one.throughput for one in night] for night in pinned[place * MIN_NIGHTS : (place + 1) * MIN_NIGHTS]]
        found = judge_night(nights, [[one.throughput for one in tonight]], THRESHOLD, stated.run_sd)
        alarms += found.verdict == "regression" or "unconfirmed" in found.reason
    return alarms / draws


Count = Callable[[Calibration, Runs, Runs, int, int], float]


def row(gate: str, count: Count, stated: Calibration, rates: GateRates, other: Calibration, draws: int) -> list[str]:
    half = len(other.runs) // 2
    sides = [(other.runs[:half], other.runs[half:]), *((other.runs, one.runs) for one in other.slowed)]
    counted = [count(stated, base, new, rates.runs, draws) for base, new in sides]
    cells = [gate, str(rates.runs), f"{100 * rates.false_alarms:.1f} %", f"{100 * counted[0]:.1f} %"]
    return [*cells, f"{100 * rates.finds:.1f} %", *(f"{100 * share:.0f} %" for share in counted[1:])]


def main() -> None:
    """The tables."""
    parser = parser_of(__doc__)
    parser.add_argument("--blocks", type=at_least_one, default=10)
    parser.add_argument("--draws", type=at_least_one, default=1000)
    parser.add_argument("--vary", type=float, default=0.0, metavar="%", help="spread of runs to add")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "run.sh").write_text(SCRIPT.format(python=sys.executable, vary=arguments.vary / 100))
        synth = [sys.executable, "-m", "gbench", "data", "synth", "--out", "data/drawn", "--count", "4", "--size", "64"]
        subprocess.run(synth, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        stated = calibrated(folder, "stated", BLOCKS)
        other = calibrated(folder, "counted", arguments.blocks)
    for title, one in (("calibration", stated), ("other runs", other)):
        print(f"{title}: {len(one.runs)} plain runs, which vary by {100 * one.run_sd:.2f} %")
        for slow in one.slowed:
            ends = "" if slow.low is None or slow.high is None else f" ({100 * slow.low:.2f} to {100 * slow.high:.2f})"
            print(f"  inserted {100 * slow.inserted:.2f} %: measured {100 * slow.measured:.2f} %{ends}")
    heads = ["gate", "runs", "false alarms: stated", "counted", "finds: stated", "found of 1 %", "2 %", "3 %"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for rates in stated.compare:
        cells = row("compare", found_by_compare, stated, rates, other, arguments.draws)
        print("| " + " | ".join(cells) + " |", flush=True)
    for rates in stated.nightly:
        cells = row("nightly", found_by_nightly, stated, rates, other, arguments.draws)
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    run(main)
