"""One tuning, from a resolved spec to what is remembered for runs of profile optimized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gbench import provenance
from gbench.aside import run_aside
from gbench.errors import InfrastructureError
from gbench.files import make_folder, require_writable
from gbench.host import Watcher
from gbench.preflight.devices import find_gpus
from gbench.runfolder import RunFolder
from gbench.runners.stopping import stoppable
from gbench.settings.spec import RunSpec
from gbench.tuned import remember
from gbench.tuning import NAME, Tuning, read_tuning


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
            return Tuned(folder, found, remember(spec, gpus, found, provenance.utc_now()))
        except InfrastructureError as error:
            raise InfrastructureError(
                error.what,
                f"what was found is kept in {folder.path / NAME}, which --profile optimized does not read: "
                "free space there, or take another --cache-dir, and tune again",
            ) from error
