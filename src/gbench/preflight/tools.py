"""What a machine may not report: the exception, and tools of the system, which may not be installed."""

import os
import shutil
import subprocess

TIMEOUT_S = 5.0
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")  # hold such tools, and are often missing from a user's PATH


class Unreadable(Exception):
    """A fact is unavailable here; the text says which, or why. Never a reason to call a machine unfit."""


def output_of(tool: str, *arguments: str) -> str:
    """What a tool prints on stdout. Raises Unreadable: it is not installed, takes too long, or fails."""
    path = shutil.which(tool, path=os.pathsep.join((*os.get_exec_path(), *SYSTEM_FOLDERS)))
    if path is None:
        raise Unreadable(f"{tool} is not installed")
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unreadable(f"{tool} gave no answer ({error})") from error
    if done.returncode:
        raise Unreadable(f"{tool} failed with exit code {done.returncode}")
    return done.stdout
