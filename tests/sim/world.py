"""The simulated world: gbench as a user starts it, on a disk, a clock and a worker that fail on request.

Nothing of gbench is replaced. The disk and the clock are faults.c, preloaded; the worker is stand_in.py, which the
world's Python (python.sh) starts in place of the real one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from engine import Engine
from gbench.datasets.synth import synth
from gbench.errors import GbenchError
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.state import state_of

SOURCES = Path(__file__).resolve().parent
BUILDS = SOURCES.parents[1] / "build" / "sim"
LONG_S, ENDLESS_S = 240.0, 480.0  # only a hang takes as long: a step of a run, a run
COMPILE = ("-std=gnu11", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror")
MODEL = "pix2pix_resnet_9blocks"
OWN_DOTS = {".own", ".lock", ".processes.lock", ".unwritten", ".environment"}  # files of a run folder that stay


class NoWorld(Exception):
    """Why there can be no simulated world here."""


def build_faults() -> Path:
    """The library of faults.c, compiled if it is not there yet. Raises NoWorld: there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoWorld("there is no C compiler")
    source = SOURCES / "faults.c"
    library = BUILDS / f"faults-{hashlib.sha256(source.read_bytes() + repr(COMPILE).encode()).hexdigest()[:16]}.so"
    if not library.exists():
        BUILDS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILDS) as folder:
            made = Path(folder) / "faults.so"
            subprocess.run([compiler, *COMPILE, str(source), "-o", str(made), "-ldl"], check=True)
            made.replace(library)
    return library


@dataclass(frozen=True)
class Ended:
    """How a gbench of the world ended."""

    code: int
    """Below 0: the signal that ended it."""
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The last sentence about what failed, in the output or among the errors; empty without one."""
        lines = [line for line in (*self.out.splitlines(), *self.err.splitlines()) if "gbench: error: " in line]
        return lines[-1].partition("gbench: error: ")[2] if lines else ""


class Launch:
    """A gbench that runs."""

    def __init__(self, place: Place, streams: tuple[Path, Path], zygote: subprocess.Popen[str]) -> None:
        assert zygote.stdin is not None and zygote.stdout is not None
        self.place, self.streams = place, streams
        self._requests, self._answers = zygote.stdin, zygote.stdout
        self.pid = int(self._answers.readline())

    def wait(self) -> Ended:
        """Wait for its end. Raises AssertionError: it hangs, and was killed."""
        deadline = time.monotonic() + ENDLESS_S
        while state_of_process(self.pid) not in "ZX":
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError("it does not end")
            time.sleep(0.01)
        print(json.dumps(self.pid), file=self._requests, flush=True)
        code = int(self._answers.readline())
        out, err = (path.read_text(errors="replace") for path in self.streams)
        return Ended(code, out, err)

    def wait_until_held(self) -> None:
        """Wait until it has stopped at a file, or a rank holds. Raises AssertionError: it ended before."""
        deadline = time.monotonic() + LONG_S
        while True:
            state = state_of_process(self.pid)
            in_engine = self.place.engine is not None and self.place.engine.held.is_set()
            if state == "T" or (self.place.sim / "at").exists() or in_engine:
                return
            assert state not in "XZ", self.streams[1].read_text(errors="replace")
            assert time.monotonic() < deadline, "it comes to no step to hold at"
            time.sleep(0.005)

    def go_on(self) -> None:
        (self.place.sim / "go").touch()
        if self.place.engine is not None:
            self.place.engine.released.set()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def processes(self, part: str) -> list[psutil.Process]:
        """Its processes of a kind: `launcher`, `supervisor`, `torchrun` (which forks the ranks) or `rank`."""
        tree = [psutil.Process(pid) for pid in self.place.running()]
        words = {one.pid: " ".join(one.cmdline()) for one in tree}
        stand_ins = [one for one in tree if "stand_in.py" in words[one.pid]]
        agents = [one for one in stand_ins if "stand_in.py" not in words.get(one.ppid(), "")]
        found = {
            "launcher": [one for one in tree if one.pid == self.pid],
            "supervisor": [one for one in tree if "gbench.runners.supervise" in words[one.pid]],
            "torchrun": agents,
            "rank": [one for one in stand_ins if one not in agents],
        }
        return found[part]


def state_of_process(pid: int) -> str:
    """One letter of proc(5); X: it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    return "X"


