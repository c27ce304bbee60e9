"""What `--runner slurm` asks of Slurm: the values of its own options. Imports nothing heavy."""

import re
import shlex

from pydantic import BaseModel, ConfigDict, PositiveFloat

from gbench.errors import UsageError
from gbench.settings.cluster_options import given_options
from gbench.settings.literals import ContainerName, RunnerName
from gbench.settings.request import OF_SLURM, Request

# As sbatch takes a time limit: minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]]
TIME = re.compile(r"\d+(:\d{2}){0,2}|\d+-\d{1,2}(:\d{2}){0,2}", re.ASCII)

# Options of sbatch without which a job is not found again, or its output not read
OWN = re.compile(r"--(job-name|output|error|array|open-mode|nodes|wrap|test-only|parsable)\b|-[JoeaN]")


class SlurmConfig(BaseModel):
    """The options of a Slurm job; None: the cluster's own default. Request describes each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | None = None
    constraint: str | None = None
    sbatch: tuple[str, ...] = ()
    """Further options, each a line of the script."""
    queue_timeout_s: PositiveFloat | None = None
    container: ContainerName = "bare"
    allow: tuple[str, ...] = ()
    """Fields in which the nodes may differ, as `--allow` of gbench launch names them."""


def _words(option: str) -> list[str]:
    """A line of sbatch as sbatch splits it. Raises UsageError."""
    try:
        return shlex.split(option)
    except ValueError as error:
        raise UsageError(f"--sbatch {option!r} is not an option of sbatch ({error})", "close its quotes") from error


def slurm_config(request: Request, runner: RunnerName) -> SlurmConfig | None:
    """The options of the job that runs a request; None for another runner. Raises UsageError: one is invalid."""
    given = given_options(request, runner, "slurm", OF_SLURM)
    if given is None:
        return None
    if request.time is not None and not TIME.fullmatch(request.time):
        raise UsageError(
            f"--time {request.time!r} is not a time limit of Slurm", "write minutes, 4:00:00, or days-hours: 1-12"
        )
    for option in request.sbatch:
        if not option.startswith("-"):
            raise UsageError(f"--sbatch {option!r} is not an option of sbatch", 'write it as sbatch does: "--mem=0"')
        if own := next((word for word in _words(option) if OWN.match(word)), None):
            raise UsageError(f"--sbatch {own!r}: gbench sets this itself, to find the job again", "leave it out")
    if request.container == "apptainer" and not (request.image and re.search(r"://|\.sif$", request.image)):
        raise UsageError("--container apptainer needs the image", "give --image FILE.sif, or --image docker://NAME")
    if request.container == "pyxis" and not request.image:
        raise UsageError("--container pyxis needs the image", "give --image FILE.sqsh, or --image REGISTRY#NAME")
    return SlurmConfig(**given)
