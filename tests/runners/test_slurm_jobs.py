"""A job from its submission to its end: what is printed, which commands are given, how it is reported.

Scripts stand in for Slurm's commands: they answer what a test wrote. The real ones are in tests/system/test_slurm.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gbench.errors import GbenchError, InfrastructureError, Interrupted
from gbench.runners import following, slurm, slurm_commands
from gbench.runners.cluster_job import ClusterJob, read_job
from gbench.runners.slurm import SlurmRunner
from gbench.runners.slurm_script import ENDED, OUTPUT
from gbench.settings.spec import RunSpec
from golden import check_golden

# The n-th call of a command gives the n-th line of its answers, the last one again; `!...` is an error.
COMMAND = """#!/bin/sh
cd {folder} || exit 9
name=${{0##*/}}
echo "$name $*" >>calls
echo >>"$name.count"
line=$(sed -n "$(wc -l <"$name.count")p" "$name")
[ "$line" ] || line=$(tail -n 1 "$name")
case $line in
  '!'*) printf '%b' "${{line#!}}" >&2; exit 1 ;;
  *) echo "$line" ;;
esac
"""


def state(name: str, **fields: str) -> str:
    return " ".join(f"{key}={value}" for key, value in {"JobId": "7", "JobState": name, **fields}.items())


PENDING = state("PENDING", Reason="Resources", StartTime="2026-11-30T08:16:15", NodeList="(null)")
RUNNING = state("RUNNING", Reason="None", NodeList="n1", TimeLimit="01:00:00")


@dataclass
class Case:
    """What the commands answer, what the job left, and changes of its spec."""

    states: list[str]
    output: str | None = "first\nsecond\nrest"
    ended: str | None = "0"
    sbatch: str = "7;cluster"
    changes: dict[str, object] = field(default_factory=dict)
    earlier: ClusterJob | None = None
    stop_at: str | None = None
    """Ctrl-C comes with a line that has this."""
    patience: str | None = None
    """A limit of `following` that is soon over."""


CASES = {
    "well": Case([PENDING, PENDING, RUNNING, state("COMPLETED", ExitCode="0:0")]),
    "own exit code": Case([RUNNING, state("FAILED", ExitCode="3:0")], ended="3"),
    "killed": Case([RUNNING, state("FAILED", ExitCode="0:9")], ended=None),
    "nothing written": Case([state("FAILED", ExitCode="1:0", NodeList="n1")], output=None),
    "time is up": Case([RUNNING, state("TIMEOUT", TimeLimit="01:00:00")], changes={"recipe": "convergence"}),
    "out of memory": Case([state("OUT_OF_MEMORY", NodeList="n1")]),
    "cancelled": Case([state("CANCELLED", Reason="None")]),
    "pre-empted": Case(
        [state("RUNNING", NodeList="n1", PreemptTime="2026-11-30T08:16:15"), state("FAILED", ExitCode="1:0")]
    ),
    "put back": Case(
        [
            RUNNING,
            state("SUSPENDED"),
            state("PENDING", Restarts="1", Reason="BeginTime"),
            state("RUNNING", Restarts="1", PreemptTime="now", NodeList="n2"),
            state("PENDING", Restarts="2", Reason="None"),
            state("COMPLETED", Restarts="2"),
        ]
    ),
    "held": Case([state("PENDING", Restarts="1", Reason="JobHeldAdmin"), state("CANCELLED")]),
    "held by its user": Case([state("PENDING", Reason="JobHeldUser"), state("COMPLETED")]),
    "waits too long": Case([PENDING, "!busy", RUNNING, state("CANCELLED")], changes={"queue_timeout_s": 0.001}),
    "silent at times": Case(["!scontrol: error: Unable to contact", "busy", RUNNING, state("COMPLETED")]),
    "forgotten": Case([RUNNING, "!slurm_load_jobs error: Invalid job id specified"], ended="5"),
    "forgotten without a code": Case(["!slurm_load_jobs error: Invalid job id specified"], ended=None),
    "refused": Case([], sbatch="!sbatch: error: invalid partition specified: gpu"),
    "refused silently": Case([], sbatch="!"),
    "taken up": Case([state("COMPLETED")], earlier=ClusterJob(job="5", submitted_s=0.0, log_bytes=6)),
    "silent for too long": Case([RUNNING, "!busy"], patience="SILENT_S"),
    "stopped": Case([RUNNING, RUNNING, state("CANCELLED")], stop_at="runs on"),
    "stopped, and does not end": Case([RUNNING], stop_at="runs on", patience="ENDING_S"),
    "stopped while Slurm is silent": Case([RUNNING, "!busy"], stop_at="runs on", patience="ENDING_S"),
    "detached and stopped": Case(
        [RUNNING], stop_at="runs on", earlier=ClusterJob(job="5", submitted_s=0.0, detached=True)
    ),
    "of another cluster": Case(
        ["!slurm_load_jobs error: Invalid job id specified", "ClusterName             = beta"],
        ended=None,
        earlier=ClusterJob(job="5", submitted_s=0.0, detached=True, cluster="alpha"),
    ),
    "of another run": Case(
        [state("RUNNING", JobName="wrap"), "ClusterName             = beta"],
        ended=None,
        earlier=ClusterJob(job="5", submitted_s=0.0, detached=True, cluster="alpha"),
    ),
    "forgotten by its cluster": Case(
        ["!slurm_load_jobs error: Invalid job id specified", "ClusterName             = alpha"],
        ended=None,
        earlier=ClusterJob(job="5", submitted_s=0.0, detached=True, cluster="alpha"),
    ),
    "an option that sbatch does not know": Case(
        [], sbatch="!sbatch: unrecognized option '--nonsense'\\nTry \"sbatch --help\" for more information\\n"
    ),
    "no controller": Case([], sbatch="!sbatch: fatal: Could not establish a configuration source"),
    "after another": Case([state("COMPLETED")], earlier=ClusterJob(job="5", submitted_s=0.0, log_bytes=6, ended=True)),
}


def test_jobs(make_spec: Callable[..., RunSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, constant, seconds in (
        (following, "LOOK_S", 0.001),
        (following, "ASK_S", 0.0),
        (slurm, "STORAGE_S", 0.01),
    ):
        monkeypatch.setattr(module, constant, seconds)
    monkeypatch.setattr(slurm, "LOOK_S", 0.001)
    limits = {name: getattr(following, name) for name in ("SILENT_S", "ENDING_S")}
    said = []
    for name, case in CASES.items():
        folder = tmp_path / name.replace(" ", "-")
        for command, answers in (("sbatch", [case.sbatch]), ("scontrol", case.states), ("scancel", ["ok"])):
            (folder / "bin").mkdir(parents=True, exist_ok=True)
            (folder / command).write_text("".join(f"{line}\n" for line in answers))
            (folder / "bin" / command).write_text(COMMAND.format(folder=folder))
            (folder / "bin" / command).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}/bin:{os.defpath}")
        for limit, seconds in limits.items():
            monkeypatch.setattr(following, limit, 0.3 if case.patience == limit else seconds)
        lines = outcome(case, make_spec(runner="slurm", **case.changes))
        calls = dict.fromkeys((folder / "calls").read_text().splitlines())
        said.append("\n".join([f"{name}:", *(f"    {line}" for line in (*lines, *calls))]))
    check_golden(
        "slurm-jobs.txt", re.sub(r"\d{8}T\d{6}Z-[\w-]+", "RUN", "\n".join(said).replace(str(tmp_path), "HERE")) + "\n"
    )


def outcome(case: Case, spec: RunSpec) -> list[str]:
    """The lines that a job's run prints, its end, and what is noted of it."""
    spec.run_dir.mkdir(parents=True)
    if case.earlier:
        (spec.run_dir / OUTPUT).write_text(case.output or "")
        case.earlier.write(spec.run_dir)
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        if len(lines) == 1 and not case.earlier and case.output is not None:  # the job is submitted
            (spec.run_dir / OUTPUT).write_text(case.output)
        if case.ended is not None:
            (spec.run_dir / ENDED).write_text(case.ended)
        if case.stop_at is not None and case.stop_at in line:
            raise Interrupted("stopped by Ctrl-C", "what the run had written is kept")

    try:
        end = str(SlurmRunner(spec).run(spec.run_dir, on_line))
    except GbenchError as error:
        end = f"{type(error).__name__}: {error}"
    job = read_job(spec.run_dir)
    return [*lines, end, str(job and job.model_copy(update={"submitted_s": 0.0}))]


