"""The sampler of a run. `sampler_process.py` starts it; to start it by hand:

    python -m gbench.measure.telemetry --run-dir results/RUN_ID --pids 4711,4712 --gpus 0,1

Writes telemetry.jsonl there until its standard input ends, it reads `stop`, or the process that started it dies.
"""

import argparse
import contextlib
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType

from gbench.base.parent_death import die_with_parent
from gbench.measure.telemetry.energy_counters import POWERCAP, RaplReader
from gbench.measure.telemetry.gpu_source import GpuReader
from gbench.measure.telemetry.host_source import HostReader, sees_host_pids
from gbench.measure.telemetry.loop import Control, Sampler, run
from gbench.measure.telemetry.samples import MissingLog
from gbench.measure.telemetry.stream import NAME, StreamWriter

NICENESS = 10  # the run comes first


def main() -> int:
    """Sample until stopped; write an unexpected exception to the stream, with its traceback."""
    arguments = _arguments()
    die_with_parent(signal.SIGTERM)  # forked data loaders hold the run's end of the pipe open
    os.nice(NICENESS)
    writer = StreamWriter(arguments.run_dir / NAME)
    control = Control(sys.stdin.fileno(), writer.mark)

    def on_signal(number: int, _: object) -> None:
        control.stop = signal.Signals(number).name

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    missing = MissingLog()
    gpus = GpuReader(_pynvml(), arguments.gpus, missing)
    host = HostReader(arguments.pids, missing, sees_host_pids())
    sampler = Sampler(gpus, host, RaplReader(POWERCAP, missing), missing)
    try:
        run(sampler, writer, control, sampler.header(arguments.hz, arguments.pids))
        writer.end(control.stop or "", time.perf_counter())
    except Exception as error:
        with contextlib.suppress(OSError):  # the cause is probably a full disk
            writer.end(f"failed: {type(error).__name__}: {error}", time.perf_counter(), traceback.format_exc())
        return 1
    finally:
        writer.close()
        gpus.close()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gbench.measure.telemetry", description="The sampler of a run.")
    parser.add_argument("--run-dir", type=Path, required=True, help=f"folder that gets {NAME}")
    parser.add_argument("--pids", type=_pids, default=[], help="the run's processes, e.g. 4711,4712")
    parser.add_argument("--gpus", type=_names, default=[], help="the run's GPUs: UUIDs or NVML indices, e.g. 0,1")
    parser.add_argument("--hz", type=_hz, default=10.0, help="samples a second, 1 to 100 (default 10)")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    return text.split(",") if text else []


def _pids(text: str) -> list[int]:
    return [int(pid) for pid in _names(text)]


def _hz(text: str) -> float:
    hz = float(text)
    if not 1 <= hz <= 100:
        raise argparse.ArgumentTypeError(f"{hz:g} is not between 1 and 100")
    return hz


def _pynvml() -> ModuleType | None:
    try:
        import pynvml
    except ImportError:
        return None
    return pynvml  # type: ignore[no-any-return]  # untyped


if __name__ == "__main__":
    sys.exit(main())