def state_when_ended(folder: RunFolder) -> str:
    """The state of a run whose last process may still be ending, and then holds its lock."""
    deadline = time.monotonic() + 30
    while (state := state_of(folder)) == "running" and time.monotonic() < deadline:
        time.sleep(0.02)
    return state


@dataclass
class Place:
    """Where one gbench runs: `here`, its working folder, and `sim`, which its faults are controlled by."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    engine: Engine | None = None

    @property
    def here(self) -> Path:
        return self.folder / "here"

    @property
    def sim(self) -> Path:
        return self.folder / "sim"

    def stop_at(self, path: str) -> None:
        """Let the first process stop that opens a file whose path has this part."""
        (self.sim / "stop").write_text(f"{path}\n")

    def order(self, at: str, do: str | list[str], rank: int = 0) -> None:
        (self.sim / "orders.json").write_text(json.dumps({"at": at, "do": do, "rank": rank}))

    def break_disk(self, error: str, below: str = "here") -> None:
        (self.sim / "fault").write_text(f"{error} {self.folder / below}\n")

    def mend_disk(self) -> None:
        (self.sim / "fault").unlink(missing_ok=True)

    def shift_clock(self, seconds: int) -> None:
        (self.sim / "clock").write_text(f"{seconds}\n")

    def run_folders(self) -> list[RunFolder]:
        return [RunFolder(path) for path in sorted((self.here / "results").glob("*")) if path.is_dir()]

    def records(self) -> list[Path]:
        return sorted((self.here / "cndb" / "records").glob("*.yaml"))

    def waiting(self) -> list[Path]:
        """The entries of the spool."""
        return sorted((self.here / "cndb" / "spool").glob("*.json"))

    def left_running(self, patience_s: float = 30.0) -> list[str]:
        """Command lines of the processes that are left after `patience_s`: a supervisor needs time to end others."""
        deadline = time.monotonic() + patience_s
        while found := list(self.running().values()):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        return found

    def running(self) -> dict[int, str]:
        """The command line of each process of gbench here and of its runs, also in containers, by process id."""
        found, mark = {}, f"SIM_DIR={self.sim}\0".encode()
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if process.name.isdigit() and mark in (process / "environ").read_bytes() + b"\0":
                    line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if line:  # a zombie has none
                        found[int(process.name)] = line
        return found

    def leftovers(self) -> list[str]:
        """Temporary files that nobody will remove."""
        return [path.name for path in self.here.rglob(".*") if path.is_file() and path.name not in OWN_DOTS]

    def kept(self) -> list[str]:
        """What there is of the run, in words."""
        words = []
        for folder in self.run_folders():
            try:
                state = state_when_ended(folder)
                steps = len(folder.steps(0))
            except GbenchError as error:
                state, steps = f"damaged: {error.what}", 0
            words.append(f"folder ({state}{f', {steps} steps' if steps else ''})")
            words += [name for name in ("result.json", "record.yaml", "failed.yaml") if folder.has(name)]
            words += ["checkpoint"] if list(folder.checkpoints.glob("*.pt")) else []
            words += ["evaluation"] if folder.has("evaluations/final/evaluation.json") else []
            words += ["page"] if folder.has("report.html") else []
        words += ["record"] * len(self.records()) + ["queued record"] * len(self.waiting())
        return words


class World:
    """A folder with a dataset, a Python that starts the stand-in, and places to run in. For one thread."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._count, self._started = folder, 0, 0
        library = build_faults()
        self.bin = folder / "venv" / "bin"
        self._make_python()
        self.data = folder / "data"
        synth(self.data / "facades", {"train": 4, "val": 1, "test": 1}, size=40, seed=1)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
        self.variables = {
            "SIM_PYTHON": os.path.realpath(sys.executable),
            "SIM_SOURCES": str(SOURCES),
            "LD_PRELOAD": str(library),
            "PATH": f"{self.bin}:{os.environ['PATH']}",
        }
        environment |= {**self.variables, "GBENCH_DEFAULTS": "", "XDG_CACHE_HOME": str(folder / "cache")}
        environment |= {"OMP_NUM_THREADS": "1"}
        self._zygote = subprocess.Popen(
            [str(self.bin / "python"), str(SOURCES / "zygote.py")],
            executable=self.variables["SIM_PYTHON"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _make_python(self) -> None:
        """A virtual environment with the packages of this Python."""
        packages = self.folder / "venv" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        packages.mkdir(parents=True)
        lines = [f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})", str(SOURCES.parents[1] / "src")]
        (packages / "world.pth").write_text("\n".join(lines[::-1]) + "\n")
        home = Path(os.path.realpath(sys.executable)).parent
        (self.folder / "venv" / "pyvenv.cfg").write_text(f"home = {home}\n")
        self.bin.mkdir(parents=True)
        shutil.copy(SOURCES / "python.sh", self.bin / "python")
        (self.bin / "python").chmod(0o755)
        (self.bin / "python3").symlink_to("python")

    def close(self) -> None:
        assert self._zygote.stdin is not None
        self._zygote.stdin.close()
        self._zygote.wait()

    def new_place(self) -> Place:
        self._count += 1
        place = Place(self.folder / f"{self._count}")
        for folder in (place.here, place.sim):
            folder.mkdir(parents=True)
        return place

    def new_engine(self, place: Place) -> Engine:
        """A Docker engine for what is started there."""
        place.engine = Engine(place.sim / "docker.sock", {**self.variables, "SIM_DIR": str(place.sim)})
        place.engine.images["base:1"] = "sha256:" + "0" * 64
        place.variables["DOCKER_HOST"] = place.engine.url
        return place.engine

    def start(self, place: Place, *arguments: object) -> Launch:
        """Start `gbench ARGUMENTS` there."""
        self._started += 1
        streams = place.sim / f"{self._started}.out", place.sim / f"{self._started}.err"
        request = {
            "argv": [str(argument) for argument in arguments],
            "cwd": str(place.here),
            "env": {"SIM_DIR": str(place.sim), **place.variables},
            "streams": ["/dev/null", *map(str, streams)],
        }
        assert self._zygote.stdin is not None
        print(json.dumps(request), file=self._zygote.stdin, flush=True)
        return Launch(place, streams, self._zygote)

    def run(self, place: Place, *arguments: object) -> Ended:
        """Run `gbench ARGUMENTS` there to its end."""
        return self.start(place, *arguments).wait()

    def launch_arguments(self, ranks: int = 1, converge: bool = False, runner: str = "local") -> list[object]:
        """The arguments of a small launch, or of a convergence run of two epochs."""
        verb = "converge" if converge else "launch"
        schedule = ("epochs=1", "epochs_decay=1", "checkpoint_every=1")
        recipe = [word for value in schedule for word in ("--set", f"schedule.{value}")]
        steps: list[object] = ["--steps", 12, "--warmup", 4]
        return [
            *(verb, MODEL, 4, ranks, "FP32", "embedded", "ignore_check", "--device", "cpu", "--runner", runner),
            *("--datasets-dir", self.data, "--set", "data.load_size=36", "--set", "data.crop_size=32"),
            *("--set", "data.workers=0", "--set", "measure.telemetry_hz=0", "--set", "measure.hang_seconds=0"),
            *(recipe if converge else steps),
        ]


@contextlib.contextmanager
def world() -> Iterator[World]:
    """A world in a folder that is removed afterwards. Raises NoWorld."""
    with tempfile.TemporaryDirectory(prefix="gbench-sim-") as folder:
        made = World(Path(folder))
        try:
            yield made
        finally:
            made.close()


def told(text: str, place: Place) -> str:
    """A sentence without what differs between two runs: paths, ids, numbers of processes, seconds."""
    text = text.replace(f"{place.here}/", "").replace(str(place.here), ".").replace(str(place.folder), "")
    text = re.sub(r"\d{8}T\d{6}Z-[\w-]+?-[0-9a-f]{6}", "RUN", text)
    text = re.sub(r"(process|pid|after step) \d+", r"\1 N", text)
    text = re.sub(r"(gbench:pix2pix)-[0-9a-f]{12}", r"\1-HASH", text)
    return re.sub(r"\.RUN\S*|_RUN|_\d{8}T\d{6}Z-[0-9a-f]{6}", "", text)
