"""The batch script of a Slurm job, complete and readable: `sbatch job.sbatch` by hand runs the same.

One task a node checks the node and runs the run script there (`runs/slurm_task.py`). If the run saved a checkpoint
because Slurm is about to end the job, the task ends with AGAIN, and the script puts the job back into the queue.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from gbench.base.python import module_argv
from gbench.runners.docker import INSIDE, container_mounts
from gbench.runners.plan import ANYWHERE, places_here, script_environment
from gbench.settings.slurm_config import SlurmConfig
from gbench.settings.spec import RunSpec

SCRIPT, OUTPUT, ENDED = "job.sbatch", "job.log", "job.exit"  # in the run folder
AGAIN = 85  # exit code of a task (and no other's): it saved a checkpoint, and the job should start again
SIGNAL_S = 120  # from the signal to save and stop to the time limit; Slurm may send it 60 s earlier

TAIL = """\
# Slurm is about to end the job, and a checkpoint is saved: start again, unless the job is being cancelled.
if [ "$code" -eq {again} ] && scontrol show job --oneliner "$SLURM_JOB_ID" | grep --quiet ' JobState=RUNNING '; then
  echo 'gbench: the run saved a checkpoint; the job goes back into the queue'
  scontrol requeue "$SLURM_JOB_ID" && exit 0
fi
printf '%s\\n' "$code" >"$RUN_DIR_OF_JOB"/{ended}
exit "$code"
"""


def job_name(spec: RunSpec) -> str:
    """The name of a run's job, by which it is found although its number is lost."""
    return f"gbench-{spec.run_id}"


def slurm_of(spec: RunSpec) -> SlurmConfig:
    """The options of the job; those of a replay are the cluster's defaults."""
    return spec.slurm or SlurmConfig()


def script_of(spec: RunSpec, run_dir: Path) -> str:
    """The text of the script, for the run folder `run_dir`."""
    slurm = slurm_of(spec)
    bare = slurm.container == "bare"
    places = places_here(spec, run_dir) if bare else INSIDE
    task = module_argv("gbench.runs.slurm_task", places.python)
    task += ["--run-dir", places.run_dir, "--", "bash", places.run_script]
    if spec.nodes > 1:
        spec = spec.replaced(rdzv=ANYWHERE)
    lines = [
        "#!/usr/bin/env bash",
        f"# The Slurm job of the gbench run {spec.run_id}. gbench wrote it, and submits it with `sbatch {SCRIPT}`.",
        *(f"#SBATCH {option}" for option in _options(spec, slurm, run_dir)),
        "",
        f"RUN_DIR_OF_JOB={shlex.quote(str(run_dir))}",
        f'rm -f "$RUN_DIR_OF_JOB"/{ENDED}',
        'echo "gbench: job $SLURM_JOB_ID on $SLURM_JOB_NODELIST, start $((${SLURM_RESTART_COUNT:-0} + 1))"',
        "",
        "# what the run script reads: docs/run-scripts.md",
        *(f"export {name}={shlex.quote(value)}" for name, value in script_environment(spec, places, None).items()),
        "",
        "# one task a node",
        "code=0",
        " \\\n  ".join(map(shlex.join, [*_srun(spec, slurm, run_dir), task])) + " || code=$?",
        "",
    ]
    return "\n".join(lines) + TAIL.format(again=AGAIN, ended=ENDED)


def _options(spec: RunSpec, slurm: SlurmConfig, run_dir: Path) -> list[str]:
    """The options of sbatch, in the order of the script: the user's own come last, and prevail."""
    resumable = spec.config.schedule.checkpoint_every > 0 and spec.recipe != "evaluation"
    named = {
        "partition": slurm.partition,
        "account": slurm.account,
        "qos": slurm.qos,
        "time": slurm.time,
        "constraint": slurm.constraint,
    }
    gpus = [f"--gpus-per-node={spec.devices_per_node}"] if spec.device == "cuda" else []
    output = str(run_dir / OUTPUT).replace("%", "%%")  # of sbatch's patterns
    return [
        f"--job-name={job_name(spec)}",
        f"--output={shlex.quote(output)}",
        "--open-mode=append",
        f"--nodes={spec.nodes}",
        "--ntasks-per-node=1",
        "--exclusive",
        *gpus,
        *(["--requeue", f"--signal=TERM@{SIGNAL_S}"] if resumable else ["--no-requeue"]),
        *(f"--{name}={shlex.quote(value)}" for name, value in named.items() if value is not None),
        *slurm.sbatch,
    ]


def _srun(spec: RunSpec, slurm: SlurmConfig, run_dir: Path) -> list[Sequence[str]]:
    """The lines of the command that starts a task on each node, up to the task itself."""
    srun = ["srun", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    if slurm.container == "bare":
        return [srun]
    mounts = container_mounts(spec, run_dir)
    joined = ",".join(f"{outside}:{inside}{':ro' if read_only else ''}" for inside, outside, read_only in mounts)
    if slurm.container == "pyxis":
        inside = [f"--container-image={spec.image}", f"--container-mounts={joined}"]
        return [srun, [*inside, f"--container-workdir={INSIDE.run_dir}", "--no-container-mount-home"]]
    nvidia = ["--nv"] if spec.device == "cuda" else []
    apptainer = ["apptainer", "exec", *nvidia, "--no-home", f"--pwd={INSIDE.run_dir}", f"--bind={joined}", spec.image]
    return [srun, apptainer]
