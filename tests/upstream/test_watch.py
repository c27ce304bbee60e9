"""Running train.py in this process until the line of its last step, and its failures."""

from __future__ import annotations

import py_compile
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from gbench.errors import OutOfMemory, RunFailed
from gbench.pix2pix.ranks.out_of_memory import convert_memory_errors
from gbench.upstream.watch import TimedLine, run

Run = Callable[..., list[TimedLine]]
LINE = "(epoch: {epoch}, iters: {iters}, time: 0.001, data: 0.002) G_GAN: 0.700 G_L1: 40.000 "
PRINTS_TWELVE = f"""
import sys
import neighbour
for epoch in range(1, 4):
    for iters in range(1, 5):
        print("{LINE}".format(epoch=epoch, iters=iters))
    print("end of epoch", epoch, *sys.argv[1:])
raise ValueError("nobody gets here")
"""


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("argv", "path", "path_hooks", "dont_write_bytecode"):
        monkeypatch.setattr(sys, name, getattr(sys, name) if name == "dont_write_bytecode" else [*getattr(sys, name)])
    monkeypatch.delitem(sys.modules, "neighbour", raising=False)
    (tmp_path / "neighbour.py").touch()

    def call(text: str, steps: int = 6, **more: Any) -> list[TimedLine]:
        (tmp_path / "train.py").write_text(text)
        return run(tmp_path / "train.py", ["--netG", "unet_128"], steps, **more)

    return call


def test_it_ends_at_the_last_steps_line_printed_whole(train: Run, capsys: pytest.CaptureFixture[str]) -> None:
    lines = train(PRINTS_TWELVE)
    assert [(timed.line.epoch, timed.line.iters) for timed in lines] == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2)]
    assert all(before.end_s < after.end_s for before, after in pairwise(lines))
    assert lines[0].line.losses == {"G_GAN": 0.7, "G_L1": 40.0}
    out = capsys.readouterr().out
    assert out.splitlines()[4] == "end of epoch 1 --netG unet_128"
    assert out.endswith(LINE.format(epoch=2, iters=2) + "\n")


def test_compiled_code_of_another_source_is_not_read(train: Run, tmp_path: Path) -> None:
    """One that says that it needs no check against its source, and one without a source."""
    (tmp_path / "other.py").write_text("raise AssertionError\n")
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    for name in ("__pycache__/neighbour." + sys.implementation.cache_tag + ".pyc", "alone.pyc"):
        py_compile.compile(str(tmp_path / "other.py"), str(tmp_path / name), invalidation_mode=unchecked)
    assert len(train(PRINTS_TWELVE)) == 6
    with pytest.raises(RunFailed, match="No module named 'alone'"):
        train("import alone")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("raise ValueError('no\\nluck')", r"train\.py failed \(ValueError: no luck\)"),
        ("import sys; sys.exit(3)", r"train\.py failed \(exit code 3\)"),
        ("import sys; sys.exit('no\\nvisdom')", r"train\.py failed \(exit code no visdom\)"),
        *(
            (f"for _ in range(6): print('(epoch: 1, iters: 1, {times}) G_GAN: 0.7')", f"step 1 says {times}, which is")
            for times in ("time: nan, data: 0.002", "time: 0.001, data: inf", "time: -0.001, data: 0")
        ),
        ("print('epoch 1')", r"ended with no log line like \(epoch: 1, iters: 32"),
        (f"print({LINE.format(epoch=1, iters=1)!r}); raise SystemExit", "ended with 1 of the 6 log lines"),
    ],
)
def test_what_it_does_instead_is_one_sentence(train: Run, text: str, sentence: str) -> None:
    with pytest.raises(RunFailed, match=sentence) as error:
        train(text)
    assert "\n" not in str(error.value)


def test_a_device_out_of_memory_is_reported_as_in_our_own_runs(train: Run) -> None:
    with pytest.raises(OutOfMemory, match="cpu is out of memory with 8 images per device"):
        train(
            "import torch; raise torch.OutOfMemoryError('no room')",
            convert_errors=convert_memory_errors(torch.device("cpu"), 8),
        )


def test_a_handler_that_takes_every_error_does_not_hold_it_up(train: Run) -> None:
    handler = "try:\n    print({0!r})\nexcept Exception:\n    raise SystemExit(9)\n"
    assert len(train(handler.format(LINE.format(epoch=1, iters=1)), steps=1)) == 1
