"""One rank of a run, under torchrun:

    torchrun --standalone --nproc-per-node 2 -m gbench.pix2pix --run-dir results/RUN_ID --data-dir data/facades

Reads `spec.json` from the run folder and writes its results there. The spec says whether the run is a training, a
profile, an evaluation, a tuning or the probe of a fleet.
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import torch

from gbench.measure.telemetry.sampler_process import TelemetryProcess
from gbench.pix2pix.data.pair_loader import convert_loader_errors
from gbench.pix2pix.profiler import ProfiledTrainer
from gbench.pix2pix.ranks.group import Ranks, joined
from gbench.pix2pix.ranks.heartbeat import Heartbeat, hang_limit_s
from gbench.pix2pix.ranks.out_of_memory import convert_memory_errors
from gbench.pix2pix.step.apply_switches import convert_compiler_errors
from gbench.pix2pix.step.rank_memory import rank_gib
from gbench.pix2pix.trainer import Trainer
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.worker_exit import leave, report_failure
from gbench.settings.model_config import MeasureConfig
from gbench.settings.spec import RunSpec


def main(argv: list[str] | None = None, facts_pipe: int | None = None, heartbeat: Heartbeat | None = None) -> int:
    """Run one rank; write an expected failure to `error.json` and print it as one line.

    facts_pipe: see `slow_facts`. heartbeat: where the run notes its steps, for a process that watches.
    """
    parser = argparse.ArgumentParser(prog="python -m gbench.pix2pix", description="One rank of a run, under torchrun.")
    parser.add_argument("--run-dir", type=Path, required=True, help="run folder with spec.json; results go there")
    parser.add_argument("--data-dir", type=Path, required=True, help="dataset folder, with train/ below it")
    parser.add_argument("--cache-dir", type=Path, help="folder of decoded pairs; default: the spec's")
    parser.add_argument(
        "--inputs-dir", type=Path, help="folder of the files that the spec names; default: their own paths"
    )
    parser.add_argument("--gpu-smoke", action="store_true", help="test the GPUs of the spec instead of its run")
    arguments = parser.parse_args(argv)
    folder = RunFolder(arguments.run_dir)
    try:
        spec = folder.spec()
        if heartbeat is not None:
            heartbeat.beat(set_up_limit_s(spec), 0)
        with (
            joined(spec.device, spec.world_size, spec.config.measure.pin, spec.omp_num_threads) as ranks,
            convert_memory_errors(ranks.device, spec.batch_per_device, partial(rank_gib, spec)),
            convert_loader_errors(),
        ):
            if arguments.gpu_smoke:
                from gbench.pix2pix.gpu_smoke import smoke_test

                smoke_test(folder, ranks)
            elif spec.recipe == "fleet":
                from gbench.pix2pix.fleet_probe import probe_fleet

                probe_fleet(folder, ranks)
            elif spec.evaluation is not None:
                from gbench.pix2pix.evaluator import Evaluator

                Evaluator(spec, folder, arguments.data_dir, arguments.inputs_dir, ranks).run(heartbeat)
            elif spec.tuning is not None:
                from gbench.pix2pix.tuner import Tuner

                Tuner(spec, folder, arguments.data_dir, ranks).run(heartbeat)
            else:
                with convert_compiler_errors(), run_sampler(spec.config.measure, folder, ranks):
                    kind = Trainer if spec.profiling is None else ProfiledTrainer
                    kind(spec, folder, arguments.data_dir, ranks, arguments.cache_dir).run(facts_pipe, heartbeat)
    except Exception as error:
        return report_failure(folder, error)
    return 0


def set_up_limit_s(spec: RunSpec) -> float:
    """Seconds after which a set-up hangs; 0: it decodes all pairs, or a fleet is probed, with deadlines of its own."""
    may_take_hours = spec.config.data.source in ("cached", "resident") or spec.recipe == "fleet"
    return 0.0 if may_take_hours else hang_limit_s(spec.config.measure.hang_seconds)


@contextmanager
def run_sampler(config: MeasureConfig, folder: RunFolder, ranks: Ranks) -> Iterator[None]:
    """Sample devices and host in this context; every rank must enter it.

    The first rank of each host starts its sampler and measures the idle power of its devices for `idle_seconds`; the
    other ranks wait.
    """
    if not config.telemetry_hz:
        yield
        return
    pids = ranks.gather(os.getpid())[ranks.on_this_node]
    # as NVML names them
    gpus = []
    if ranks.device.type == "cuda":
        gpus = ranks.gather(str(torch.cuda.get_device_properties(ranks.device).uuid))[ranks.on_this_node]
    cpus = None if ranks.binding is None else ranks.binding.allowed  # any core: not only those that rank 0 is bound to
    with ExitStack() as stack:
        if ranks.is_first_here:
            sampler = TelemetryProcess(folder.path, pids, gpus, config.telemetry_hz, cpus)
            stack.enter_context(sampler).measure_idle(config.idle_seconds)
        ranks.gather(None)
        yield


if __name__ == "__main__":
    leave(main())
