"""Exit codes of gbench if its arguments and its run are valid."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

import gbench.cli
from gbench.runfolder.folder import RunFolder


def test_a_bug_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: RunFolder) -> None:
        raise KeyError("a place that nobody thought of")

    monkeypatch.setattr(RunFolder, "spec", broken)
    monkeypatch.setattr(sys, "argv", ["gbench", "summary", str(tmp_path)])
    with pytest.raises(SystemExit) as exit:
        gbench.cli.main()
    err = capsys.readouterr().err
    assert exit.value.code == 70
    assert "KeyError: 'a place that nobody thought of'" in err
    assert err.splitlines()[-1].startswith("gbench: error: a bug of gbench ")


def test_sigterm_before_a_run_has_begun_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(RunFolder, "spec", lambda folder: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr(sys, "argv", ["gbench", "summary", str(tmp_path)])
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as exit:
        gbench.cli.main()
    assert exit.value.code == 130
    assert capfd.readouterr().err == "gbench: error: stopped by SIGTERM; nothing was left running\n"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("name", "before", "code", "said"),
    [
        ("SIGTERM", [], 130, "gbench: error: stopped by SIGTERM; nothing was left running\n"),
        ("SIGHUP", [], 130, "gbench: error: stopped by SIGHUP; nothing was left running\n"),
        ("SIGHUP", ["nohup"], 0, ""),
    ],
)
def test_a_stop_while_the_command_loads_is_told_of(
    tmp_path: Path, name: str, before: list[str], code: int, said: str
) -> None:
    (tmp_path / "click.py").write_text(f"import os, signal\nos.kill(os.getpid(), signal.{name})\nos._exit(0)\n")
    command = [*before, sys.executable, "-m", "gbench", "models"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, said)


def test_a_reader_that_has_gone_is_no_verdict() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "gbench", "models"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_result_is_the_only_json_even_if_it_is_an_error(
    gbench: Callable[..., Answer], facades: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(facades, tmp_path / "copy"))
    next((copy / "train").iterdir()).unlink()
    changed = gbench("data", "verify", copy, "--json")
    assert (changed.code, changed.json["intact"]) == (1, False)
    missing = gbench("data", "verify", "nowhere", "--json")
    assert missing.code == missing.json["error"]["exit_code"] == 2


def test_a_terminal_that_has_gone_is_a_stop() -> None:
    code = (
        "import gbench.cli as c, sys; c.cli.main = lambda **_: (sys.stdin.read(), print('x', file=sys.stderr)); "
        "c.main()"
    )
    ours, theirs = os.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    os.close(ours)
    process.communicate()
    assert process.returncode == 130


@pytest.mark.parametrize("command", [["runs"], ["cndb", "list"], ["summary", "x"], ["report", "x"], ["check"]])
def test_the_working_folder_is_gone(tmp_path: Path, command: list[str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os, gbench.cli; os.rmdir({str(gone)!r}); gbench.cli.main()"
    done = subprocess.run([sys.executable, "-c", code, *command], cwd=gone, capture_output=True, text=True)
    said = "gbench: error: the working folder has been removed; go to another folder: cd\n"
    assert (done.returncode, done.stderr) == (4, said)


@pytest.mark.parametrize(("closed", "out"), [(">&-", ""), ("<&-", "pix2pix_unet_256"), ("2>&-", "pix2pix_unet_256")])
def test_a_closed_standard_stream(closed: str, out: str) -> None:
    line = f"{shlex.quote(sys.executable)} -m gbench models {closed}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and out in done.stdout


@pytest.mark.parametrize(("arguments", "code"), [("models", 4), ("models --json", 4), ("", 2), ("nope", 2)])
def test_a_full_disk_below_both_streams_is_no_verdict(arguments: str, code: int) -> None:
    line = f"{shlex.quote(sys.executable)} -m gbench {arguments} >/dev/full 2>&1"
    assert subprocess.run(["bash", "-c", line]).returncode == code


def test_a_path_of_the_command_line_that_is_not_utf_8(tmp_path: Path, small_launch: list[str]) -> None:
    arguments = [
        "launch",
        "pix2pix_resnet_9blocks",
        "4",
        "1",
        "FP32",
        *small_launch,
        "--results",
        os.fsdecode(b"r\xe9"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "gbench", *arguments, "--results", os.fsdecode(b"r\xe9")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 4
    assert done.stderr == "gbench: error: 'r\\xe9' has bytes that are not UTF-8; rename what has such a name\n"
