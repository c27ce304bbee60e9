"""`gbench bisect` on a real repository: 64 commits, one of which makes each step sleep 3 % longer.

    python benchmarks/planted_commit.py          # some minutes; prints the planted commit and gbench's answer

The run script of each commit sleeps for its steps and reports images per second of what it measured, so the noise is
that of this machine.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

STEP = """import time
def step():
    time.sleep({seconds})
"""
SCRIPT = """exec {python} - <<'END'
import os, time
from training import step
for _ in range(5):
    step()
began = time.perf_counter()
for _ in range(60):
    step()
rate = 60 * 4 / (time.perf_counter() - began)
with open(os.environ["BENCHMARK_LOG"], "a") as log:
    print(f"network:sleeping, batch size:4, device count:1, dpf mode:Single, precision:FP32, "
          f"throughput:{{rate}} samples/s, device:none, dataset:none", file=log)
END
"""
COMMITS, STEP_S, SLOWER = 64, 0.010, 1.03


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args().seed
    with tempfile.TemporaryDirectory() as folder:
        repo, results = Path(folder) / "repo", Path(folder) / "results"
        place = random.Random(seed).randrange(1, COMMITS)
        commits = repository(repo, place)
        gbench = [sys.executable, "-m", "gbench"]
        data = Path(folder) / "data" / "drawn"
        subprocess.run(
            [*gbench, "data", "synth", "--out", data, "--count", "4", "--size", "64"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        spec = {
            "model": "pix2pix_resnet_9blocks",
            "batch_size": 4,
            "device_count": 1,
            "precision": "FP32",
            "device": "cpu",
            "runner": "local",
            "dataset": "drawn",
            "datasets_dir": str(data.parent),
            "run_model_file": str(repo / "run.sh"),
            "ignore_check": True,
        }
        (Path(folder) / "spec.yaml").write_text(yaml.safe_dump(spec))
        began = time.monotonic()
        command = ["bisect", Path(folder) / "spec.yaml", commits[0], commits[-1], "--repo", repo, "--results", results]
        answer = subprocess.run([*gbench, *command, "--quiet"], check=False)
        print(f"planted: {commits[place][:10]}, {place} commits after GOOD; {time.monotonic() - began:.0f} s")
        return answer.returncode


def repository(repo: Path, place: int) -> list[str]:
    """Make the repository; returns its commits, GOOD first. place: of the slow commit."""
    repo.mkdir()
    git(repo, "init", "--quiet")
    (repo / "run.sh").write_text(SCRIPT.format(python=sys.executable))
    commits = []
    for number in range(COMMITS + 1):
        seconds = STEP_S * (SLOWER if number >= place else 1)
        (repo / "training.py").write_text(f"# change {number}\n{STEP.format(seconds=seconds)}")
        git(repo, "add", ".")
        git(repo, "commit", "--quiet", "-m", f"change {number}")
        commits.append(git(repo, "rev-parse", "HEAD"))
    return commits


def git(repo: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Drawn", "-c", "user.email=drawn@example.org")
    command = ["git", *who, "-C", str(repo), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
