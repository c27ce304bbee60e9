"""The live line: shown while the run writes, each line once, and only on a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gbench.cli.shared.live_line import Progress
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import Step, StepWriter
from gbench.settings.spec import RunSpec
from shared_runs import launched_once


def step(number: int, warmup: bool = False) -> Step:
    return Step(number, 1, 2, 0.06, 0.1 * (10 if warmup else 1), 0.0, 0.0, warmup, {"G_L1": 30.0 + number})


def test_the_line_follows_the_stream(make_spec: Callable[..., RunSpec]) -> None:
    folder = RunFolder.create(make_spec(batch_size=4, device_count=2))
    progress = Progress(folder)
    assert progress.text(80) == "starting: loading PyTorch and the dataset  0.0 s"
    progress.note("trying \x1b[31mgraph, 1 of 2")
    assert progress.text(80) == "trying \\x1b[31mgraph, 1 of 2  0.0 s"
    assert progress.text(16) == "trying \\x  0.0 s"
    with StepWriter(folder.path, 0) as writer:
        writer.append([step(1, warmup=True)])
        assert progress.text(80) == "step 1/?  warming up  data wait 6%  G_L1 31"
        folder.write("environment.json", {"planned_steps": 103})
        writer.append([step(2), step(3)])
        # two devices, 2 images each in 0.1 s; 1.2 s for 3 steps, 100 to go
        assert progress.text(80) == "step 3/103  40 s left  40 img/s  data wait 15%  G_L1 33"
        assert progress.text(54) == "step 3/103  40 s left  40 img/s  data wait 15%"
        folder.write("environment.json", {"planned_steps": 3})
        other = Progress(folder)
        other.note("(epoch: 1, iters: 12, time: 0.012, data: 0.006) G_L1: 33.000 ")
        assert other.text(80).startswith("step 3/3  0.0 s left  40 img/s")
        other.note("evaluated 2 of 50 images")  # the end of a convergence run
        assert other.text(80) == "evaluated 2 of 50 images  0.0 s"


def test_throughput_has_its_interval_after_enough_steps(make_spec: Callable[..., RunSpec]) -> None:
    folder = RunFolder.create(make_spec())
    with StepWriter(folder.path, 0) as writer:
        writer.append(step(number) for number in range(1, 41))
    assert "  20 img/s +-0.0%  " in Progress(folder).text(80)


def test_steps_that_a_resumed_run_does_again_count_once(make_spec: Callable[..., RunSpec]) -> None:
    folder = RunFolder.create(make_spec())
    progress = Progress(folder)
    with StepWriter(folder.path, 0) as writer:
        writer.append([step(1), step(2), replace(step(3), step_s=10.0)])
    assert "step 3/?" in progress.text(80)
    with StepWriter(folder.path, 0, resumed_after=2) as writer:
        writer.append([step(3)])
    assert progress.text(80) == "step 3/?  20 img/s  data wait 60%  G_L1 33"


def test_half_a_line_is_read_when_it_is_whole(make_spec: Callable[..., RunSpec]) -> None:
    folder = RunFolder.create(make_spec())
    with StepWriter(folder.path, 0) as writer:
        writer.append([step(1), step(2)])
    path = folder.path / "steps-rank0.jsonl"
    whole = path.read_bytes()
    progress = Progress(folder)
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        progress.text(80)
    path.write_bytes(whole)
    assert progress.text(80).startswith("step 2/?  20 img/s")


@pytest.mark.parametrize("line", ['{"step": 3}', '{"step": "x"}', '{"resumed_after": "x"}', "[" * 50, '"step"'])
def test_a_broken_line_is_left_out(make_spec: Callable[..., RunSpec], line: str) -> None:
    folder = RunFolder.create(make_spec())
    with StepWriter(folder.path, 0) as writer:
        writer.append([step(1), step(2)])
    stream = folder.path / "steps-rank0.jsonl"
    *before, last = stream.read_text().splitlines()
    stream.write_text("\n".join([*before, line, last, ""]))
    assert Progress(folder).text(80).startswith("step 2/?  20 img/s")


def test_watch_shows_what_a_tuning_says(make_spec: Callable[..., RunSpec]) -> None:
    folder = RunFolder.create(make_spec())
    folder.log.write_text("adam=fused: kept\ntrying graph, 3 of 9\nhalf a li")
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "gbench", "watch", str(folder.path)]
    with folder.taken(), subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal) as process:
        os.close(terminal)
        shown = b""
        while b"trying graph, 3 of 9" not in shown:
            shown += os.read(screen, 4096)
        process.terminate()
        said = read_all(screen).decode()
    assert "gbench: error: stopped by SIGTERM; the run goes on, if it was running" in said
    assert process.returncode == 130


WARNS = """
import sys
from pathlib import Path
from gbench.cli.shared.output import Terminal
from gbench.runfolder.folder import RunFolder
terminal = Terminal(quiet=False)
with terminal.running(RunFolder(Path(sys.argv[1]))):
    terminal.line("(epoch: 1, iters: 4) [bold]")
    terminal.line("warning: epoch 1, step 4: G_L1 is flat: [bold]")
"""


def test_a_warning_stays_on_a_terminal_above_the_live_line(make_spec: Callable[..., RunSpec]) -> None:
    folder = RunFolder.create(make_spec())
    with StepWriter(folder.path, 0) as writer:
        writer.append([step(1)])
    screen, terminal = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", WARNS, str(folder.path)], stderr=terminal) as process:
        os.close(terminal)
        shown = read_all(screen)
    assert process.returncode == 0
    assert b"warning: epoch 1, step 4: G_L1 is flat: [bold]\r\n" in shown
    assert b"(epoch: 1" not in shown


STOPS = """
import os, signal
from gbench.runners.stopping import stoppable
with stoppable(None):
    os.kill(os.getpid(), signal.SIGINT)
"""


def test_a_terminal_sees_at_once_that_ctrl_c_has_come() -> None:
    screen, terminal = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", STOPS], stderr=terminal) as process:
        os.close(terminal)
        shown = read_all(screen)
    assert b"gbench: Ctrl-C: stopping\r\n" in shown.partition(b"Traceback")[0]
    assert process.returncode == 1


def read_all(screen: int) -> bytes:
    """Everything received until the other side closes."""
    shown = b""
    while True:
        try:
            chunk = os.read(screen, 4096)
        except OSError:
            return shown
        if not chunk:
            return shown
        shown += chunk


@pytest.mark.slow
def test_control_codes_reach_a_terminal_and_nothing_else(
    small_launch: list[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = launched_once(tmp_path_factory, small_launch).answer
    assert "\x1b" not in plain.out + plain.err
    assert plain.err.count("(epoch: 1") == 4

    command = [sys.executable, "-m", "gbench", "launch", "pix2pix_resnet_6blocks", "2", "1", "FP32", *small_launch]
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [*command, "--steps", "4", "--warmup", "1"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        env={**os.environ, "COLUMNS": "120"},
    )
    os.close(terminal)
    shown = read_all(screen)
    assert process.wait() == 0
    assert re.search(rb"step [1-4]/4  ", shown) and b"img/s" in shown  # the last that was shown before the run ended
    assert b"(epoch: 1" not in shown
