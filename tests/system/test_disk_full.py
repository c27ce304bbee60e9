"""A disk that fills up in the middle of a run: one sentence, nothing left running, what was measured still counts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import Answer

pytestmark = pytest.mark.system


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_the_database_as_it_was(gbench: Callable[..., Answer], small_disk: Path) -> None:
    line = "network:m, batch size:32, device count:1, precision:FP32, throughput:{}.5 img/s, device:V100, dataset:d\n"
    log = small_disk.parent / "benchmark.log"
    log.write_text(line.format(1))
    assert gbench("cndb", "import", log, "--cndb-dir", small_disk).code == 0
    log.write_text("".join(line.format(number) for number in range(2000)))
    answer = gbench("cndb", "import", log, "--cndb-dir", small_disk)
    assert answer.code == 4
    assert answer.err.count("\n") == 1 and "database or disk is full; see that" in answer.err
    assert gbench("cndb", "export", "--out", small_disk, "--cndb-dir", small_disk).code == 0
    assert [one["throughput"] for one in gbench("cndb", "list", "--json", "--cndb-dir", small_disk).json] == [1.5]


def test_a_record_that_the_full_cndb_folder_cant_take_is_kept_in_the_run_folder(
    gbench: Callable[..., Answer], small_launch: list[str], small_disk: Path
) -> None:
    script = small_disk.parent / "fill.sh"  # the folder could be written when the run began
    script.write_text(f"""
        dd if=/dev/zero of={small_disk}/full bs=1k 2>/dev/null
        echo "network:m, batch size:2, device count:1, precision:FP32, throughput:1.5 img/s, device:x, dataset:d" \\
          >> "$BENCHMARK_LOG"
    """)
    launch = ["launch", "pix2pix_resnet_6blocks", 2, 1, "FP32", *small_launch, "--run-model-file", script, "-q"]
    answer = gbench(*launch, "--cndb-dir", small_disk)
    assert answer.code == 4
    (path,) = small_disk.parent.glob("results/*/record.yaml")
    assert f"No space left on device); the record was kept as {path}; free space, then submit that" in answer.err
    (small_disk / "full").unlink()
    assert "1 inserted" in gbench("cndb", "submit", path, "--cndb-dir", small_disk).out


def test_a_full_disk_ends_the_run_with_one_sentence(
    gbench: Callable[..., Answer], small_launch: list[str], small_disk: Path
) -> None:
    arguments = [*small_launch, "--set", "network.ngf=1", "--steps", 100_000, "--warmup", 2, "-q"]
    answer = gbench("launch", "pix2pix_resnet_6blocks", 2, 1, "FP32", *arguments, "--results", small_disk / "results")
    assert answer.code in (1, 4)  # whether the log or the worker's samples were refused first
    (line,) = answer.err.splitlines()
    assert line.startswith("gbench: error: ") and "can't write" in line and "No space left on device" in line
    (run,) = (small_disk / "results").iterdir()
    summary = gbench("summary", run)
    assert summary.code == 0
    assert "INCOMPLETE" in summary.out
