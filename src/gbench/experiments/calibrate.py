"""Measure what the gates of `compare` and `nightly` can tell on this machine.

Plain runs are alternated with plain ones, then with runs in which every step takes a known time longer. Each is a
session of `gbench ab` in a folder of its own, so an interrupted calibration goes on from them. The rates are those of
sides and nights drawn from the plain runs (compare/gate.py).
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt

from gbench.base.files import make_folder
from gbench.base.json_file import read_json
from gbench.base.paths import CALIBRATE
from gbench.base.utc import utc_now
from gbench.cndb.record import Record
from gbench.cndb.record_file import read_record
from gbench.compare.gate import compare_rates, key_of, night_rates
from gbench.compare.metrics import THROUGHPUT
from gbench.errors import InfrastructureError
from gbench.experiments.ab import run_session
from gbench.experiments.block_ratio import block_logs, ratio_of_blocks
from gbench.experiments.session import Session, SessionGoal, SessionRun, State, new_session, with_one_more_block
from gbench.machine.calibration import CalibratedRun, Calibration, SlowedRuns
from gbench.machine.machine_key import host_name, machine_key
from gbench.runs.attempt import Observer
from gbench.settings.literals import STEP_DELAY, THRESHOLD
from gbench.settings.spec import RunSpec

LOSSES = (0.01, 0.02, 0.03)  # inserted after the plain runs
RUNS = (1, 2, 3, 5, 10)  # a side or a night, for which the rates are listed


class CalibrationPlan(State):
    """The content of calibrate.json."""

    FILE: ClassVar[str] = CALIBRATE
    version: Literal[1] = 1
    command_line: str
    spec: RunSpec
    blocks: PositiveInt
    """Of four runs, for each inserted loss and without one."""
    step_s: PositiveFloat | None = None
    """Of the plain runs; the inserted time is a share of it. None: they are not measured yet."""


def read_plan(folder: Path) -> CalibrationPlan:
    """Raises InfrastructureError: the folder holds no calibration, or a broken one."""
    missing, again = "give the folder of a gbench calibrate", "begin a new gbench calibrate"
    return read_json(folder / CALIBRATE, CalibrationPlan, "a calibration", missing, again)


def calibrate(
    plan: CalibrationPlan, folder: Path, environ: Mapping[str, str], observer: Observer, rebuild: bool = False
) -> Calibration:
    """Run what a calibration still lacks, and return its result.

    Raises GbenchError: a run failed or was stopped. What was measured is kept in the folder.
    """
    plain = _measured(plan, 0.0, folder, environ, observer, rebuild)
    if plan.step_s is None:
        plan = plan.replaced(step_s=plan.spec.batch_size / median(run.figure for run in plain.used))
        plan.write(folder)
    return _result(plain, [_measured(plan, loss, folder, environ, observer) for loss in LOSSES])


def require_machine_id() -> None:
    """Raises InfrastructureError: nothing would tell the calibration of this machine from another's."""
    if machine_key() is None:
        raise InfrastructureError(
            "this machine has no id, so nothing would tell its calibration from another's",
            "make one: systemd-machine-id-setup, as root",
        )


def _measured(
    plan: CalibrationPlan,
    loss: float,
    folder: Path,
    environ: Mapping[str, str],
    observer: Observer,
    rebuild: bool = False,
) -> Session:
    """The session of plain runs with runs that lose a share, with all its blocks."""
    step = folder / f"loss-{100 * loss:g}"
    make_folder(step)
    while True:
        session = _session(plan, loss, folder, step)
        if session.blocks >= plan.blocks:
            return session
        observer.line(f"{session.differences[0]}: block {session.blocks + 1} of {plan.blocks}")
        run_session(session, step, environ, observer, rebuild and not session.runs, progress=False)


def _session(plan: CalibrationPlan, loss: float, folder: Path, step: Path) -> Session:
    """The session in the folder of a loss, to run one more block; begun if there is none."""
    plain = plan.spec.replaced(results_dir=str(step), cndb_dir=str(folder / "cndb"), database=None)
    slowed, how = plain, "plain runs"
    if loss:
        assert plan.step_s is not None, "plain runs come first"
        delay_s = plan.step_s * loss / (1 - loss)
        slowed, how = plain.replaced(env={**plain.env, STEP_DELAY: f"{delay_s:.9f}"}), f"{1000 * delay_s:.3g} ms a step"
    words = f"plain runs in turn with {how} more" if loss else "plain runs in turn with plain runs"
    session = new_session(step, SessionGoal(), ("plain runs", how), (plain, slowed), differences=[words])
    return with_one_more_block(session, step)


def _result(plain: Session, slowed: list[Session]) -> Calibration:
    runs = [*plain.used, *(run for session in slowed for run in session.used if run.side == "A")]
    records = [read_record(Path(run.record)) for run in runs]
    key = key_of(records[0])
    assert key is not None, "the machine has an id, and a run's record its spec"
    figures = [_calibrated(run, record) for run, record in zip(runs, records, strict=True)]
    many = [count for count in RUNS if 2 * count <= len(figures)]
    record, spec = records[0], plain.specs["A"]
    return Calibration(
        key=key,
        title=f"{record.model}, batch {spec.batch_size}, {record.dev_num} x {record.dev}, {record.train_type}",
        host_name=host_name(),
        made_utc=utc_now(),
        runs=tuple(figures),
        slowed=tuple(_slowed(session, loss) for session, loss in zip(slowed, LOSSES, strict=True)),
        compare=tuple(found for count in many if (found := compare_rates(figures, count, count, THRESHOLD))),
        nightly=tuple(found for count in many if (found := night_rates(figures, count))),
    )


def _slowed(session: Session, loss: float) -> SlowedRuns:
    runs = session.used
    found = ratio_of_blocks(block_logs([run.figure for run in runs], [run.side for run in runs]))
    ends = [None if end is None else 1 - end for end in (found.high, found.low)]
    slow = [_calibrated(run, read_record(Path(run.record))) for run in runs if run.side == "B"]
    return SlowedRuns(inserted=loss, measured=1 - found.ratio, low=ends[0], high=ends[1], runs=tuple(slow))


def _calibrated(run: SessionRun, record: Record) -> CalibratedRun:
    figure = THROUGHPUT.read(record)
    return CalibratedRun(throughput=run.figure, error_share=figure.error_share if figure else 0.0)
