"""Whole numbers of thousands of digits, or of digits that are not ASCII, in text that others wrote."""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support import Answer

from gbench.base.whole import whole_number
from gbench.cndb.throughput import rule_in
from gbench.datasets.download import _total_bytes
from gbench.datasets.synth import SOURCE, drawing_version
from gbench.runfolder.log import RunLog
from gbench.runfolder.loss_line import read_loss_line

MANY = "9" * 5000
NO_NUMBERS = (MANY, "²", "٣", "-1", "1.5", "", "1e3", " 1")


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_whole_number(text: str) -> None:
    assert whole_number(text) is None
    assert rule_in({"statistics": text}) == 1
    headers = Message()
    headers["Content-Length"] = headers["Content-Range"] = text
    assert _total_bytes(cast(Any, SimpleNamespace(status=200, headers=headers)), 0) is None


def test_whole_numbers() -> None:
    assert [whole_number(text) for text in ("0", "007", "9" * 19)] == [0, 7, 10**19 - 1]
    assert rule_in({"statistics": 2}) == 2
    assert (drawing_version(f"{SOURCE} 3, size 1"), drawing_version(f"{SOURCE} {MANY}")) == (3, None)


@pytest.mark.parametrize("text", [MANY, "²", "-1"])
def test_the_batch_size_of_a_log_line(gbench: Callable[..., Answer], tmp_path: Path, text: str) -> None:
    (tmp_path / "log").write_text(f"network:n, batch size:{text}, device count:1, precision:FP32, throughput:1 img/s\n")
    answer = gbench("cndb", "import", "log")
    assert answer.code == 1 and "is not a whole number; fix or remove it\n" in answer.err
    assert f"log line 1: batch size {text!r}"[:200] in answer.err and len(answer.err.splitlines()) == 1


def test_the_number_of_threads(gbench: Callable[..., Answer]) -> None:
    launch = ("launch", "pix2pix_resnet_9blocks", 1, 1, "FP32", "--device", "cpu", "--runner", "local", "--dry-run")
    answer = gbench(*launch, OMP_NUM_THREADS=MANY)
    assert answer.code == 2 and "is no number of threads; unset it" in answer.err


@pytest.mark.parametrize("epoch", ["1e999", MANY, '"' + MANY + '"'])
def test_the_best_epoch(gbench: Callable[..., Answer], make_spec: Callable[..., Any], epoch: str) -> None:
    from run_folders import write_run

    run = write_run(make_spec())
    run.checkpoints.mkdir()
    (run.checkpoints / "best.json").write_text(f'{{"epoch": {epoch}}}')
    assert gbench("eval", run.path, "--best").code == 2


def test_an_exit_code_in_what_a_run_prints(tmp_path: Path) -> None:
    with RunLog([tmp_path / "log.txt"], print) as log:
        log.line(f"exitcode  : {MANY}")
        log.line("exitcode  : 3 (pid: 1)")
    assert log.exit_code == 3


def test_a_figure_in_a_line_of_losses() -> None:
    with pytest.raises(ValueError, match=r"^'abc' is not a number$"):
        read_loss_line("(epoch: 1, iters: 1, time: abc, data: 0.1) G_GAN: 1")
