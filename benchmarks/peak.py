"""The peak of this processor by time and by processor time, while others keep it busy.

    python benchmarks/peak.py [--rounds 5]

It prints a table of docs/what-is-timed.md. Each round measures the peak alone, and next to two and four processes that
only compute; five rounds take a minute on two cores.
"""

from __future__ import annotations

import multiprocessing
import statistics

import torch
from command import at_least_one, parser_of, run

from gbench.measure.peak import ConvShape, measure_peak

OTHERS = (0, 2, 4)
SHAPE = ConvShape(batch=4, channels=64, side=32)


def compute() -> None:
    while True:
        pass


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=at_least_one, default=5)
    rounds = parser.parse_args().rounds
    found: dict[int, list[tuple[float, float]]] = {others: [] for others in OTHERS}
    for _ in range(rounds):
        for others, peaks in found.items():
            busy = [multiprocessing.Process(target=compute, daemon=True) for _ in range(others)]
            for one in busy:
                one.start()
            peak = measure_peak(torch.device("cpu"), torch.float32, SHAPE, seconds=1.0)
            for one in busy:
                one.kill()
            assert peak.tflop_cpu_s is not None
            peaks.append((1e3 * peak.tflop_s, 1e3 * peak.tflop_cpu_s))
    print("| other processes | GFLOP/s | GFLOP a CPU-second |\n|---|---|---|")
    for others, peaks in found.items():
        cells = [
            f"{statistics.median(each):.0f} ({min(each):.0f} to {max(each):.0f})" for each in zip(*peaks, strict=True)
        ]
        print(f"| {others} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    run(main)
