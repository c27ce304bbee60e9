"""What a run needs, looked for before the first of several is begun: a later one's lack would cost what went before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gbench.base.files import require_writable
from gbench.machine.gpus import find_gpus, require_devices
from gbench.runners import engine
from gbench.runs.prepare import dataset_facts, locate_dataset, make_runner
from gbench.runs.switch_cache import with_tuned_switches
from gbench.settings.spec import RunSpec


def require_possible(spec: RunSpec, environ: Mapping[str, str], rebuild: bool) -> None:
    """Find out what a run lacks without starting anything.

    Raises:
        GbenchError: a device, a tuning, the dataset, a sensible image, a Docker engine, or a folder to write to.
    """
    gpus = find_gpus()
    require_devices(spec, gpus)
    dataset_facts(locate_dataset(with_tuned_switches(spec, gpus)))
    make_runner(spec, environ, rebuild).describe()
    if spec.runner == "docker":
        engine.connect()
    for folder in (Path(spec.cndb_dir) / "records", Path(spec.logs_dir)):
        require_writable(folder)
