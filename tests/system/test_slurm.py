"""`--runner slurm` on a real Slurm of two nodes, as a user runs it from a login host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from shared_runs import the_run
from slurm_cluster import Slurm

pytestmark = pytest.mark.system


class Login:
    """A folder on the login host, from which gbench is called."""

    def __init__(self, folder: Path, slurm: Slurm, small_launch: list[str]) -> None:
        self.folder, self.slurm = folder, slurm
        self.small = [*small_launch, "--runner", "slurm"]

    def begin(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gbench", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, **self.slurm.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """Run gbench to its end: exit code, stdout and stderr."""
        process = self.begin(*arguments)
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err

    def launch(self, *options: object) -> list[object]:
        return ["launch", "pix2pix_resnet_6blocks", 4, 1, "FP32", *self.small, *options]


@pytest.fixture
def login(slurm: Slurm, small_launch: list[str], tmp_path: Path) -> Login:
    folder = tmp_path / "a folder"
    folder.mkdir()
    return Login(folder, slurm, small_launch)


def test_a_launch_is_a_job_with_a_record(login: Login) -> None:
    code, out, err = login.run(*login.launch("--steps", 6, "--warmup", 2, "--json", "--sbatch", '--comment="a test"'))
    assert code == 0, err
    folder = the_run(login.folder)
    job = json.loads((folder.path / "slurm.json").read_text())["job"]
    assert f"Slurm job {job} runs on n" in err
    assert "iters: 4," in err  # the log, as it was written
    assert login.slurm.job(job)["JobState"] == "COMPLETED"
    assert '#SBATCH --comment="a test"\n' in (folder.path / "job.sbatch").read_text()

    # the record is that of any launch, and its machine is the job's node
    path = Path(json.loads(out)["paths"]["record"])
    record = yaml.safe_load(path.read_text())
    assert record["perf_data"]["count"] > 0
    assert (record["soft_info"]["runner"], record["hard_info"]["mem"][-3:]) == ("slurm", " GB")
    assert "memory" in {check.id for check in folder.host().checks}
    assert record["extra"]["spec"]["slurm"]["sbatch"] == ['--comment="a test"']


def test_a_job_that_slurm_refuses(login: Login) -> None:
    code, _, err = login.run(*login.launch("--steps", 6, "--warmup", 2, "--partition", "nowhere"))
    assert (code, "Invalid partition name specified" in err) == (4, True), err
    assert err.count("Traceback") == 0
