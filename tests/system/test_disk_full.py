"""A disk that is full: the run's, which ends it with one sentence, or the cache's, which the run goes on without."""

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


@pytest.mark.parametrize(("remount", "reason"), [(None, "No space left on device"), ("ro", "Read-only file system")])
def test_a_disk_without_room_for_the_cache_costs_the_cache_alone(
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
    assert [path.name for path in cache.iterdir()] == ([] if remount else [".lock"])
