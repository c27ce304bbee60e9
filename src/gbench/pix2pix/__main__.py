"""One rank of a run, under torchrun:

    torchrun --standalone --nproc-per-node 2 -m gbench.pix2pix --run-dir results/RUN_ID --data-dir data/facades

Reads `spec.json` from the run folder and leaves its results there. A spec that says so is an evaluation, or a profile.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import multiprocessing
import os
import sys
from pathlib import Path
from typing import NoReturn

from gbench.errors import GbenchError
from gbench.pix2pix.memory import memory_told
from gbench.pix2pix.profiled import Profiled
from gbench.pix2pix.ranks import joined
from gbench.pix2pix.train import Trainer
from gbench.pix2pix.watched import watched
from gbench.runfolder import RunFolder
from gbench.worker_error import write_error


def main() -> int:
    """Run one rank; an expected failure is left as `error.json` and said in one line."""
    parser = argparse.ArgumentParser(prog="python -m gbench.pix2pix", description="One rank of a run, under torchrun.")
    parser.add_argument("--run-dir", type=Path, required=True, help="run folder with spec.json; results go there")
    parser.add_argument("--data-dir", type=Path, required=True, help="dataset folder, with train/ below it")
    parser.add_argument("--cache-dir", type=Path, help="folder of decoded pairs; default: the spec's")
    parser.add_argument("--inputs-dir", type=Path, help="where the files that the spec names lie by name, if not there")
    arguments = parser.parse_args()
    folder = RunFolder(arguments.run_dir)
    try:
        spec = folder.spec()
        with (
            joined(spec.device, spec.world_size, spec.config.measure.pin, spec.omp_num_threads) as ranks,
            memory_told(ranks.device, spec.batch_per_device),
        ):
            if spec.evaluation is not None:
                from gbench.pix2pix.evaluate import Evaluator  # loads torchmetrics, which a training has no use for

                Evaluator(spec, folder, arguments.data_dir, arguments.inputs_dir, ranks).run()
            else:
                with watched(spec.config.measure, folder, ranks):
                    kind = Trainer if spec.profiling is None else Profiled
                    kind(spec, folder, arguments.data_dir, ranks, arguments.cache_dir).run()
    except GbenchError as error:
        print(f"gbench: error: {error}", file=sys.stderr, flush=True)
        with contextlib.suppress(GbenchError):  # no folder or a full disk: then the sentence stands in the log alone
            write_error(folder, error)
        return int(error.exit_code)
    return 0


def leave(code: int) -> NoReturn:
    """End this process without the teardown of the C++ libraries, once Python's own is done.

    With gloo that teardown aborts now and then ("terminate called without an active exception", torch 2.14), and so
    makes a failure of a run whose results are all on disk.
    """
    for child in multiprocessing.active_children():
        child.kill()  # a loader's process does not heed the SIGTERM that it would get now
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
