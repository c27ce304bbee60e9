"""A rank that the kernel kills for lack of memory, really: in a control group of its own, with a limit. Needs root."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import Answer

from gbench.datasets.synth import synth
from gbench.experiments.sweep_file import SweepFolder

pytestmark = pytest.mark.system
LIMIT_BYTES = 2 << 30  # torch alone takes half of it
LARGE = {"data.load_size": 144, "data.crop_size": 128, "network.ngf": 32, "network.ndf": 32}


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group whose processes may take LIMIT_BYTES together; cgroup v1 or v2."""
    first = Path("/sys/fs/cgroup/memory")
    base, limit = (first, "memory.limit_in_bytes") if first.is_dir() else (first.parent, "memory.max")
    made = base / f"gbench-test-{os.getpid()}"
    made.mkdir()
    (made / limit).write_text(str(LIMIT_BYTES))
    yield made
    made.rmdir()  # refused while a process is left in it


def test_a_cell_killed_by_the_kernel_is_out_of_memory(
    gbench: Callable[..., Answer], small_launch: list[str], group: Path, tmp_path: Path
) -> None:
    synth(tmp_path / "data", {"train": 64}, size=40)
    script = tmp_path / "pt-pix2pix.sh"
    script.write_text(f'echo $$ > {group}/cgroup.procs\neval "exec $WORKER"\n')
    settings = [text for key, value in LARGE.items() for text in ("--set", f"{key}={value}")]
    where = ["--datasets-dir", tmp_path / "data", "--run-model-file", script, "--data", "synthetic"]
    matrix = ["--batch-sizes", "1,64", "--device-counts", 1, "--precisions", "FP32"]
    arguments = [*small_launch, *settings, *where, "--steps", 3, "--warmup", 1]
    answer = gbench("sweep", "pix2pix_resnet_9blocks", *matrix, *arguments)
    assert answer.code == 0, answer.err
    (path,) = (tmp_path / "results").iterdir()
    small, large = SweepFolder(path).read().cells
    assert (small.state, large.state) == ("done", "out_of_memory")
    assert len(large.attempts) == 1
    assert "out of memory: the kernel killed a process of the run for lack of memory" in answer.out
