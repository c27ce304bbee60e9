"""`gbench sweep` as a user runs it: real processes; real training for figures, a test's run script elsewhere."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from support import Answer, two_cores, two_ranks

from gbench.cli.shared.output import Terminal
from gbench.datasets.synth import synth
from gbench.errors import RunFailed
from gbench.experiments.sweep import go_on, plan
from gbench.experiments.sweep_file import CellAttempt, Sweep, SweepFolder
from gbench.experiments.sweep_matrix import Axes
from gbench.machine.gpus import Gpus
from gbench.runfolder.error_file import read_error
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import RunSpec

Gbench = Callable[..., Answer]
MODEL = "pix2pix_resnet_9blocks"
# A run script that reports 10 img/s a device. What a test puts before its last line decides how it fails; it holds
# `busy` while it runs, and takes a second to let go when it is ended: two at once would be seen.
SCRIPT = """
exec > /dev/null 2>&1  # where gbench is killed there is nobody to read it: a shell that still writes dies of that
trap 'sleep 1; rmdir {here}/busy; exit 1' TERM
mkdir {here}/busy || exit 7
tries() {{ echo >> {here}/tries-$BATCH_SIZE; wc -l < {here}/tries-$BATCH_SIZE; }}
{how} || {{ rmdir {here}/busy; exit 9; }}
echo "network:mine, batch size:$BATCH_SIZE, device count:$DEVICE_COUNT, dpf mode:DP, precision:$PRECISION, \
throughput:$((10 * DEVICE_COUNT)) img/s, device:Card X, dataset:$DATASETS" >> "$BENCHMARK_LOG"
rmdir {here}/busy
"""


def the_sweep(base: Path) -> SweepFolder:
    (path,) = (base / "results").glob("*-sweep-*")
    return SweepFolder(path)


def states(sweep: Sweep) -> list[tuple[str, int]]:
    return [(cell.state, len(cell.attempts)) for cell in sweep.cells]


@pytest.fixture
def scripted(facades: Path, tmp_path: Path) -> Callable[..., list[object]]:
    """The command line of a sweep over batch sizes, and the run script that it calls."""

    def make(how: str, sizes: str = "1,2,3") -> list[object]:
        script = tmp_path / "mine.sh"
        script.write_text(SCRIPT.format(here=tmp_path, how=how))
        matrix = ["--batch-sizes", sizes, "--device-counts", 1, "--precisions", "FP32"]
        where = ["--device", "cpu", "--runner", "local", "--datasets-dir", facades, "--run-model-file", script]
        return ["sweep", MODEL, *matrix, *where]

    return make


def begin(tmp_path: Path, arguments: list[object]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gbench", *map(str, arguments)]
    return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def sleeps(process: subprocess.Popen[str]) -> bool:
    """Whether its run script waits in `sleep`: a shell that is about to start it would run no trap before its end."""
    for one in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if one.name() == "sleep":
                return True
    return False


def wait_for(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@two_ranks
@two_cores
@pytest.mark.slow
def test_a_sweep_is_a_launch_a_cell_and_one_table(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    matrix = ["--batch-sizes", 2, "--device-counts", "1,2", "--precisions", "FP32,TF32"]
    short = ["--set", "measure.peak_seconds=0.05", "--steps", 30, "--warmup", 2]
    answer = gbench("sweep", MODEL, *matrix, *small_launch, *short, "--json")
    assert answer.code == 0, answer.err
    one, two, *others = answer.json["cells"]
    assert [(cell["device_count"], cell["state"]) for cell in (one, two)] == [(1, "done"), (2, "done")]
    assert {cell["state"] for cell in others} == {"skipped"}
    assert "not run: TF32, 1 device, batch 2: PRECISION TF32 does not exist on --device cpu" in answer.err
    assert two["scaling_efficiency"] == pytest.approx(two["throughput"] / 2 / one["throughput"])
    for cell in (one, two):
        record = yaml.safe_load(Path(cell["record"]).read_text())
        result = RunFolder(Path(cell["run"])).read("result.json")
        assert result is not None
        assert record["perf_data"]["throughput"] == result["throughput_img_s"] == cell["throughput"]
        interval = result["throughput_interval"] or {"low": None, "high": None}  # none where this machine was restless
        assert (cell["low"], cell["high"]) == (interval["low"], interval["high"])
        assert cell["memory_gib"] > 0.1
        assert cell["measured_flop_share"] > 0 and cell["data_sheet_flop_share"] is None
        assert (record["dev_num"], record["extra"]["batch_size_per_device"]) == (
            cell["device_count"],
            2 // record["dev_num"],
        )
    folder = the_sweep(tmp_path)
    assert Path(one["run"]).parent == folder.path
    before = folder.file.read_bytes()

    again = gbench("sweep", "--resume", folder.path, "--csv")
    assert again.code == 0, again.err
    rows = list(csv.DictReader(again.out.splitlines()))
    assert [row["throughput"] for row in rows] == [str(one["throughput"]), str(two["throughput"]), "", ""]
    assert folder.file.read_bytes() == before  # nothing was run again
    table = gbench("sweep", "--resume", folder.path, COLUMNS="60")
    assert max(len(line) for line in table.out.splitlines()[:5]) <= 60
    assert f"{one['throughput']:.4g}" in table.out
    assert f"{one['throughput']:.4g}" in folder.page.read_text()


@two_ranks  # its one rank takes as much memory
@pytest.mark.slow
def test_out_of_memory_is_a_result(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    """Under a real limit on the address space: 1.25 GiB above what torch itself takes; an image needs 0.75."""
    synth(tmp_path / "data", {"train": 64}, size=40)
    peak = "import torch; print(*(line for line in open('/proc/self/status') if line.startswith('VmPeak')))"
    said = subprocess.run([sys.executable, "-c", peak], capture_output=True, text=True, check=True).stdout
    script = tmp_path / "pt-pix2pix.sh"  # of the project's own name, so that it is a run as any other
    script.write_text(f'ulimit -v {int(said.split()[1]) + (5 << 18)}\neval "exec $WORKER"\n')
    large = {"data.load_size": 144, "data.crop_size": 128, "network.ngf": 32, "network.ndf": 32}
    settings = [text for key, value in large.items() for text in ("--set", f"{key}={value}")]
    where = ["--datasets-dir", tmp_path / "data", "--run-model-file", script, "--data", "synthetic"]
    matrix = ["--batch-sizes", "1,48,64", "--device-counts", 1, "--precisions", "FP32", "--stop-at-oom"]
    answer = gbench("sweep", MODEL, *matrix, *small_launch, *settings, *where, "--steps", 3, "--warmup", 1)
    assert answer.code == 0, answer.err
    folder = the_sweep(tmp_path)
    sweep = folder.read()
    assert states(sweep) == [("done", 1), ("out_of_memory", 1), ("skipped", 0)]
    left = read_error(folder.run(sweep.cells[1].attempts[0]))
    assert left is not None
    assert left.kind == "out_of_memory"
    assert left.what.startswith(
        "the host is out of memory with 48 images per device"
    )  # and, if it can be counted, of how much
    assert "FP32, 1 device, batch 48, synthetic data: out of memory: the host is out of memory" in answer.out
    assert "batch 64, synthetic data: skipped: batch 48 was out of memory already" in answer.out


def test_a_failed_cell_runs_again_last_and_at_each_resumption(gbench: Gbench, scripted: Any, tmp_path: Path) -> None:
    """Batch 1 always fails, batch 2 succeeds at the second attempt."""
    answer = gbench(*scripted('[ "$BATCH_SIZE" != 1 ] && { [ "$BATCH_SIZE" != 2 ] || [ "$(tries)" = 2 ]; }'))
    assert answer.code == 1
    folder = the_sweep(tmp_path)
    assert states(folder.read()) == [("failed", 2), ("done", 2), ("done", 1)]
    told = [line.split(":")[0] for line in answer.err.splitlines() if line.startswith("cell ")]
    assert told == [f"cell {number} of 3" for number in (1, 2, 3, 1, 2)]
    assert "batch 1: failed: the run script ended with exit code 9" in answer.out
    assert answer.err.splitlines()[-1] == (
        f"gbench: error: 1 of 3 cells failed; `gbench sweep --resume {folder.path}` runs them once more"
    )
    scripted("[ 1 = 2 ]")
    assert gbench("sweep", "--resume", folder.path).code == 1
    assert states(folder.read()) == [("failed", 3), ("done", 2), ("done", 1)]
    scripted("true")
    assert gbench("sweep", "--resume", folder.path).code == 0
    assert states(folder.read()) == [("done", 4), ("done", 2), ("done", 1)]


def test_what_all_cells_would_miss_ends_the_sweep(gbench: Gbench, scripted: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = gbench(*scripted("true"), "--cndb-dir", tmp_path / "file")
    assert answer.code == 4
    folder = the_sweep(tmp_path)
    assert states(folder.read()) == [("failed", 1), ("waiting", 0), ("waiting", 0)]
    last = answer.err.splitlines()[-1]
    assert f"can't write {tmp_path}/file/records" in last and f"`gbench sweep --resume {folder.path}` goes on" in last


def test_ctrl_c_shows_what_is_known_and_how_to_go_on(gbench: Gbench, scripted: Any, tmp_path: Path) -> None:
    process = begin(tmp_path, scripted('[ "$BATCH_SIZE" = 1 ] || [ "$(tries)" -gt 1 ] || sleep 600', "1,2"))
    wait_for(lambda: sleeps(process), process)
    folder = the_sweep(tmp_path)
    second = gbench("sweep", "--resume", folder.path)
    assert (second.code, second.out) == (4, "")
    assert f"sweep folder {folder.path} is in use by another process" in second.err
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    last = err.splitlines()[-1]
    assert last.startswith(f"gbench: error: stopped by Ctrl-C; its run folder is {folder.path}")
    assert last.endswith(f"; `gbench sweep --resume {folder.path}` goes on")
    assert " done " in out and " interrupted " in out
    assert states(folder.read()) == [("done", 1), ("interrupted", 1)]
    assert not (tmp_path / "busy").exists()
    answer = gbench("sweep", "--resume", folder.path, "--json")
    assert answer.code == 0, answer.err
    assert [cell["attempts"] for cell in answer.json["cells"]] == [1, 2]


@pytest.mark.slow
def test_a_sweep_that_is_killed_at_any_moment_goes_on(gbench: Gbench, scripted: Any, tmp_path: Path) -> None:
    """Kill it in the middle of a run, then at random times; a finished run is never repeated."""
    process = begin(tmp_path, scripted('[ "$BATCH_SIZE" != 2 ] || [ "$(tries)" -gt 1 ] || sleep 600', "1,2,3,4"))
    wait_for(lambda: sleeps(process), process)
    moments = random.Random(2)
    done: dict[int, str] = {}
    for _ in range(4):
        process.kill()
        process.communicate()
        folder = the_sweep(tmp_path)
        for number, cell in enumerate(folder.read().cells):
            if cell.state == "done":
                assert done.setdefault(number, cell.attempts[-1].run) == cell.attempts[-1].run
        process = begin(tmp_path, ["sweep", "--resume", folder.path, "--json"])
        time.sleep(moments.uniform(0.5, 3.0))
    assert 0 in done
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    cells = json.loads(out)["cells"]
    assert [cell["state"] for cell in cells] == ["done"] * 4
    tries = [attempt.state for cell in the_sweep(tmp_path).read().cells for attempt in cell.attempts]
    assert set(tries) == {"done", "running"}  # one that failed would tell of two at once
    for number, run in done.items():
        assert cells[number]["run"] == str(folder.path / run)
    assert not (tmp_path / "busy").exists()


def test_a_recorded_run_is_done_though_gbench_was_killed(gbench: Gbench, scripted: Any, tmp_path: Path) -> None:
    """The state after SIGKILL right after writing the record: not uploaded, no page, not marked as done."""
    model, *others = scripted("true", "1,2")[1:]
    assert gbench("sweep", model, "embedded", *others).code == 0
    folder = the_sweep(tmp_path)
    sweep = folder.read()
    killed = sweep.cells[1].attempts[0]
    record, killed.state, killed.record = killed.record, "running", None
    folder.write(sweep)
    page = folder.run(killed).path / "report.html"
    page.unlink()
    (tmp_path / "cndb" / "cndb.sqlite").unlink()
    answer = gbench("sweep", "--resume", folder.path, "--json")
    assert answer.code == 0, answer.err
    assert [(cell["state"], cell["attempts"]) for cell in answer.json["cells"]] == [("done", 1)] * 2
    assert answer.json["cells"][1]["record"] == record
    assert f"done already: FP32, 1 device, batch 2: {record}" in answer.err
    assert page.exists()
    assert [one["batch_size"] for one in gbench("cndb", "list", "--json").json] == [2]


def test_a_record_that_is_not_to_be_had_makes_no_cell_done(tmp_path: Path) -> None:
    folder, attempt = SweepFolder(tmp_path), CellAttempt(run="run")
    assert folder.record_of(attempt) is None
    (tmp_path / "run").mkdir()
    folder.run(attempt).write("host.json", {"record": str(tmp_path / "record.yaml")})
    assert folder.record_of(attempt) is None
    (tmp_path / "record.yaml").touch()
    assert folder.record_of(attempt) == tmp_path / "record.yaml"
    (tmp_path / "run" / "host.json").write_text("{")
    assert folder.record_of(attempt) is None


def test_an_unwritable_page_of_a_run_ends_no_sweep(gbench: Gbench, scripted: Any, tmp_path: Path) -> None:
    """The run and its record are complete: its page is a warning."""
    answer = gbench(*scripted('[ "$BATCH_SIZE" != 1 ] || mkdir report.html', "1,2"))
    assert answer.code == 0, answer.err
    assert states(the_sweep(tmp_path).read()) == [("done", 1), ("done", 1)]
    assert any(line.startswith("warning: ") and "report.html" in line for line in answer.err.splitlines())
    assert len(list((tmp_path / "cndb" / "records").iterdir())) == 2


def test_a_full_disk_hides_neither_table_nor_how_to_go_on(gbench: Gbench, scripted: Any, tmp_path: Path) -> None:
    """Simulate a full disk for the sweep's files: folders of the same name block them."""
    answer = gbench(
        *scripted('[ "$BATCH_SIZE" = 1 ] || { mv ../sweep.json ../kept; mkdir ../sweep.json ../sweep.md; }')
    )
    assert answer.code == 4
    folder = the_sweep(tmp_path)
    assert [line.split()[2] for line in answer.out.splitlines()[1:4]] == ["done", "done", "waiting"]
    last = answer.err.splitlines()[-1]
    assert f"can't write {folder.file}" in last and f"`gbench sweep --resume {folder.path}` goes on" in last
    folder.file.rmdir()
    folder.page.rmdir()
    (folder.path / "kept").rename(folder.file)
    scripted("true")
    assert gbench("sweep", "--resume", folder.path).code == 0
    assert states(folder.read()) == [("done", 1)] * 3


