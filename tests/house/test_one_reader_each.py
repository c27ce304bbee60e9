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
