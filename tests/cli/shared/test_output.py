"""What a run prints."""

from __future__ import annotations

import pytest

from drawn_records import record
from gbench.cli.shared.output import print_lines, print_reported


def test_text_of_a_strangers_folder_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines([("source", "\x07\x1b]0;t")])
    print_reported(record(perf_data={"throughput": 1, "note\x07": "\x1b[2J"}))
    assert capsys.readouterr().out.replace("\n", "").isprintable()
