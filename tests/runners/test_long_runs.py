"""A run of a day at full speed: what the host's side holds of it does not grow with its steps."""

from __future__ import annotations

import contextlib
import gc
import os
import tracemalloc
from pathlib import Path

import psutil
from support import spec_of_script

from gbench.follow.growing_steps import History
from gbench.runfolder.log import RunLog
from gbench.runfolder.steps import stream_path
from gbench.runners.local import LocalRunner
from gbench.settings.defaults import resolve_values
from run_folders import write_run

LINES = 20_000  # printed every 100 steps: 2,000,000 steps, a day of 23 steps a second
LINE = "(epoch: 1, iters: 100, time: 0.100, data: 0.001) G_GAN: 0.702 G_L1: 28.439 D_real: 0.697 D_fake: 0.696"
SCRIPT = f'yes "{LINE}" | head -{LINES}; while [ ! -e counted ]; do sleep 0.01; done\n'
STEP = (
    b'{"step":%d,"epoch":1,"images":1,"data_s":0.001,"step_s":0.01,"end_s":%d.5,"ahead_s":0.0,"warmup":false,'
    b'"losses":{"G_GAN":0.7,"G_L1":28.4,"D_real":0.7,"D_fake":0.7},"between_s":0.0}\n'
)


def open_files() -> set[tuple[str, str]]:
    """Number and target of each; what tests before this one have left open may be closed at any time."""
    there = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of this listing
            there.add((entry.name, str(entry.readlink())))
    return there


def test_the_launcher_and_its_supervisor_hold_no_more(tmp_path: Path, facades: Path) -> None:
    (tmp_path / "run.sh").write_text(SCRIPT)
    spec = resolve_values(spec_of_script(tmp_path / "run.sh", facades), "test", os.environ).spec
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    seen: list[tuple[int, set[tuple[str, str]], int]] = []
    count, own = 0, psutil.Process()
    others = set(own.children())

    def line(text: str) -> None:
        nonlocal count
        log.line(text)
        count += 1
        if count in (LINES // 10, LINES):
            gc.collect()
            (supervisor,) = set(own.children()) - others
            seen.append((tracemalloc.get_traced_memory()[0], open_files(), supervisor.memory_info().rss))
        if count == LINES:
            (run_dir / "counted").touch()

    tracemalloc.start()
    try:
        with RunLog([run_dir / "log.txt", tmp_path / "run.log"], lambda text: None) as log:
            LocalRunner(spec, dict(os.environ)).run(run_dir, line)
    finally:
        tracemalloc.stop()
    assert count == LINES and (run_dir / "log.txt").read_bytes().count(b"\n") == LINES
    (early, early_files, early_supervisor), (late, late_files, late_supervisor) = seen
    assert late - early < 200_000, "bytes of Python objects"
    assert not late_files - early_files
    assert late_supervisor - early_supervisor < 1 << 20


def test_a_live_view_holds_the_losses_of_each_step_and_no_more(tmp_path: Path, facades: Path) -> None:
    """An epoch and four losses of each rank, images and seconds of the first: 96 bytes of two. Its files are closed."""
    (tmp_path / "run.sh").touch()
    values, ranks = spec_of_script(tmp_path / "run.sh", facades), 2
    spec = resolve_values({**values, "device_count": ranks}, "test", os.environ).spec
    folder = write_run(spec.replaced(results_dir=str(tmp_path)), steps=0, ended=False)
    before, history, steps = open_files(), History(folder), 10_000
    tracemalloc.start()
    try:
        for first in range(1, steps, 2000):
            for rank in range(ranks):
                with stream_path(folder.path, rank).open("ab") as file:
                    file.write(b"".join(STEP % (step, step) for step in range(first, first + 2000)))
            history.read()
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert history.steps == steps
    assert held < steps * (40 * ranks + 16) * 1.25 + 100_000
    assert not open_files() - before
