"""A git repository whose run script reports a figure that its commits change."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml
from support import spec_of_script

SCRIPT = """set -e
figure=$({python} -c 'import figure; print(figure.FIGURE)')
echo "network:mine, batch size:$BATCH_SIZE, device count:$DEVICE_COUNT, dpf mode:Single, precision:$PRECISION, \
throughput:$figure samples/s, device:Card X, dataset:$DATASETS" >> "$BENCHMARK_LOG"
"""


def git(repo: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Drawn", "-c", "user.email=drawn@example.org", "-c", "init.defaultBranch=main")
    command = ["git", *who, "-C", str(repo), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def repository_of(repo: Path, figures: list[str], python: str) -> list[str]:
    """Make a repository with a commit a figure, an expression of Python; returns the commits, the oldest first."""
    (repo / "src").mkdir(parents=True)
    git(repo, "init", "--quiet")
    (repo / "run.sh").write_text(SCRIPT.format(python=python))
    commits = []
    for number, figure in enumerate(figures):
        (repo / "src" / "figure.py").write_text(f"import random\nFIGURE = {figure}  # {number}\n")
        git(repo, "add", ".")
        git(repo, "commit", "--quiet", "-m", f"change {number} | <b>")
        commits.append(git(repo, "rev-parse", "HEAD"))
    return commits


def spec_in(repo: Path, facades: Path, path: Path) -> Path:
    """A spec file that runs the repository's script."""
    path.write_text(yaml.safe_dump(spec_of_script(repo / "run.sh", facades)))
    return path
