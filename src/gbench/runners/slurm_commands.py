"""Slurm's commands, as lists of arguments, each with a time limit."""

import re
import subprocess
from contextlib import suppress
from pathlib import Path

from gbench.errors import InfrastructureError
from gbench.runners.following import NoAnswer, NotHere
from gbench.runners.slurm_states import JobState

COMMAND_S = 60.0  # a controller under load answers late
UNKNOWN = "Invalid job id specified"
SEE_HELP = 'Try "'  # comes after what is wrong


def submit(script: Path) -> str:
    """Submit a script; returns the number of the job. Raises InfrastructureError: Slurm refuses it."""
    try:
        done = _command("sbatch", "--parsable", str(script))
    except NoAnswer as error:
        raise InfrastructureError(
            f"sbatch did not take the job ({error})", f"fix that, then try again; {script} is the job"
        ) from error
    return done.strip().partition(";")[0]  # of several clusters: job;cluster


def state_of_job(job: str) -> JobState | None:
    """What the controller knows of a job; None: nothing any more. Raises NoAnswer."""
    try:
        return JobState.parsed(_command("scontrol", "show", "job", "--oneliner", job))
    except NoAnswer as error:
        if UNKNOWN in str(error):
            return None
        raise
    except ValueError as error:
        raise NoAnswer(f"scontrol shows no job ({error})") from error


def cluster_name() -> str:
    """The name of the cluster that answers here; empty: it does not say."""
    with suppress(NoAnswer):
        found = re.search(r"^ClusterName\s*= (\S+)", _command("scontrol", "show", "config"), re.MULTILINE)
        return found[1] if found else ""
    return ""


def cancel(name: str) -> None:
    """Cancel the jobs of this name. Raises NoAnswer."""
    _command("scancel", f"--name={name}")


def _command(*argv: str) -> str:
    """What a command prints. Raises NoAnswer: it fails; NotHere: there is none."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_S,
            start_new_session=True,  # a Ctrl-C of the terminal is gbench's alone
        )
    except FileNotFoundError as error:
        raise NotHere(
            f"there is no {argv[0]} on this host", "run this on a login host of the cluster, or take another --runner"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"{argv[0]} did not answer within {COMMAND_S:g} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if not line.startswith(SEE_HELP)]
        why = lines[-1] if lines else f"{argv[0]} ended with exit code {done.returncode}"
        raise NoAnswer(re.sub(rf"^{argv[0]}: (error|fatal): ", "", why))
    return done.stdout
