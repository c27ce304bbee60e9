"""A disk that takes nothing more once the run is over: what was measured is kept, and the message says how to go on."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from gbench.base.files import cant_write
from gbench.reports import run_page
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.log import RunLog
from gbench.runners.plan import Outcome
from gbench.runs.outcome import require_success

Gbench = Callable[..., Answer]


def full(*arguments: object) -> None:
    raise cant_write(Path("there"), OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize("write", ["write_result", "write_host"])
def test_a_complete_run_whose_end_cant_be_written(
    gbench: Gbench, small_launch: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    run = ["pix2pix_resnet_6blocks", 2, 1, "FP32", *small_launch, "--steps", 4, "--warmup", 1, "-q"]
    host = RunFolder.write_host
    with monkeypatch.context() as patch:
        at_the_end = lambda folder, facts: full() if facts.ended_utc else host(folder, facts)  # noqa: E731
        patch.setattr(RunFolder, write, full if write == "write_result" else at_the_end)
        answer = gbench("launch", *run)
    assert answer.code == 4 and "No space left on device); the run is complete: free space there, then " in answer.err
    command = answer.err.strip().rpartition("make its record by ")[2]
    stored = gbench(*shlex.split(command)[1:])
    assert (stored.code, "1 inserted" in stored.out) == (0, True), stored.err
    (row,) = gbench("cndb", "list", "--json").json
    assert row["run_id"] == next((tmp_path / "results").iterdir()).name


def test_without_room_for_its_page_a_run_is_stored(
    gbench: Gbench, facades: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "network:n, batch size:1, device count:1, precision:FP32, throughput:1 img/s, device:X, dataset:d"
    (tmp_path / "mine.sh").write_text(f'echo "{line}" >> "$BENCHMARK_LOG"\n')
    monkeypatch.setattr(run_page, "write_report", full)
    run = ["pix2pix_resnet_6blocks", 1, 1, "FP32", "embedded", "--device", "cpu", "--runner", "local"]
    answer = gbench("launch", *run, "--datasets-dir", facades, "--run-model-file", "mine.sh")
    assert answer.code == 0 and "record 1 inserted" in answer.out
    assert "warning: can't write there (No space left on device)" in answer.err
    assert "report" not in answer.out


@pytest.mark.parametrize(("scripts", "ranks", "exit_code"), [(1, 4, 4), (4, None, 4), (1, 1, 1), (1, 2, 1)])
def test_without_error_json_a_full_disk_keeps_its_exit_code(
    tmp_path: Path, scripts: int, ranks: int | None, exit_code: int
) -> None:
    """The rank's sentence is in its output; its exit code is the script's, or in torchrun's report."""
    with RunLog([tmp_path / "log.txt"], lambda line: None) as log:
        log.line("gbench: error: can't write steps-rank0.jsonl (No space left on device); free space there")
        if ranks is not None:
            log.line(f"  exitcode  : {ranks} (pid: 7)")
            log.line("  exitcode  : 3 (pid: 8)")
    with pytest.raises(Exception, match="No space left on device") as error:
        require_success(RunFolder(tmp_path), Outcome(scripts), log, None)
    assert error.value.exit_code == exit_code
