"""A run on GPUs that hangs in a collective."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from support import two_ranks

from gbench.pix2pix.ranks.flight_records import NAME
from gbench.runfolder.error_file import read_error
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import RunSpec
from rank_programs import program

# Rank 1 is stopped after an all-reduce, so that rank 0 waits in the next one.
LINES = """
    import torch
    torch.cuda.set_device(rank)
    torch.distributed.init_process_group("nccl")
    for step in (1, 2):
        if (rank, step) == (1, 2):
            os.kill(os.getpid(), signal.SIGSTOP)
        torch.distributed.all_reduce(torch.ones(3, device="cuda"))
        torch.cuda.synchronize()
        heartbeat.beat(5.0, step)
    time.sleep(600)
"""
PATIENT = "from gbench.pix2pix.ranks import flight_records; flight_records.WRITE_S = 200"


@two_ranks
def test_a_hang_leaves_flight_records(
    fake_gpu: dict[str, str], make_spec: Callable[..., RunSpec], tmp_path: Path
) -> None:
    folder = RunFolder.create(make_spec().model_copy(update={"results_dir": str(tmp_path), "device": "cuda"}))
    (tmp_path / "fake").mkdir()
    fake = {**fake_gpu, "FAKE_GPU_DIR": str(tmp_path / "fake"), "FAKE_GPU_COUNT": "2"}
    done = subprocess.run(
        [sys.executable, "-c", PATIENT + program(folder.path, LINES)],
        env={**os.environ, **fake},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 128 + signal.SIGKILL, done.stdout + done.stderr
    error = read_error(folder)
    assert error is not None and error.what.endswith(" is stopped (SIGSTOP)")
    assert [path.name for path in folder.path.glob(f"{NAME}*")] == [f"{NAME}0"]
    record = pickle.loads((folder.path / f"{NAME}0").read_bytes())
    assert [(one["profiling_name"], one["collective_seq_id"]) for one in record["entries"]] == [
        ("nccl:all_reduce", 1),
        ("nccl:all_reduce", 2),
    ]
