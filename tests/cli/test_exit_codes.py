"""Exit codes of gbench if its arguments and its run are valid."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_a_reader_that_has_gone_is_no_verdict() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "gbench", "models"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
