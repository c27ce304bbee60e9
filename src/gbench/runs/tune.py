"""One tuning, from a resolved spec to what is remembered for runs of profile optimized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gbench.base.files import make_folder, require_writable
from gbench.base.utc import utc_now
from gbench.errors import InfrastructureError
from gbench.machine.gpus import find_gpus
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.tuning_result import NAME, Tuning, read_tuning
from gbench.runners.stopping import stoppable
from gbench.runs.prepare import Watcher
from gbench.runs.switch_cache import remember
from gbench.runs.unmeasured import run_aside
from gbench.settings.spec import RunSpec


@dataclass(frozen=True)
class Tuned:
    """A tuning that ended well. remembered: the file that runs of profile optimized will read."""

    folder: RunFolder
    tuning: Tuning
    remembered: Path


def tune(spec: RunSpec, environ: Mapping[str, str], watcher: Watcher, rebuild: bool = False) -> Tuned:
    """Try the switches by a spec of a tuning, and remember those that pay.

    Args:
        environ: what a local run inherits. rebuild: build the image anew.

    Raises:
        GbenchError: something it needs is missing, it failed, or it was stopped. What was remembered before stays.
    """
    with stoppable(None):
        gpus = find_gpus()
        make_folder(Path(spec.cache_dir))
        require_writable(Path(spec.cache_dir) / "tuned")  # what is found comes last, after minutes
        folder = run_aside(spec, gpus, environ, watcher, rebuild)
        found = read_tuning(folder)
        if found is None:
            raise InfrastructureError(f"the tuning left no result in {folder.path}", f"read {folder.log}")
        try:
            return Tuned(folder, found, remember(spec, gpus, found, utc_now()))
        except InfrastructureError as error:
            raise InfrastructureError(
                error.what,
                f"what was found is kept in {folder.path / NAME}, which --profile optimized does not read: "
                "free space there, or take another --cache-dir, and tune again",
            ) from error
