"""What git says about a repository on this machine."""

import os
import subprocess
from pathlib import Path

from gbench.errors import InfrastructureError, UsageError

GIT = ("git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
TIMEOUT_S = 120.0


def git(folder: Path, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """What git prints about the repository of `folder`. options: of git itself.

    GIT_DIR and other such variables, which a git hook sets, would name another repository: git does not get them.

    Raises UsageError: it fails; InfrastructureError: it is missing, or hangs.
    """
    command = [*GIT, *options, "-C", str(folder), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
    except FileNotFoundError as error:
        raise InfrastructureError("git is not installed", "install it") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfrastructureError(f"git {arguments[0]} failed ({error})", "try it in a shell") from error
    if answer.returncode:
        last = (answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"])[-1]
        raise UsageError(f"git {arguments[0]} failed: {last}", f"try it in {folder}")
    return answer.stdout.strip()
