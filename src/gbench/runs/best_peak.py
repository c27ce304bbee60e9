"""The best peak that a GPU of a name was measured to do in a precision: on record, and kept for later runs.

One file a name and precision, in `peaks/` below the cache folder.
"""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Literal

from gbench.base.files import is_there, make_folder, write_atomically
from gbench.base.json_file import read_json
from gbench.cndb.peaks import best_on_record
from gbench.cndb.upload import Target
from gbench.errors import InfrastructureError
from gbench.measure.summary import summarize_folder
from gbench.runfolder.host_facts import BestPeak
from gbench.runfolder.run_result import RunResult
from gbench.runs.attempt import OpenRun
from gbench.settings.model_config import Frozen

FOLDER = "peaks"
AGAIN = "remove it: the next run writes it again"


class KeptPeak(Frozen):
    """The content of a file in `peaks/`."""

    version: Literal[1] = 1
    device: str
    precision: str
    best: BestPeak


def with_best_peak(run: OpenRun, summary: RunResult | None, database: Target | None) -> RunResult | None:
    """The statistics of a run on GPUs against the best peak on record, which is noted in host.json, and kept."""
    environment = run.folder.environment()
    measured = [peak for peak in (environment.peak, environment.peak_after) if peak is not None]
    device, precision = environment.device, environment.precision
    if summary is None or run.spec.device == "cpu" or not measured or device is None or precision is None:
        return summary
    path = place_of(Path(run.spec.cache_dir), device, precision.ran)
    known = [_kept(path, run)]
    if database is not None:
        known.append(database.ask(lambda engine: best_on_record(engine, device, precision.ran)))
    best = _best([one for one in known if one is not None])
    if best is not None:
        run.folder.update_host(best_peak=best)
        summary = summarize_folder(run.folder)
        assert summary is not None
        run.folder.write_result(summary)
    source = f"run {run.spec.run_id}"
    own = [BestPeak(tflop_s=peak.tflop_s, copy_gb_s=peak.copy_gb_s, source=source) for peak in measured]
    kept = _best([*own, *([best] if best else [])])
    assert kept is not None
    with suppress(InfrastructureError):  # a cache that can't be written is no fault of the run
        make_folder(path.parent)
        content = KeptPeak(device=device, precision=precision.ran, best=kept)
        write_atomically(path, content.model_dump_json(indent=2) + "\n")
    return summary


def read_kept_peak(path: Path) -> KeptPeak:
    """Raises InfrastructureError: it can't be read."""
    return read_json(path, KeptPeak, "a kept peak", "run gbench launch", AGAIN)


def place_of(cache_dir: Path, device: str, precision: str) -> Path:
    digest = hashlib.sha256(device.encode()).hexdigest()[:16]
    return cache_dir / FOLDER / f"{digest}-{precision}.json"


def _kept(path: Path, run: OpenRun) -> BestPeak | None:
    if not is_there(path):
        return None
    try:
        return read_kept_peak(path).best
    except InfrastructureError as error:
        run.log.line(f"warning: {error}")
        return None


def _best(peaks: list[BestPeak]) -> BestPeak | None:
    """The best of both figures; its source is that of the operations."""
    if not peaks:
        return None
    copies = [peak.copy_gb_s for peak in peaks if peak.copy_gb_s is not None]
    return max(peaks, key=lambda peak: peak.tflop_s).changed(copy_gb_s=max(copies, default=None))
