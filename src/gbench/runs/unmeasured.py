"""A run of the worker that makes no record: an evaluation, a tuning. In a folder of its own, by the spec's runner."""

from __future__ import annotations

from collections.abc import Mapping

from gbench.base.utc import utc_now
from gbench.machine.gpus import Gpus, require_devices
from gbench.runfolder.error_file import forget_error
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import HostFacts
from gbench.runfolder.log import RunLog
from gbench.runners.plan import Runner
from gbench.runners.stopping import stoppable
from gbench.runs.prepare import (
    Watcher,
    dataset_facts,
    host_facts,
    locate_dataset,
    make_runner,
    oom_kills,
    require_success,
)
from gbench.settings.spec import RunSpec


def run_aside(spec: RunSpec, gpus: Gpus, environ: Mapping[str, str], watcher: Watcher, rebuild: bool) -> RunFolder:
    """Run the worker by a spec to its good end; gives the folder in which its result lies.

    Args:
        gpus: of this host. environ: what a local run inherits. rebuild: build the image anew.

    Raises:
        GbenchError: something it needs is missing, it failed, or it was stopped. What it wrote is kept.
    """
    require_devices(spec, gpus)
    spec = locate_dataset(spec)
    dataset, warnings = dataset_facts(spec)
    runner = make_runner(spec, environ, rebuild)
    folder = RunFolder.create(spec)
    with folder.taken(), RunLog([folder.log], watcher.line) as log:
        watcher.line(f"{spec.recipe} folder {folder.path}")
        for warning in warnings:
            log.line(f"warning: {warning}")
        runner.prepare(log.line)
        facts = host_facts(spec, gpus, runner, dataset, warnings)
        with watcher.running(folder), stoppable(spec.timeout_s):
            carry_out(folder, runner, facts, log)
    return folder


def carry_out(folder: RunFolder, runner: Runner, facts: HostFacts, log: RunLog) -> None:
    """Run the worker in its folder, once more where an attempt was before. Raises GbenchError: it failed."""
    forget_error(folder)  # of an attempt before
    folder.write_host(facts)
    kills = oom_kills()
    outcome = runner.run(folder.path, log.line)
    require_success(folder, outcome, log, kills)
    folder.update_host(ended_utc=utc_now(), exit_code=outcome.exit_code)
