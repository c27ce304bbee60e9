"""The batch script of a Slurm job, as text: what it asks for, and how it starts a task."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from gbench.base.python import module_argv
from gbench.runfolder.node_facts import NodeAttempt
from gbench.runners.plan import at_node
from gbench.runners.slurm import SlurmRunner
from gbench.runners.slurm_script import script_of
from gbench.runs.slurm_task import endpoint, may_start_again
from gbench.settings.spec import RunSpec

Make = Callable[..., RunSpec]
KEEPS = ("schedule.checkpoint_every=1",)


def options_of(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]


def command_of(script: str) -> list[str]:
    """The words of the command that starts the tasks."""
    words = shlex.split(script[script.index("\nsrun ") :].replace("\\\n", " "), comments=True)
    return words[: words.index("||")]


def test_a_measurement_is_not_started_again(make_spec: Make) -> None:
    spec = make_spec(runner="slurm").replaced(run_id="RUN")
    assert options_of(script_of(spec, Path("/shared/100 % mine/RUN"))) == [
        "--job-name=gbench-RUN",
        "--output='/shared/100 %% mine/RUN/job.log'",
        "--open-mode=append",
        "--nodes=1",
        "--ntasks-per-node=1",
        "--exclusive",
        "--no-requeue",
    ]


def test_a_run_with_checkpoints_is_started_again(make_spec: Make) -> None:
    slurm = {"partition": "gpu", "account": "lab", "qos": "high", "time": "4:00:00", "constraint": "a100&nvlink"}
    spec = make_spec(runner="slurm", settings=KEEPS, **slurm, sbatch=("--mem=0", '--comment="a b"'))
    spec = spec.replaced(device="cuda", device_count=8)
    assert options_of(script_of(spec, Path("/shared/RUN")))[5:] == [
        "--exclusive",
        "--gpus-per-node=8",
        "--requeue",
        "--signal=TERM@120",
        "--partition=gpu",
        "--account=lab",
        "--qos=high",
        "--time=4:00:00",
        "--constraint='a100&nvlink'",
        "--mem=0",
        '--comment="a b"',
    ]


def test_the_task_runs_in_this_environment(make_spec: Make) -> None:
    spec = make_spec(runner="slurm", env={"NAME": "it's $HOME"})
    script = script_of(spec, Path("/shared/a run"))
    task = [*module_argv("gbench.runs.slurm_task"), "--run-dir", "/shared/a run", "--", "bash"]
    assert command_of(script) == ["srun", "--ntasks-per-node=1", "--kill-on-bad-exit=1", *task, spec.run_model_file]
    assert "export NAME='it'\"'\"'s $HOME'\n" in script
    assert "OMP_NUM_THREADS" not in script  # the node knows its cores
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_each_node_of_a_job_gets_its_number_and_the_place(make_spec: Make) -> None:
    spec = make_spec(runner="slurm", nodes=2, device_count=4).replaced(device="cuda")
    script = script_of(spec, Path("/shared/RUN"))
    assert {"--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=2"} < set(options_of(script))
    lines = [line.removeprefix("export ") for line in script.splitlines() if line.startswith("export ")]
    variables = {name: shlex.split(value)[0] for name, value in (line.split("=", 1) for line in lines)}
    there = at_node(variables, 1, "[fd00::1]:20007")
    assert there.keys() == {"NODE_RANK", "WORKER", "TORCHRUN"} and there["NODE_RANK"] == "1"
    assert " --nproc-per-node 2 --nnodes 2 --node-rank 1 --rdzv '[fd00::1]:20007' " in there["WORKER"]
    assert " --nnodes 2 --node-rank 1 --master-addr fd00::1 --master-port 20008 " in there["TORCHRUN"]
    environ = {"SLURM_JOB_ID": "12007", "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1", "SLURM_RESTART_COUNT": "1"}
    assert endpoint(environ) == "10.0.0.1:20008"


@pytest.mark.parametrize(
    ("saved", "again"),
    [([False], True), ([False] * 3, False), ([True, False, False], True), ([True, False, False, False], False)],
)
def test_a_job_that_saves_nothing_ends(saved: list[bool], again: bool) -> None:
    assert may_start_again([NodeAttempt(started_s=0.0, saved=one) for one in saved]) is again


@pytest.mark.parametrize("container", ["apptainer", "pyxis"])
def test_the_task_runs_in_a_container(make_spec: Make, container: str) -> None:
    spec = make_spec(runner="slurm", container=container, image="docker://registry/bench:1", data_source="cached")
    script = script_of(spec.replaced(device="cuda"), Path("/shared/RUN"))
    binds = (
        f"{spec.datasets_dir}:/data:ro,{spec.config_dir}:/gbench/configs:ro,"
        f"{spec.run_model_file}:/gbench/run_model.sh:ro,/shared/RUN:/gbench/run,{spec.cache_dir}:/gbench/cache"
    )
    image = "docker://registry/bench:1"
    inside = {
        "apptainer": ["apptainer", "exec", "--nv", "--no-home", "--pwd=/gbench/run", f"--bind={binds}", image],
        "pyxis": [
            f"--container-image={image}",
            f"--container-mounts={binds}",
            "--container-workdir=/gbench/run",
            "--no-container-mount-home",
        ],
    }[container]
    task = ["python3", "-m", "gbench.runs.slurm_task", "--run-dir", "/gbench/run", "--", "bash", "/gbench/run_model.sh"]
    assert command_of(script)[3:] == [*inside, *task]
    assert "export RUN_DIR=/gbench/run\n" in script
    assert 'RUN_DIR_OF_JOB=/shared/RUN\nrm -f "$RUN_DIR_OF_JOB"/job.exit\n' in script
    facts = {"runner": "slurm", "container": container, "image": image}
    assert SlurmRunner(spec).facts() == facts


def test_a_dry_run_prints_the_script(gbench: Callable[..., Answer], small_launch: list[str], tmp_path: Path) -> None:
    arguments = ["launch", "pix2pix_resnet_9blocks", 4, 1, "FP32", *small_launch, "--runner", "slurm", "--dry-run"]
    answer = gbench(*arguments, "--time", "10")
    assert answer.code == 0, answer.err
    script = answer.out[answer.out.index("#!/usr/bin/env bash\n") :]
    assert "#SBATCH --time=10\n" in script and script.endswith('exit "$code"\n')
    assert not list(tmp_path.iterdir())
    assert gbench(*arguments, "--json").json["request"]["script"].startswith("#!/usr/bin/env bash\n")
