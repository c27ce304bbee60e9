"""One tuning, from a resolved spec to the switches saved for runs of profile optimized."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gbench.base.files import require_writable
from gbench.base.paths import make_cache_folder
from gbench.base.utc import utc_now
from gbench.errors import InfrastructureError
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.tuning_result import NAME, Tuning, read_tuning
from gbench.runners.stopping import stoppable
from gbench.runs.attempt import Observer, run_to_end
from gbench.runs.prepare import prepare
from gbench.runs.switch_cache import remember
from gbench.settings.spec import RunSpec


@dataclass(frozen=True)
class FinishedTuning:
    folder: RunFolder
    tuning: Tuning
    remembered: Path
    """The file that runs of profile optimized read."""


def tune(spec: RunSpec, environ: Mapping[str, str], observer: Observer, rebuild: bool = False) -> FinishedTuning:
    """Try each switch as the spec of a tuning says, and save those that pay.

    Raises GbenchError: something it needs is missing, it failed, or it was stopped. An earlier result is kept.
    """
    with stoppable(None):
        make_cache_folder(Path(spec.cache_dir))
        require_writable(Path(spec.cache_dir) / "tuned")  # fail now: the result is written last, after minutes
        prepared = prepare(spec, environ, rebuild)
        folder = run_to_end(prepared, observer)
        tuning = read_tuning(folder)
        if tuning is None:
            raise InfrastructureError(f"the tuning left no result in {folder.path}", f"read {folder.log}")
        try:
            return FinishedTuning(folder, tuning, remember(spec, prepared.gpus, tuning, utc_now()))
        except InfrastructureError as error:
            raise InfrastructureError(
                error.what,
                f"what was found is kept in {folder.path / NAME}, which --profile optimized does not read: "
                "free space there, or take another --cache-dir, and tune again",
            ) from error
