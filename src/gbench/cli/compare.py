"""`gbench compare`: check whether a run is slower than another, and list what else differs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from gbench.base.files import is_there
from gbench.cli.shared.output import echo, print_json
from gbench.cli.shared.run_options import PERCENT, json_option, junit_option, markdown_option, threshold_option
from gbench.cli.shared.storing import DatabaseChoice, cndb_folder, database_options
from gbench.cli.shared.table import print_table
from gbench.errors import RecordError, UsageError
from gbench.settings.literals import MetricName

if TYPE_CHECKING:
    from gbench.cndb.record import Record
    from gbench.compare.comparison import Comparison
    from gbench.compare.earlier_records import Earlier
    from gbench.compare.explain import Cause
    from gbench.compare.nightly import Night
    from gbench.compare.sides import Run
    from gbench.machine.calibration import Calibration

BASELINE = "baseline:"
LAST = re.compile(r"last:([1-9]\d{0,3})")
HISTORY = 30  # earlier runs of a configuration, to estimate the variation between runs
SHOWN_CAUSES = 5  # maximum number of differences printed with a verdict
METRIC_NAMES = (*get_args(MetricName), "loss-l1")


@click.command()
@click.argument("base")
@click.argument("new")
@threshold_option("The smallest loss to detect.")
@click.option(
    "--metric",
    "names",
    multiple=True,
    type=click.Choice(METRIC_NAMES),
    help="Figure to judge, the first as the headline; each must then be decided. Repeatable.  [default: all present in "
    "every run]",
)
@click.option("--allow", "allowed", multiple=True, metavar="FIELD", help="Field that may differ. Repeatable.")
@click.option(
    "--run-sd",
    type=PERCENT,
    help="Standard deviation of throughput between runs, if it can't be measured.  [default: 3%]",
)
@click.option("--explain", is_flag=True, help="Print only what differs, the most likely cause first.")
@markdown_option
@junit_option
@database_options("Database for last:N and the history.  [default: embedded, if it exists]")
@json_option
def compare(
    base: str,
    new: str,
    threshold: float,
    names: Sequence[str],
    allowed: Sequence[str],
    run_sd: float | None,
    explain: bool,
    markdown: Path | None,
    junit: Path | None,
    database: DatabaseChoice,
    as_json: bool,
) -> None:
    """Check whether NEW is worse than BASE by more than the noise of their runs.

    BASE and NEW are each a record file, a run folder, a folder or a quoted pattern of these, or several joined by
    commas. BASE may also be last:N, the last N runs of NEW's configuration in the database before it, or baseline:NAME.

    \b
    gbench compare cndb/records/old.yaml cndb/records/new.yaml
    gbench compare last:10 results/RUN_ID --db gpu-performance --allow image
    gbench compare baseline:v100-fp32 'results/20260201*' --threshold 2% --junit compare.xml
    gbench compare --explain results/RUN_A results/RUN_B

    Exit code 0: no regression, any loss is below the threshold; 1: a regression, the loss is real and over half the
    threshold; 2: not comparable, or wrong arguments; 3: inconclusive; the result says how many more runs would decide.
    """
    from gbench.base.files import write_atomically
    from gbench.compare.formats import as_json as to_json
    from gbench.compare.formats import as_junit, as_markdown, cause_json
    from gbench.compare.sides import read_side

    if explain and (markdown or junit or names):
        raise UsageError("--explain gives no verdict", "leave out --metric, --markdown and --junit")
    new_runs = read_side(new, "NEW")
    base_runs, notes = _base(base, new_runs, allowed, database)
    notes += (note for run in (*base_runs, *new_runs) for note in run.notes)
    if explain:
        from gbench.compare.explain import explain as causes_of

        causes = causes_of([run.record for run in base_runs], [run.record for run in new_runs])
        if as_json:
            print_json([cause_json(cause) for cause in causes])
        else:
            print_causes(causes, len(causes))
        return
    from gbench.compare.comparison import compare as judge

    history = history_of(new_runs[0], [*base_runs, *new_runs], allowed, database)
    calibration = _calibration([run.record for run in (*base_runs, *new_runs)], notes)
    comparison = judge(base_runs, new_runs, history, threshold, allowed, names, run_sd, calibration)
    comparison.notes.extend(notes)
    if markdown:
        write_atomically(markdown, as_markdown(comparison))
    if junit:
        write_atomically(junit, as_junit(comparison))
    if as_json:
        print_json(to_json(comparison))
    else:
        print_comparison(comparison)
    click.get_current_context().exit(comparison.exit_code)


def _base(text: str, new: list[Run], allowed: Sequence[str], database: DatabaseChoice) -> tuple[list[Run], list[str]]:
    """The runs of BASE, and what to say of them."""
    from gbench.compare.baseline import Baselines
    from gbench.compare.sides import BASE_FORMS, read_side

    if text.startswith(BASELINE):
        name = text.removeprefix(BASELINE)
        return Baselines(cndb_folder(database.cndb_dir)).read(name).runs(name), []
    last = LAST.fullmatch(text)
    if last is None:
        return read_side(text, "BASE", BASE_FORMS), []
    earlier = _earlier(new[0], new, allowed, database, int(last[1]))
    if not earlier.runs:
        elsewhere = f" on this machine; {earlier.notes[0]}" if earlier.elsewhere else ""
        raise UsageError(
            f"BASE {text}: the database has no earlier run of NEW's configuration{elsewhere}",
            "see gbench cndb list; fields that may differ are given with --allow",
        )
    return earlier.runs, earlier.notes


def _calibration(records: list[Record], notes: list[str]) -> Calibration | None:
    """The calibration of the machine that all these records come from, in the default cache folder."""
    from gbench.compare.gate import calibration_of
    from gbench.settings.defaults import read_defaults
    from gbench.settings.resolve import cache_dir_of

    cache_dir, _ = cache_dir_of(read_defaults(os.environ)[0].get("cache_dir"), os.environ)
    return calibration_of(records, Path(cache_dir), notes.append)


def history_of(like: Run, exclude: list[Run], allowed: Sequence[str], database: DatabaseChoice) -> list[Run]:
    """Earlier runs of the same configuration, if needed and if there is a database; else none."""
    from gbench.cndb.database_config import EMBEDDED_FILE
    from gbench.compare.change import ALONE_DOF

    unknown = database.db is None and not is_there(cndb_folder(database.cndb_dir) / EMBEDDED_FILE)
    if unknown or len(exclude) - 2 >= ALONE_DOF:
        return []
    return _earlier(like, exclude, allowed, database, HISTORY).runs


def _earlier(like: Run, exclude: list[Run], allowed: Sequence[str], database: DatabaseChoice, limit: int) -> Earlier:
    from gbench.cndb.database import connect, database_errors
    from gbench.compare.earlier_records import earlier_runs

    config = database.config
    try:
        with database_errors(config):
            return earlier_runs(connect(config), like.record, allowed, [run.record for run in exclude], limit)
    except RecordError as error:  # its own exit code would mean a regression
        raise UsageError(f"database {config.shown}: {error.what}", error.hint) from error


def print_comparison(found: Comparison) -> None:
    from gbench.compare.formats import cells

    print_judged(found, map(cells, found.judged))


def print_judged(found: Comparison | Night, rows: Iterable[list[str]]) -> None:
    """Print a comparison or the verdict on a night. rows: its figures, with the columns HEADINGS."""
    from gbench.compare.formats import HEADINGS

    print_table([HEADINGS, *rows], right=(2, 3, 4, 5), give_way={0: 8}, left_out=(4, 5, 3))
    for note in found.notes:
        echo(f"note: {note}")
    if found.verdict != "no regression" and found.causes:
        echo("what else differs:")
        print_causes(found.causes)
    echo(found.sentence)


def print_causes(causes: Sequence[Cause], most: int = SHOWN_CAUSES) -> None:
    for cause in causes[:most]:
        echo(f"  {cause.text}")
    if not causes:
        echo("nothing that the records hold differs")
    elif len(causes) > most:
        echo(f"  and {len(causes) - most} more: gbench compare --explain")
