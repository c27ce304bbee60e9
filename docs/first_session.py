"""Write docs/first-session.md: a new user's commands, typed for real in an empty folder, and what they print.

    .venv/bin/python docs/first_session.py

tests/cli/test_first_session.py runs the same commands and holds the page to be equal up to figures.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PAGE = CHECKOUT / "docs" / "first-session.md"
URL = "https://git.example/gbench.git"
COMMANDS = (
    f"git clone --quiet {URL}",
    "cd gbench && make install",
    "export PATH=$PWD/.venv/bin:$PATH",
    "gbench launch --smoke --results before --quiet",
    "gbench launch --smoke --results after --quiet",
    "gbench compare before/* after/*",
)
HEAD = f"""# The first session

From a clone to a compared pair of runs in {len(COMMANDS)} commands, on any machine with Python, git and make.
`--smoke` is a tiny training on the CPU, to see that gbench works. Its figures say nothing about the machine.
`docs/first_session.py` writes this transcript, and a test repeats it.

"""
NOISY = 0.1  # a difference of the two throughputs that can't be theirs
MARK = "=== "
AT_TIMES = ("note", "what else differs:", "throttled", "energy")  # labels of lines that only some runs have
LABEL = re.compile(r"\s{2,}|: ")


def session(folder: Path, installed: Path | None = None) -> str:
    """Type all commands in a folder, and return them with what they print.

    installed: the bin folder of an environment to use in place of a new one, so that `make install` has nothing to do.
    """
    clone = folder / "gbench"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # a make may run this
    environ |= {"XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "100", "CDPATH": ""}
    environ |= {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": f"url.{CHECKOUT}.insteadOf", "GIT_CONFIG_VALUE_0": URL}
    environ |= {"GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "*", "GBENCH_DEFAULTS": ""}
    lines = [f"echo '{MARK}{command}'\n{command}" for command in COMMANDS]
    if installed is not None:
        done = f"touch -d 'next year' {clone}/.venv/.installed"
        lines.insert(1, f"mkdir {clone}/.venv && ln -s {installed} {clone}/.venv/bin && {done}")
        environ["PYTHONPATH"] = str(clone / "src")  # the clone's code
    typed = subprocess.run(["bash", "-c", "\n".join(lines)], cwd=folder, env=environ, capture_output=True, text=True)
    said = re.sub(r"^make: .*\n", "", typed.stdout, flags=re.MULTILINE).replace(str(folder), "~")
    if said.count(MARK) != len(COMMANDS) or "gbench: error" in typed.stderr:
        sys.exit(f"{typed.stdout}\n{typed.stderr}")
    return said.replace(MARK, "$ ")


def skeleton(text: str) -> list[str]:
    """The commands, and the label of each line: what is the same on every machine at every moment."""
    labels = []
    for line in text.splitlines():
        label = line if line[4:].startswith("$") else LABEL.split(line.removeprefix("    "))[0]
        if label and label not in AT_TIMES:
            labels.append(re.sub(r"^(NO REGRESSION|REGRESSION|INCONCLUSIVE).*", "VERDICT", label))
    return labels


def noise(said: str) -> str:
    """A sentence that the two runs of a transcript differ, as on a busy machine; empty if they do not."""
    before, after = map(float, re.findall(r"^throughput +([0-9.e+]+) img/s", said, re.MULTILINE))
    apart = max(before, after) / min(before, after) - 1
    return f"note: the machine was busy, so the two runs differ by {apart:.0%}.\n\n" if apart > NOISY else ""


def page(said: str) -> str:
    """The page with a transcript."""
    return HEAD + noise(said) + "".join(f"    {line}\n" if line else "\n" for line in said.splitlines())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(sys.executable).parent if sys.argv[1:] == ["--installed"] else None
        typed = session(Path(folder), ready)
    PAGE.write_text(page(typed))
    if noise(typed):
        sys.exit(f"{noise(typed).strip()} Type it again on a quiet machine: {PAGE} says so.")
