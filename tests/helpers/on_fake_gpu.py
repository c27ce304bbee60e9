"""Run any command on fake GPUs, whose CUDA runtime (tests/fake_gpu) is compiled for this Python's torch and preloaded:

    .venv/bin/python tests/helpers/on_fake_gpu.py gbench launch pix2pix_resnet_9blocks 4 2 FP32 --runner local ...

Settings are variables: FAKE_GPU_COUNT=2, FAKE_GPU_GIB, FAKE_GPU_NAME, FAKE_GPU_CAPABILITY=80, FAKE_GPU_KERNEL_NS,
FAKE_GPU_DRIVER_CUDA=13000; FAKE_GPU_FAULT (tests/fake_gpu/faults.h); FAKE_GPU_DIR, a folder for the log of waits.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "tests/fake_gpu"
BUILDS = ROOT / "build/fake-gpu"
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter")
FLAGS = ("-std=gnu11", "-shared", "-fPIC", "-O1", "-fvisibility=hidden", *WARNINGS)
NVML = ("nvml.c", "faults.c")
LINKED = "libcuda.so"  # as Triton's compiler asks for it


class NoFakeGpu(Exception):
    """Why there can be no fake GPU here."""


def build() -> Path:
    """The folder of libcuda.so.1 and libnvidia-ml.so.1, compiled if they are not there yet.

    Raises NoFakeGpu: torch is built without CUDA, or there is no compiler.
    """
    includes = find_headers()
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoFakeGpu("there is no C compiler")
    files = sorted(path for path in SOURCES.rglob("*") if path.suffix in (".c", ".h"))
    contents = b"".join(path.read_bytes() for path in files)
    folder = BUILDS / hashlib.sha256(contents + repr((includes, FLAGS, LINKED)).encode()).hexdigest()[:16]
    if folder.is_dir():
        return folder
    BUILDS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILDS) as text:
        runtime = [path.name for path in files if path.suffix == ".c" and path.name != "nvml.c"]
        options = [f"-I{SOURCES}", *(f"-isystem{path}" for path in includes), "-Wl,-soname,libcuda.so.1"]
        for name, sources, more in (("libcuda.so.1", runtime, options), ("libnvidia-ml.so.1", NVML, [])):
            command = [compiler, *FLAGS, *more, *sources, "-o", f"{text}/{name}"]
            subprocess.run(command, cwd=SOURCES, check=True)
        (Path(text) / LINKED).symlink_to("libcuda.so.1")
        try:
            Path(text).rename(folder)
        except OSError:  # another process was first
            assert folder.is_dir()
        Path(text).mkdir(exist_ok=True)  # for TemporaryDirectory to remove
    return folder


def find_headers() -> list[Path]:
    """The folders of the headers that torch's CUDA packages install. Raises NoFakeGpu: there are none."""
    torch = importlib.util.find_spec("torch")
    assert torch is not None and torch.origin is not None
    package = Path(torch.origin).parent
    if re.search(r"^cuda\b.*= *None", (package / "version.py").read_text(), re.MULTILINE):
        raise NoFakeGpu("torch is built without CUDA")
    folders = sorted((package.parent / "nvidia").glob("*/include"))
    for name in ("cuda_runtime_api.h", "nccl.h"):
        if not any((folder / name).exists() for folder in folders):
            raise NoFakeGpu(f"torch's packages have no {name}")
    return folders


def environment() -> dict[str, str]:
    """The variables of a process on fake GPUs. Raises NoFakeGpu."""
    folder = build()
    cache = folder / "cache"  # a tuning of a fake GPU must not be taken for a real one's
    compiled = {"TRITON_CACHE_DIR": f"{cache}/triton", "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor"}
    path = os.pathsep.join(filter(None, (str(SOURCES), os.environ.get("PYTHONPATH"))))
    loaded = {"LD_PRELOAD": f"{folder}/libcuda.so.1", "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": path}
    return {**loaded, **compiled, "XDG_CACHE_HOME": str(cache)}


@dataclass(frozen=True)
class Mark:
    """An event that torch recorded: when the work before it ends, how long its stream has worked and stood still."""

    at_ns: int
    busy_ns: int
    idle_ns: int


def read_logs(folder: Path) -> tuple[dict[int, list[Mark | str]], list[str]]:
    """What each process did, by its id: its marks, and the names of calls that waited. All other lines: refused calls,
    captures."""
    events: dict[int, list[Mark | str]] = {}
    others = []
    for line in (folder / "log").read_text().splitlines():
        pid, kind, rest = line.split(" ", 2)
        if kind == "mark":
            events.setdefault(int(pid), []).append(Mark(*map(int, rest.split())))
        elif kind == "wait":
            events.setdefault(int(pid), []).append(rest)
        else:
            others.append(f"{kind} {rest}")
    return events, others


def main(command: list[str]) -> None:
    """Become the command. Exit code 2: there is none, or no fake GPU."""
    if not command or command[0] in ("-h", "--help"):
        raise SystemExit(__doc__)
    try:
        os.environ |= environment()
    except NoFakeGpu as reason:
        print(f"on_fake_gpu.py: error: no fake GPU here: {reason}", file=sys.stderr)
        raise SystemExit(2) from None
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
