"""Run a spec with upstream's own training:

    python -m gbench.upstream --run-dir results/RUN_ID --data-dir data/facades

Sets the precision and the seed, which upstream does not, runs its unchanged train.py, reads the precision back and
appends the benchmark log line. upstream.json in the run folder has the commit, the arguments and the time of each line.
"""

import argparse
import os
import random
from dataclasses import asdict
from pathlib import Path

import torch

from gbench.base.files import write_errors
from gbench.measure import environment
from gbench.pix2pix.ranks.out_of_memory import convert_memory_errors
from gbench.pix2pix.step import precision
from gbench.runfolder.environment_facts import EnvironmentFacts
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.worker_exit import leave, report_failure
from gbench.settings.spec import RunSpec
from gbench.upstream import command, watch
from gbench.upstream.timing import Figures, figures


def benchmark_line(spec: RunSpec, ran: str, device: str, result: Figures) -> str:
    """The benchmark log line. ran: the precision that torch reports; device: the device's name."""
    fields = {
        "network": spec.record_name,
        "batch size": spec.batch_size,
        "device count": spec.device_count,
        "dpf mode": "DP" if spec.device_count > 1 else "Single",  # nn.DataParallel, in one process
        "precision": ran,
        "throughput": f"{result.throughput_img_s} img/s",
        "time_avg": f"{result.step_mean_s} s/step",
        "time_var": f"{result.step_variance_s2} s^2",
        "time_p95": result.step_p95_s,
        "without_data_img_s": result.without_data_img_s,
        "legacy_img_s": result.legacy_img_s,
        "data_share": result.data_share,
        "device": device.replace(",", " "),
        "dataset": spec.dataset,
    }
    return ", ".join(f"{key}:{value}" for key, value in fields.items() if value is not None)


def run(folder: RunFolder, data_dir: Path) -> Figures:
    """Run the spec with upstream's train.py. Raises GbenchError: it can't, it failed, or it changed the precision."""
    from gbench.upstream.source import Pinned, find_code  # raises here if the extra is missing

    spec = folder.spec()
    command.require_known(spec)
    device = torch.device(spec.device)
    pinned = Pinned.of(spec.code_link)
    datasets_dir = Path(os.environ.get("DATASETS_DIR", spec.datasets_dir))  # its path in this process's container
    code = find_code(pinned, os.environ.get("UPSTREAM_DIR"), datasets_dir, folder.path, _say)
    arguments = command.arguments(spec, data_dir, folder.path)
    _say(f"{code.folder} is at {code.commit}, without changes; python train.py {' '.join(arguments)}")
    precision.set_precision(spec.precision, device)
    torch.manual_seed(spec.seed)
    random.seed(spec.seed)  # upstream's crops and flips
    schedule = spec.config.schedule
    assert schedule.max_steps is not None, "require_known"
    convert_errors = convert_memory_errors(device, spec.batch_per_device)
    lines = watch.run(code.folder / "train.py", arguments, schedule.max_steps, convert_errors)
    flags = precision.confirmed(spec.precision, torch.get_default_dtype())
    result = figures(lines, spec.batch_size, schedule.warmup_steps, schedule.max_warmup_steps)
    name = environment.device_name(device)
    facts = {
        "device": name,
        "software": environment.software(),
        "hardware": environment.hardware(device),
        "memory": [environment.memory(device)],
        "ended": {"steps": len(lines), "because": "all steps are done"},
        "precision_at_end": flags,
    }
    folder.write_environment(EnvironmentFacts.model_validate(facts))
    ran = {"commit": code.commit, "repository": pinned.repository, "arguments": arguments}
    folder.write("upstream.json", {**ran, "figures": asdict(result), "lines": [asdict(timed) for timed in lines]})
    if not result.steady_state:
        _say(f"warning: not steady: {result.steady_state_reason}")
    line = benchmark_line(spec, flags["ran"], name, result)
    log = folder.benchmark_log
    with write_errors(log), log.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    print(line, flush=True)
    return result


def _say(text: str) -> None:
    print(f"gbench: {text}", flush=True)


def main() -> int:
    """Run; write an expected failure to `error.json` and print it as one line."""
    parser = argparse.ArgumentParser(prog="python -m gbench.upstream", description="A run by upstream's own train.py.")
    parser.add_argument("--run-dir", type=Path, required=True, help="run folder with spec.json; results go there")
    parser.add_argument("--data-dir", type=Path, required=True, help="dataset folder, with train/ below it")
    given = parser.parse_args()
    folder = RunFolder(given.run_dir)
    try:
        run(folder, given.data_dir)
    except Exception as error:
        return report_failure(folder, error)
    return 0


if __name__ == "__main__":
    leave(main())
