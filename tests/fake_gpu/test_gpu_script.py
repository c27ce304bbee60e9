"""benchmarks/gpu.sh whole, on a fake GPU and tiny sizes: nothing but its figures is new on a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Without the compiler, which test_gpu_paths.py runs: four tunings of both compile switches would take minutes.
QUICKLY = {"TORCH_COMPILE_DISABLE": "1", "PYTHON": sys.executable}


def test_every_run_of_the_gpu_script_ends_well(fake_gpu: dict[str, str], tmp_path: Path) -> None:
    command = ["bash", str(ROOT / "benchmarks/gpu.sh"), "--small", "--out", str(tmp_path / "out"), "--budget", "3000"]
    environ = {**os.environ, **fake_gpu, **QUICKLY}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=3100)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    assert done.stdout.splitlines()[0] == "Fake GPU (figures mean nothing)"
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == [
        *(f"reference {precision} real" for precision in ("FP32", "TF32", "AMP", "BF16")),
        *(f"reference BF16 {data}" for data in ("cached", "resident", "synthetic")),
        *(f"optimized {precision} resident" for precision in ("BF16", "TF32", "AMP", "FP32")),
    ]
    assert all(float(row[1]) > 0 for row in rows)
    assert {path.read_text().strip() for path in (tmp_path / "out").glob("*.code")} == {"0"}
