"""A full disk: the run's ends the run with one sentence; without the cache's, the run continues."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import Answer

from gbench.cndb.store import BATCH

pytestmark = pytest.mark.system


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 KiB."""
    with disk(tmp_path / "disk", "100k") as folder:
        yield folder


@pytest.fixture
def cndb_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system on which a SQLite database has room for some records."""
    with disk(tmp_path / "disk", "400k") as folder:
        yield folder


def test_a_full_disk_stores_whole_transactions_alone(gbench: Callable[..., Answer], cndb_disk: Path) -> None:
    line = "network:m, batch size:32, device count:1, precision:FP32, throughput:{}.5 img/s, device:V100, dataset:d\n"
    log = cndb_disk.parent / "benchmark.log"
    log.write_text(line.format(1))
    assert gbench("cndb", "import", log, "--cndb-dir", cndb_disk).code == 0
    log.write_text("".join(line.format(number) for number in range(2000)))
    answer = gbench("cndb", "import", log, "--cndb-dir", cndb_disk)
    assert answer.code == 4
    assert answer.err.count("\n") == 1 and "database or disk is full; check that" in answer.err
    listed = gbench("cndb", "list", "--json", "--limit", 0, "--cndb-dir", cndb_disk).json
    assert 0 < len(listed) < 2000 and len(listed) % BATCH == 0
    assert sorted(one["throughput"] for one in listed) == [number + 0.5 for number in range(len(listed))]


def test_a_record_without_room_is_kept_in_the_run_folder(
    gbench: Callable[..., Answer], small_launch: list[str], cndb_disk: Path
) -> None:
    script = cndb_disk.parent / "fill.sh"  # the folder could be written when the run began
    script.write_text(f"""
        dd if=/dev/zero of={cndb_disk}/full bs=1k 2>/dev/null
        echo "network:m, batch size:2, device count:1, precision:FP32, throughput:1.5 img/s, device:x, dataset:d" \\
          >> "$BENCHMARK_LOG"
    """)
    launch = ["launch", "pix2pix_resnet_6blocks", 2, 1, "FP32", *small_launch, "--run-model-file", script, "-q"]
    answer = gbench(*launch, "--cndb-dir", cndb_disk)
    assert answer.code == 4
    (path,) = cndb_disk.parent.glob("results/*/record.yaml")
    assert f"No space left on device); the record was kept as {path}; free space, then submit that" in answer.err
    (cndb_disk / "full").unlink()
    assert "1 inserted" in gbench("cndb", "submit", path, "--cndb-dir", cndb_disk).out


def test_a_full_disk_ends_the_run_with_one_sentence(
    gbench: Callable[..., Answer], small_launch: list[str], small_disk: Path
) -> None:
    arguments = [*small_launch, "--set", "network.ngf=1", "--steps", 100_000, "--warmup", 2, "-q"]
    answer = gbench("launch", "pix2pix_resnet_6blocks", 2, 1, "FP32", *arguments, "--results", small_disk / "results")
    assert answer.code == 4  # whether the log or the worker's samples were refused first
    (line,) = answer.err.splitlines()
    assert line.startswith("gbench: error: ") and "can't write" in line and "No space left on device" in line
    (run,) = (small_disk / "results").iterdir()
    summary = gbench("summary", run)
    assert summary.code == 0
    assert "INCOMPLETE" in summary.out
    assert [row["state"] for row in gbench("runs", "--results", run.parent, "--json").json] == ["failed"]


@pytest.mark.parametrize(("remount", "reason"), [(None, "No space left on device"), ("ro", "Read-only file system")])
def test_a_full_cache_disk_costs_the_cache_alone(
    gbench: Callable[..., Answer], small_launch: list[str], small_disk: Path, remount: str | None, reason: str
) -> None:
    cache = small_disk / "cache"
    cache.mkdir()
    if remount:
        subprocess.run(["mount", "-o", f"remount,{remount}", str(small_disk)], check=True)
    arguments = [*small_launch, "--steps", 5, "--warmup", 2, "-q", "--data", "cached", "--cache-dir", cache]
    answer = gbench("launch", "pix2pix_resnet_6blocks", 2, 1, "FP32", *arguments)
    assert answer.code == 0, answer.err
    assert "end to end, data loading included" in answer.out
    (line,) = (line for line in answer.out.splitlines() if line.startswith("data "))
    assert line.startswith(f"data          real: can't write {cache}/") and reason in line
    left = {path.name for path in cache.iterdir()} - {"hashes"}  # of the dataset's files, if they fitted
    assert left == (set() if remount else {".lock"})
