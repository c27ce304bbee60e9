"""A night: measure, judge, and add runs while they may change the verdict, with the pinned image in turn."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gbench.base.files import is_there
from gbench.cndb.from_run import unmeasured_record
from gbench.compare.baseline import Baselines
from gbench.compare.comparison import Comparison, compare
from gbench.compare.differences import IMAGE, require_fields
from gbench.compare.earlier_records import Earlier, earlier_runs
from gbench.compare.gate import calibration_of
from gbench.compare.nightly import Anchor, Night, anchor_of, judge, require_figures
from gbench.compare.sides import Run
from gbench.errors import GbenchError, InfrastructureError
from gbench.measure.nights import RELEVANT
from gbench.runs.attempt import Observer
from gbench.runs.finish import FinishedRun
from gbench.runs.launch import launch
from gbench.runs.prepare import database_of
from gbench.settings.resolve import new_run_id
from gbench.settings.spec import RunSpec

BASELINE = "nightly"  # the one that is used if it exists
HISTORY = 2000  # earlier runs that are read
PINNED = "-pinned"  # after the name of the folder of results: runs of the pinned image
LEAST_PAIRS = 3  # runs of the pinned image from which they are compared


@dataclass(frozen=True)
class NightGoal:
    """How a night is measured and judged."""

    baseline: str | None
    """None: BASELINE if it exists, else the first nights of the database."""
    runs: int
    max_runs: int
    """Tonight's runs at most, those of the pinned image not counted."""
    threshold: float
    allowed: Collection[str]
    names: Sequence[str]
    warned_after: int
    """Inconclusive nights in a row that are a warning."""


class Measured:
    """The runs of a night; `add` launches more of them."""

    def __init__(self, spec: RunSpec, environ: Mapping[str, str], observer: Observer, rebuild: bool) -> None:
        self.spec, self._environ, self.observer, self._rebuild = spec, environ, observer, rebuild
        self.finished: list[FinishedRun] = []
        self.pinned: list[FinishedRun] = []

    @property
    def runs(self) -> list[Run]:
        return _runs(self.finished)

    def add(self, count: int) -> None:
        for _ in range(count):
            self.finished.append(self._launch(self.spec))

    def add_pairs(self, count: int, image: str) -> None:
        """As `add`, each run in turn with one of the image, whose record goes to no database."""
        folder = self.spec.results_dir + PINNED
        other = self.spec.replaced(image=image, from_image=None, database=None, results_dir=folder)
        for number in range(count):
            sides = [(self.spec, self.finished), (other, self.pinned)]
            for spec, runs in sides[:: 1 if number % 2 else -1]:
                runs.append(self._launch(spec))

    def _launch(self, spec: RunSpec) -> FinishedRun:
        rebuild, self._rebuild = self._rebuild, False
        spec = spec.replaced(run_id=new_run_id(spec.model))
        return launch(spec, self._environ, self.observer, rebuild)


def require_judgeable(spec: RunSpec, goal: NightGoal) -> None:
    """Check before the first run all that is known then.

    Raises UsageError: no such baseline, one without a figure to judge, or an unknown field that may differ.
    InfrastructureError: the baseline can't be read.
    """
    pinned = _pinned_runs(spec, goal)
    require_fields(goal.allowed, [unmeasured_record(spec), *(run.record for run in pinned)])
    require_figures(pinned, goal.names)


def measure_night(measured: Measured, goal: NightGoal, environ: Mapping[str, str]) -> Night:
    """Measure, judge, and add runs until the verdict stands or the budget is spent.

    Raises GbenchError: a run failed, or has not every figure; the runs are not comparable, or the nights can't be read.
    """
    measured.add(1)
    require_figures(measured.runs, goal.names)
    measured.add(goal.runs - 1)
    spec, warnings = measured.spec, list[str]()
    anchor = read_anchor(spec, goal, measured.runs, environ, warnings.append)
    image = pinned_image(spec, anchor, measured.runs)
    records = [run.record for run in measured.runs]
    calibration = calibration_of(records, Path(spec.cache_dir), warnings.append)

    def judged() -> Night:
        pairs = _pairs(measured, goal.allowed)
        night = judge(
            anchor, measured.runs, goal.threshold, goal.allowed, goal.names, goal.warned_after, pairs, calibration
        )
        night.notes.extend(warnings)
        return night

    night = judged()
    while night.doubtful and len(measured.finished) < goal.max_runs:
        more = min(goal.runs, goal.max_runs - len(measured.finished))
        measured.observer.line(f"{night.sentence}; {more} more")
        if image is None:
            measured.add(more)
        else:
            measured.add_pairs(more, image)
        before, night = night.verdict, judged()
        if night.verdict == before != "inconclusive":
            break
    return night


def read_anchor(
    spec: RunSpec, goal: NightGoal, tonight: list[Run], environ: Mapping[str, str], warn: Callable[[str], None]
) -> Anchor:
    """The anchor of a night, and the nights since.

    Raises GbenchError: there is no such baseline, or nothing is pinned and the database can't be read.
    """
    pinned, earlier = _pinned_runs(spec, goal), Earlier([], 0)
    try:
        earlier = _earlier(spec, goal, tonight, environ)
    except GbenchError as error:
        if not pinned:
            raise InfrastructureError(f"the earlier nights can't be read: {error.what}", error.hint) from error
        warn(f"earlier nights are unknown, so tonight alone is judged: {error}")
    if spec.database is None:
        warn("DATABASE is false: earlier nights are unknown, so tonight alone is judged")
    for note in earlier.notes:
        warn(note)
    return anchor_of(goal.baseline or BASELINE, pinned, earlier.runs)


def _pinned_runs(spec: RunSpec, goal: NightGoal) -> list[Run]:
    baselines, name = Baselines(Path(spec.cndb_dir)), goal.baseline or BASELINE
    if goal.baseline is None and not is_there(baselines.path(name)):
        return []
    return baselines.read(name).runs(name)


def _earlier(spec: RunSpec, goal: NightGoal, tonight: list[Run], environ: Mapping[str, str]) -> Earlier:
    from gbench.cndb.database import connect, database_errors

    database = database_of(spec, environ)
    if database is None:
        return Earlier([], 0)
    with database_errors(database.config):
        exclude = [run.record for run in tonight]
        return earlier_runs(connect(database.config), tonight[0].record, goal.allowed, exclude, HISTORY)


def pinned_image(spec: RunSpec, anchor: Anchor, tonight: list[Run]) -> str | None:
    """The image that the newest pinned run had, if this machine has it and it is not tonight's; else None."""
    if spec.runner != "docker" or not anchor.pinned:
        return None
    from gbench.runners.engine import connect
    from gbench.runners.image import find_image

    image, own = (_image_id(runs[-1]) for runs in (anchor.runs, tonight))
    return image if image and image != own and find_image(connect(), image) else None


def _image_id(run: Run) -> str | None:
    image = getattr(run.record.soft_info, "image_id", None)
    return image if isinstance(image, str) and image.startswith("sha256:") else None


def _pairs(measured: Measured, allowed: Collection[str]) -> Comparison | None:
    """Tonight's later runs against those of the pinned image in turn with them; None if they are too few."""
    count = len(measured.pinned)
    if count < LEAST_PAIRS:
        return None
    new = measured.runs[-count:]
    return compare(_runs(measured.pinned), new, [], 2 * RELEVANT, {IMAGE, *allowed}, ["throughput"])


def _runs(finished: Sequence[FinishedRun]) -> list[Run]:
    return [Run(one.record, str(one.record_path)) for one in finished]
