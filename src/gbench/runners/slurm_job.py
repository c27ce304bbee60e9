"""slurm.json in the run folder: the job of a run, so that another gbench can take it up."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from gbench.base.files import write_atomically
from gbench.base.json_file import read_json

NAME = "slurm.json"


class SlurmJob(BaseModel):
    """A submitted job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    job: str
    submitted_s: float
    """Seconds since 1970."""
    detached: bool = False
    """It goes on when its gbench stops."""
    log_bytes: int = 0
    """How much of its output is in log.txt."""
    ended: bool = False

    def write(self, run_dir: Path) -> None:
        """Raises InfrastructureError."""
        write_atomically(run_dir / NAME, self.model_dump_json(indent=2) + "\n")


def read_job(run_dir: Path) -> SlurmJob | None:
    """The job of a run folder; None if it had none. Raises InfrastructureError: the file is broken."""
    if not (run_dir / NAME).exists():
        return None
    return read_json(run_dir / NAME, SlurmJob, "a job", "give the folder of a gbench run", "see `squeue --me`")


def job_of_its_own(run_dir: Path) -> SlurmJob | None:
    """The job of a run folder that goes on, or has ended, without a gbench that follows it; None: there is none."""
    job = read_job(run_dir)
    return None if job is None or job.ended else job
