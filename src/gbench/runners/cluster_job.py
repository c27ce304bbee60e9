"""slurm.json or kubernetes.json in the run folder: the job of a run, so that another gbench can take it up."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from gbench.base.files import is_there, write_atomically
from gbench.base.json_file import read_json
from gbench.errors import GbenchError

NAMES = {"slurm": "slurm.json", "kubernetes": "kubernetes.json"}
AGAIN = "launch it again"


class ClusterJob(BaseModel):
    """A submitted job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    scheduler: Literal["slurm", "kubernetes"] = "slurm"
    job: str
    """Its number or name."""
    submitted_s: float
    """Seconds since 1970."""
    detached: bool = False
    """It goes on when its gbench stops."""
    log_bytes: int = 0
    """How much of its output is in log.txt."""
    log_time: str = ""
    """Time of the last line of its output that is in log.txt, where each line has one."""
    ended: bool = False
    cluster: str = ""
    """Where a detached job was submitted; empty: not noted."""

    def write(self, run_dir: Path) -> None:
        """Raises InfrastructureError."""
        write_atomically(run_dir / NAMES[self.scheduler], self.model_dump_json(indent=2) + "\n")

    @property
    def title(self) -> str:
        return f"{'Slurm job' if self.scheduler == 'slurm' else 'TrainJob'} {self.job}"

    @property
    def end_command(self) -> str:
        """The command that ends it by hand."""
        return f"scancel {self.job}" if self.scheduler == "slurm" else f"kubectl delete trainjob {self.job}"


def read_job(run_dir: Path) -> ClusterJob | None:
    """The job of a run folder; None if it had none. Raises InfrastructureError: the file is broken."""
    for name in NAMES.values():
        if is_there(run_dir / name):
            how = "see `squeue --me`" if name == NAMES["slurm"] else "see `kubectl get trainjobs`"
            return read_json(run_dir / name, ClusterJob, "a job", "give the folder of a gbench run", how)
    return None


def job_of_its_own(run_dir: Path) -> ClusterJob | None:
    """The job of a run folder that goes on, or has ended, without a gbench that follows it; None: there is none."""
    job = read_job(run_dir)
    return None if job is None or job.ended else job


@dataclass(frozen=True)
class JobEnd:
    """How the end of a job is reported. `what` may name what is known of it in braces: {job}, {reason}."""

    error: type[GbenchError]
    """Decides the exit code."""
    what: str
    hint: str

    def to_raise(self, resume: str = "", **known: str) -> GbenchError:
        """resume: the command that goes on with the run, if one does."""
        return self.error(self.what.format(**known), self.hint + (f"; or go on with {resume}" if resume else ""))
