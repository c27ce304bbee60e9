"""Quantities as a user writes them on a command line or in a spec file; and variables of a run script.

Imports nothing heavy: `gbench launch --help` loads this.
"""

import re

SPAN = "a time span like 90s, 15m or 2h, of at most a year"
MOST_S = 366 * 24 * 3600.0  # of a time span: far longer ones overflow the system's timers
MOST = 2**31  # of a whole number, exclusive, but for a seed: the database's integer
MOST_SEED = 2**63  # exclusive
SHARE = "a percentage like 1%, above 0% and below 100%"
ENDPOINT = "an address and a port like 10.0.0.1:29500 or [fd00::1]:29500"
GPUS = "a list of GPUs, each once, as `nvidia-smi -L` numbers or names them: 2,3"
GPU = re.compile(r"\d+|(GPU|MIG)-\S+", re.ASCII)
COUNT = re.compile(r"0*[1-9]\d{0,8}", re.ASCII)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Variables that gbench sets for the run script or the container: with other values, the record would be of another run.
# OMP_NUM_THREADS, which gbench sets only as a default, is left to the user.
RUNS_OWN = {
    *("MODEL", "BATCH_SIZE", "DEVICE_COUNT", "PRECISION", "NODES", "NODE_RANK", "DEVICE", "DATASETS", "DATASETS_DIR"),
    *("DATA_DIR", "CONFIG", "CODE_LINK", "RUN_DIR", "BENCHMARK_LOG", "WORKER", "TORCHRUN", "PYTHON"),
    *("PYTHONUNBUFFERED", "CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", "HOME", "USER", "LOGNAME"),
}


def seconds(text: str) -> float | None:
    """Seconds of a time span: `90`, `90s`, `15m`, `2h`; None if it is invalid, zero or over a year."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None:
        return None
    span = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
    return span if 0 < span <= MOST_S else None


def share(text: str) -> float | None:
    """A share of 1 from a percentage: `1%`, `0.5 %`; None if it is invalid, or not between 0 and 100."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text)
    return float(match[1]) / 100 if match and 0 < float(match[1]) < 100 else None


def endpoint(text: str) -> str | None:
    """A host and a port, as it is written: `10.0.0.1:29500`; None if it is invalid."""
    match = re.fullmatch(r"(?:[^\s:/\[\]]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})", text, re.ASCII)
    return text if match and 0 < int(match[1]) < 2**16 else None


def gpus(text: str) -> str | None:
    """The entries of a list of GPUs, without spaces; None if it is empty, or one is invalid or there twice."""
    entries = [entry.strip() for entry in text.split(",")]
    return ",".join(entries) if all(map(GPU.fullmatch, entries)) and len(set(entries)) == len(entries) else None


def counts(text: str) -> list[int] | None:
    """Whole numbers from 1 on, of at most nine digits, joined by commas; None for anything else."""
    parts = [part.strip() for part in text.split(",")]
    return [int(part) for part in parts] if all(map(COUNT.fullmatch, parts)) else None


def ignore_check(text: str) -> bool | None:
    """launch.sh's sixth argument; None if it is invalid."""
    if text.lower() in ("false", "0", "no", ""):
        return False
    return True if text.lower() in ("true", "1", "yes", "ignore_check") else None


def problem_of_variable(name: str, value: str) -> str | None:
    """Why a run script can't have this variable, to follow its name in a message; None if it can."""
    if not VARIABLE.fullmatch(name):
        return "is no name of a variable"
    if name in RUNS_OWN:
        return "is set by the run itself"
    if any("\ud800" <= one <= "\udfff" for one in value):
        return "has bytes that are not UTF-8, which no record holds"
    return "holds a NUL" if "\0" in value else None