def test_the_page_is_written_though_nobody_reads_the_table(scripted: Any, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "gbench", *map(str, scripted("true", "1"))]
    done = subprocess.run(command, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, "Traceback" in done.stderr) == (141, False)
    assert "| FP32 | real | done | 1 | 1 | 10 |" in the_sweep(tmp_path).page.read_text()


def test_a_dry_run_lists_the_cells_and_starts_nothing(gbench: Gbench, scripted: Any, tmp_path: Path) -> None:
    arguments = scripted("true")
    before = set(tmp_path.iterdir())
    answer = gbench(*arguments, "--dry-run")
    assert answer.code == 0, answer.err
    assert [line.split()[2:5] for line in answer.out.splitlines()[1:4]] == [["waiting", "1", n] for n in "123"]
    assert [cell["state"] for cell in gbench(*arguments, "--dry-run", "--json").json["cells"]] == ["waiting"] * 3
    assert set(tmp_path.iterdir()) == before


def test_a_dry_run_of_gpu_cells_needs_no_gpu(gbench: Gbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gbench.experiments.sweep.find_gpus", Gpus)
    axes = ["--batch-sizes", "8", "--device-counts", "1,2,3", "--precisions", "FP32"]
    answer = gbench("sweep", "pix2pix_resnet_9blocks", *axes, "--dry-run", "--json")
    assert [cell["state"] for cell in answer.json["cells"]] == ["waiting", "waiting", "skipped"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "{folder} has no sweep.json; give the folder of a gbench sweep"),
        (
            b'{"version": 2}',
            "{folder}/sweep.json is not a sweep that this gbench reads (version: input should be 1, not 2)",
        ),
        (
            b'{"version": 1, "cells"',
            "reads (invalid JSON: EOF while parsing an object at line 1 column 22); the file is damaged:",
        ),
        (
            b"\xff\xfe",
            "{folder}/sweep.json can't be read (it is not UTF-8 text); the file is damaged: restore it, or start",
        ),
    ],
)
def test_what_is_no_sweep_folder_says_so(gbench: Gbench, tmp_path: Path, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "sweep.json").write_bytes(content)
    answer = gbench("sweep", "--resume", tmp_path)
    assert (answer.code, answer.out, answer.err.count("\n")) == (4, "", 1)
    assert sentence.format(folder=tmp_path) in answer.err


def test_an_image_is_rebuilt_once_though_the_first_cell_fails(
    make_spec: Callable[..., RunSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checks the request to launch, as images need Docker."""
    asked = []

    def failing(spec: RunSpec, environ: object, watcher: object, rebuild: bool) -> None:
        RunFolder.create(spec).write("host.json", {})
        asked.append(rebuild)
        raise RunFailed("it failed", "mend it")

    monkeypatch.setattr("gbench.experiments.sweep.launch", failing)
    axes = Axes(batch_size=[1, 2], device_count=[1], precision=["FP32"])
    sweep = plan(axes, make_spec(), False, {}, dataset_needed=False)
    folder = SweepFolder(tmp_path / "sweep")
    folder.create(sweep)
    assert go_on(folder, {}, Terminal(quiet=True), rebuild=True).stopped is None
    assert asked == [True, False, False, False]
