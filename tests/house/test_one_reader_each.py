"""What others made is read in one place each: YAML, JSON, images and whole numbers, with its guards."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src/gbench"
# What parses -> the files that may; those besides the reader read what a process of the same run has written.
READERS = {
    r"\byaml\.(safe_|full_|unsafe_)?load(_all)?\(|SafeLoader\(": {"base/untrusted.py"},
    r"(?<!strict_)\bjson\.loads?\(|from_json\(": {
        *(
            "base/strict_json.py",
            "cndb/identity.py",
            "cndb/values.py",
            "measure/trace.py",
            "pix2pix/slow_facts.py",
            "runners/sbom.py",
        ),
        *("runs/meeting.py", "runs/rendezvous.py"),
    },
    r"\b(Image|Picture)\.open\(": {"datasets/decode.py"},
    r"\.is(digit|decimal|numeric)\(": {"machine/gpus.py", "measure/telemetry/host_source.py"},
    r"\btorch\.load\(|\bpickle\.": {"pix2pix/checkpoint.py", "runfolder/checkpoints.py"},
}


@pytest.mark.parametrize("parses", READERS)
def test_each_kind_of_file_has_one_reader(parses: str) -> None:
    found = {
        path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if re.search(parses, path.read_text())
    }
    assert found <= READERS[parses]


def test_what_a_command_prints_has_no_control_characters() -> None:
    """`echo` of cli/shared/output.py is for text. The others print JSON, YAML, colours, or paths for scripts."""
    raw = ("__init__", "check", "completion", "report", "cndb", "summary", "shared/output", "shared/entries")
    found = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if "click.echo" in path.read_text()}
    assert found == {f"cli/{name}.py" for name in raw}