def test_commands_that_are_not_there_or_never_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    there_is_none = (
        "there is no scancel on this host; run this on a login host of the cluster, or take another --runner"
    )
    with pytest.raises(InfrastructureError) as missing:
        slurm_commands.cancel("gbench-RUN")
    assert str(missing.value) == there_is_none
    (tmp_path / "scontrol").write_text("#!/bin/sh\nprintf 'ClusterName = a\\377\\n'\n")
    (tmp_path / "scontrol").chmod(0o755)
    assert slurm_commands.cluster_name() == "a\N{REPLACEMENT CHARACTER}"
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\nPATH={os.defpath} exec sleep 600\n")
    monkeypatch.setattr(slurm_commands, "COMMAND_S", 0.1)
    with pytest.raises(following.NoAnswer, match=r"^scontrol did not answer within 0\.1 s$"):
        slurm_commands.state_of_job("7")


def test_a_job_is_left_on_a_host_without_slurm(
    make_spec: Callable[..., RunSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    spec = make_spec(runner="slurm")
    spec.run_dir.mkdir(parents=True)
    ClusterJob(job="5", submitted_s=0.0, detached=True).write(spec.run_dir)
    with pytest.raises(
        InfrastructureError, match=r"^there is no scontrol on this host; Slurm job 5 may still run; take "
    ):
        SlurmRunner(spec).run(spec.run_dir, lambda line: None)
    job = read_job(spec.run_dir)
    assert job is not None and not job.ended


def test_a_broken_note_of_a_job(tmp_path: Path) -> None:
    said = []
    for name in ("kubernetes.json", "slurm.json"):
        (tmp_path / name).write_text("[]")
        with pytest.raises(InfrastructureError) as error:
            read_job(tmp_path)
        said.append(f"{error.value}\n".replace(str(tmp_path), "HERE"))
    check_golden("job-notes-broken.txt", "".join(said))
    (tmp_path / "kubernetes.json").unlink()
    (tmp_path / "slurm.json").write_text('{"version": 2, "job": "7", "submitted_s": 1.0}')
    with pytest.raises(InfrastructureError, match="use the gbench version that wrote it, or see `squeue --me`"):
        read_job(tmp_path)


def test_how_a_job_is_called_and_ended_by_hand() -> None:
    jobs = [ClusterJob(job="7", submitted_s=0.0), ClusterJob(scheduler="kubernetes", job="gbench-1", submitted_s=0.0)]
    assert [(job.title, job.end_command) for job in jobs] == [
        ("Slurm job 7", "scancel 7"),
        ("TrainJob gbench-1", "kubectl delete trainjob gbench-1"),
    ]


def test_a_runner_for_another_spec_submits_that(make_spec: Callable[..., RunSpec]) -> None:
    spec, other = make_spec(runner="slurm"), make_spec(runner="slurm", steps=9)
    assert SlurmRunner(spec).with_spec(other).describe() == SlurmRunner(other).describe()
