"""What measuring costs: a loop of 10 ms steps with the clock and the sample stream, and the same without, alternated.

    python benchmarks/overhead.py [--blocks 20] [--steps 50]

A step takes 10 ms from its own start, so whatever the instrumentation adds, adds to the loop. All times are processor
time of the thread, so that other processes on the machine do not count. Prints the median over blocks of what a step
costs more.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from gbench.measure.clock import HostMarks, StepClock
from gbench.runfolder import RunFolder, Step, StepWriter

STEP_S = 0.010
LOSSES = {"G_GAN": 2.494, "G_L1": 18.407, "D_real": 0.169, "D_fake": 0.201}


def work() -> None:
    """A step of 10 ms."""
    end = time.thread_time() + STEP_S
    while time.thread_time() < end:
        pass


def plain(steps: int) -> float:
    """Seconds a step without instrumentation."""
    start = time.thread_time()
    for _ in range(steps):
        work()
    return (time.thread_time() - start) / steps


def measured(steps: int, writer: StepWriter, read_every: int) -> float:
    """Seconds a step with what the training loop does to measure itself: marks, readings, rows in the stream."""
    clock = StepClock(HostMarks())
    clock.start()
    start = time.thread_time()
    for step in range(1, steps + 1):
        clock.batch_ready()
        work()
        clock.step_done()
        if step % read_every == 0:
            writer.append(
                Step(step, 1, 4, taken.data_s, taken.step_s, taken.end_s, taken.ahead_s, False, LOSSES)
                for taken in clock.read()
            )
    return (time.thread_time() - start) / steps


def main() -> None:
    """Alternate the two loops and print what the difference is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=20, help="pairs of blocks, measured and plain in turn")
    parser.add_argument("--steps", type=int, default=50, help="steps a block")
    parser.add_argument("--read-every", type=int, default=10, help="steps between readings, as schedule.print_every")
    arguments = parser.parse_args()
    differences = []
    with tempfile.TemporaryDirectory() as folder, StepWriter(RunFolder(Path(folder)), 0) as writer:
        for block in range(arguments.blocks):
            if block % 2:
                without, with_it = plain(arguments.steps), measured(arguments.steps, writer, arguments.read_every)
            else:
                with_it, without = measured(arguments.steps, writer, arguments.read_every), plain(arguments.steps)
            differences.append(with_it - without)
    median_s = statistics.median(differences)
    low, high = (statistics.quantiles(differences, n=20)[index] for index in (0, -1))
    print(
        f"measuring costs {median_s * 1e6:.1f} us a step (5 % to 95 % of blocks: {low * 1e6:.1f} to {high * 1e6:.1f}), "
        f"{median_s / STEP_S:.3%} of a step of 10 ms"
    )


if __name__ == "__main__":
    main()
