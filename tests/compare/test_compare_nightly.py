"""Every sentence, note and exit code of nights, and the command that pins them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from drawn_records import calibration, record
from gbench.cndb.record_file import write_record
from gbench.compare.comparison import Comparison, compare
from gbench.compare.formats import night_cells
from gbench.compare.nightly import Night, anchor_of, in_nights, judge, pin_command, require_figures
from gbench.compare.sides import Run
from gbench.errors import UsageError
from golden import check_golden

USUAL = [100.0, 100.4, 99.6, 100.2, 99.8, 100.1, 99.9, 100.3, 99.7, 100.0, 100.2, 99.9]
NOISY = [100.0, 104.0, 97.0, 103.0, 96.0, 101.0, 105.0, 95.0, 99.0, 102.0, 98.0, 97.5]


def of(day: int, throughput: float, name: str = "", recipe: str = "convergence", **changes: Any) -> Run:
    """A run whose p95 step time, memory and loss go with its throughput."""
    perf = {"throughput": throughput, "throughput_unit": "img/s", "step": {"p95_s": 36 / throughput}}
    extra = {"started_utc": f"2026-01-{day:02}T02:00:00Z", "recipe": recipe, **changes.pop("extra", {})}
    values = {"perf_data": perf, "metric_data": {"G_L1": 2000 / throughput}, **changes}
    run_id = f"20260101T000000Z-a-{day:04x}{name or 'aa'}"
    return Run(record(run_id, extra=extra, **values), run_id)


def nights(figures: Sequence[float], first_day: int = 1) -> list[Run]:
    return [of(day, figure) for day, figure in enumerate(figures, first_day)]


def tonight(*figures: float, **changes: Any) -> list[Run]:
    return [of(28, figure, f"b{number}", **changes) for number, figure in enumerate(figures)]


def in_turn(pinned: float, new: float, runs: int = 3) -> Comparison:
    factors = (1.0, 1.001, 0.9995)[:runs]
    sides = [[of(28, level * one, f"{name}{one}") for one in factors] for name, level in (("c", pinned), ("d", new))]
    return compare(*sides, [], 0.01, names=["throughput"])


def night(
    earlier: list[Run], last: list[Run], pinned: int = 0, names: Sequence[str] = ("throughput",), **more: Any
) -> Night:
    """pinned: how many of the earlier runs are."""
    anchor = anchor_of("quiet", earlier[:pinned], earlier)
    return judge(anchor, last, 0.03, **{"allowed": (), "warned_after": 5, **more}, names=names)


SLOW, USED = [95.0, 95.1], nights(USUAL)
DRIVER_KNOWN = [*USED[:-1], of(12, 99.9, extra={"driver": "570"})]
FLAT: dict[str, Any] = {"metric_data": {"G_L1": 20.0}}
BY_RULE = {"throughput_unit": "img/s", "data_share": 0.1}
OLD_RULE = [of(day, figure, perf_data={**BY_RULE, "throughput": figure}) for day, figure in enumerate(USUAL, 1)]
NEW_RULE = {
    "perf_data": {**BY_RULE, "throughput": 50.0, "statistics": 2},
    "extra": {"first_reading": {"throughput_img_s": 100.0}},
}


CALIBRATED = calibration(USUAL * 2)


def at_clock(mhz: float, *figures: float, day: int | None = None) -> list[Run]:
    """Runs at a clock of their GPU, on a day each or all on one."""
    telemetry = {"gpus": [{"sm_mhz": {"mean": mhz}}]}
    perfs: list[dict[str, Any]] = [
        {"throughput": one, "throughput_unit": "img/s", "telemetry": telemetry} for one in figures
    ]
    return [of(day or at, one["throughput"], f"c{at}", perf_data=one) for at, one in enumerate(perfs, 1)]


def cases() -> dict[str, Night]:
    return {
        "the first": night([], tonight(100.0)),
        "the first, of other figures": night([], tonight(100.0), names=["loss-l1", "latency-p95"]),
        "one earlier night": night(nights(USUAL[:1]), tonight(100.0, 101.0)),
        "few pinned nights": night(nights(USUAL[:3]), tonight(100.0), pinned=2),
        "few nights and a gross loss": night(nights(USUAL[:3]), tonight(14.0)),
        "usual": night(USED, tonight(100.0, 100.1)),
        "slower": night(USED, tonight(*SLOW), pinned=12),
        "slower in every figure": night(USED, tonight(*SLOW), names=["throughput", "latency-p95", "loss-l1"]),
        "slower for three nights": night([*USED, *nights(SLOW, 20)], tonight(*SLOW), pinned=12),
        "one run alone": night(USED, tonight(*SLOW[:1])),
        "faster": night(USED, tonight(105.0, 105.1), pinned=12),
        "noisy": night(nights(NOISY), tonight(98.0, 98.0), pinned=12),
        "noisy, warned of at once": night(nights(NOISY), tonight(98.0, 98.0), pinned=12, warned_after=1),
        "noisy, warned of after three": night(nights(NOISY), tonight(98.0, 98.0), warned_after=3),
        "a figure that is open and one that is not": night(
            [of(day, figure, **FLAT) for day, figure in enumerate(NOISY, 1)],
            tonight(98.0, 98.0, **FLAT),
            names=["throughput", "loss-l1", "throughput"],
            warned_after=3,
        ),
        "perhaps slower": night(USED, tonight(98.8, 98.9), pinned=12),
        "other software": night(
            DRIVER_KNOWN, tonight(*SLOW, soft_info={"name": "other:2"}, extra={"driver": "571"}), pinned=12
        ),
        "faster by other software": night(DRIVER_KNOWN, tonight(105.0, 105.1, extra={"driver": "571"}), pinned=12),
        "another rule of the statistics": night(OLD_RULE, tonight(50.0, 50.0, **NEW_RULE), pinned=12),
        "an allowed difference": night(USED, tonight(100.0, 100.1, train_type="TF32"), allowed=("precision",)),
        "as slow as the pinned image": night(USED, tonight(*SLOW), pinned=12, pairs=in_turn(95.0, 95.0)),
        "as slow as the pinned image, but for a figure": night(
            USED, tonight(*SLOW), pinned=12, pairs=in_turn(95.0, 95.0), names=["throughput", "loss-l1"]
        ),
        "as fast as the pinned image": night(USED, tonight(*USUAL[:2]), pinned=12, pairs=in_turn(100.0, 100.0)),
        "slower than the pinned image": night(USED, tonight(*USUAL[:2]), pinned=12, pairs=in_turn(100.0, 97.0)),
        "not surely slower than it": night(USED, tonight(*SLOW), pinned=12, pairs=in_turn(95.0, 94.9, runs=1)),
        "faster, and slower than it": night(USED, tonight(105.0, 105.1), pinned=12, pairs=in_turn(105.0, 100.0)),
        "a calibrated machine": night(USED, tonight(100.0, 100.1), calibration=CALIBRATED),
        "a calibrated machine, and another figure": night(
            USED, tonight(100.0, 100.1), calibration=CALIBRATED, names=["latency-p95"]
        ),
        "faster at a higher clock": night(at_clock(1500, *USUAL), at_clock(1575, 105.0, 105.1, day=28), pinned=12),
        "gross on a machine that is as slow": night(USED, tonight(14.0), pinned=12, pairs=in_turn(14.0, 14.0)),
    }


def test_all_that_is_said_of_nights() -> None:
    said = []
    for title, found in cases().items():
        causes = [f"> {cause.text}" for cause in found.causes]
        cells = [" | ".join(night_cells(one)) for one in found.figures]
        ends = f"exit code {int(found.exit_code)}{', more runs may change it' if found.doubtful else ''}"
        said += [f"== {title}: {ends}", found.sentence, *cells, *(f"- {note}" for note in found.notes), *causes]
    check_golden("nights.txt", "\n".join(said) + "\n")


def test_a_figure_that_a_run_lacks_is_named() -> None:
    require_figures(USED, ["throughput", "loss-l1"])
    with pytest.raises(UsageError, match=r"^not every run has energy; leave it out of --metric$"):
        require_figures(USED, ["throughput", "energy"])


def test_a_night_ends_where_no_run_starts_for_six_hours() -> None:
    starts = ["01T18:00:00", "02T00:00:00", "02T06:00:01", "02T07:00:00"]
    runs = [of(1, 1.0, str(number), extra={"started_utc": f"2026-01-{at}Z"}) for number, at in enumerate(starts)]
    assert in_nights(runs[::-1]) == [runs[:2], runs[2:]]


def test_nights_since_are_those_after_the_last_pinned_run() -> None:
    pinned = nights(USUAL[:3], 10)
    undated = of(1, 1.0, "x", extra={"started_utc": "some day"})
    with_the_last = of(12, 90.0, "x")
    found = anchor_of("quiet", pinned, [undated, *nights([90.0], 5), *pinned, with_the_last, *nights(SLOW, 13)])
    assert (found.nights, found.since) == ([[run] for run in pinned], [[run] for run in nights(SLOW, 13)])
    without_time = anchor_of("quiet", [undated], [undated, *nights([90.0], 5)])
    assert (without_time.nights, without_time.since) == ([[undated]], [nights([90.0], 5)])


def test_the_command_that_pins_is_whole(tmp_path: Path) -> None:
    cndb_dir = tmp_path / "my cndb"
    level = nights([105.0, 105.2], 20)
    found = {
        "set": night(USED, tonight(100.0)),
        "refresh": night([*USED, *level], tonight(105.1, 105.0), pinned=12),
    }
    paths = {run.source: write_record(run.record, cndb_dir, run.source) for run in [*USED, *level, *tonight(1.0, 2.0)]}
    for verb, runs in {"set": [*USED[3:], *tonight(100.0)], "refresh": [*level, *tonight(105.1, 105.0)]}.items():
        files = ",".join(str(paths[run.source]) for run in runs)
        whole = f"gbench cndb baseline {verb} quiet '{files}' --reason WHY --cndb-dir '{cndb_dir}'"
        assert pin_command(found[verb], cndb_dir) == whole
    paths[tonight(1.0)[0].source].unlink()
    assert pin_command(found["set"], cndb_dir) is None
    nameless = [Run(one.record.model_copy(update={"extra": {"recipe": "convergence"}}), "") for one in tonight(100.0)]
    assert pin_command(night(USED, nameless), cndb_dir) is None
