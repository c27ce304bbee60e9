"""`gbench nightly`: measure a night, and judge it by the nights before it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from gbench.base.words import count
from gbench.cli.shared.run_options import (
    COUNT,
    junit_option,
    markdown_option,
    measure_options,
    require_arguments,
    resolved_of,
    run_arguments,
    run_options,
    stated,
    threshold_option,
)
from gbench.errors import GbenchError, UsageError, verdicts_only
from gbench.settings.literals import MetricName

if TYPE_CHECKING:
    from gbench.compare.nightly import Night
    from gbench.experiments.nightly import Measured, NightGoal


@click.command()
@run_arguments
@measure_options
@click.option("--baseline", metavar="NAME", help="Pinned nights to compare with.  [default: nightly, if it exists]")
@click.option("--runs", type=COUNT, default=3, help="Runs a night.")
@click.option("--max-runs", type=COUNT, help="Runs a night if it is in doubt.  [default: three times --runs]")
@threshold_option("The loss in one night that must be excluded.")
@click.option(
    "--metric",
    "names",
    multiple=True,
    type=click.Choice(get_args(MetricName)),
    default=("throughput",),
    help="Figure to judge. Repeatable.",
)
@click.option("--allow", "allowed", multiple=True, metavar="FIELD", help="Field that may differ. Repeatable.")
@click.option(
    "--inconclusive-nights",
    "warned_after",
    type=COUNT,
    default=5,
    help="Exit with code 3 after this many inconclusive nights in a row.",
)
@markdown_option
@junit_option
@run_options()
@verdicts_only()
def nightly(
    baseline: str | None,
    runs: int,
    max_runs: int | None,
    threshold: float,
    names: Sequence[str],
    allowed: Sequence[str],
    warned_after: int,
    markdown: Path | None,
    junit: Path | None,
    rebuild: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Measure a night, and judge it by the nights before it.

    The arguments are those of `gbench launch`; DATABASE, by default the embedded one, gets the records and has the
    nights before. The night is the median of its --runs. An alarm is a change of level against a pinned baseline of at
    least 10 nights (`gbench cndb baseline set`); without one, against the first 10 nights of the database. A loss of a
    quarter is always an alarm. In doubt, runs are added up to --max-runs; with Docker, in turn with the pinned image.

    \b
    gbench nightly pix2pix_resnet_9blocks 32 8 FP32 gpu-performance --markdown summary.md --junit junit.xml
    gbench nightly pix2pix_resnet_9blocks 4 1 FP32 --device cpu --runner local --steps 50 --runs 5

    Exit code 0: no regression, also below 10 nights; 1: a regression, and nothing else; 2: no such baseline, not
    comparable, or wrong arguments; 3: the last --inconclusive-nights nights were inconclusive; 4: the runs failed, or
    something they need is unavailable. docs/nightly.md
    """
    from gbench.base.files import write_atomically

    require_arguments(given)
    if max_runs is not None and max_runs < runs:
        raise UsageError(f"--max-runs {max_runs} is less than --runs {runs}", "give more, or leave it out")
    if "database" not in stated():
        given["database"] = "embedded"
    resolved = resolved_of(given, os.environ)
    if dry_run:
        from gbench.cli.shared.plan_output import show_plan

        show_plan(resolved, rebuild, as_json, seeds=[resolved.spec.seed] * runs if runs > 1 else ())
        return
    from gbench.cli.shared.output import Terminal
    from gbench.compare.formats import night_as_junit, night_as_markdown, night_failed
    from gbench.experiments.nightly import Measured, NightGoal

    def write(page: str, cases: str) -> None:
        for path, text in ((markdown, page), (junit, cases)):
            if path:
                write_atomically(path, text)

    goal = NightGoal(baseline, runs, max_runs or 3 * runs, threshold, allowed, names, warned_after)
    measured = Measured(resolved.spec, os.environ, Terminal(quiet), rebuild)
    try:
        night = _judged(measured, goal)
    except GbenchError as error:
        hint = "; ".join(filter(None, (error.hint, _not_uploaded(measured))))
        error = type(error)(error.what, hint)
        write(*night_failed("compare" if len(measured.finished) >= runs else "launch", str(error)))
        raise error from None
    if waiting := _not_uploaded(measured):
        night.notes.append(waiting)
    _print(night, as_json)
    write(night_as_markdown(night), night_as_junit(night))
    click.get_current_context().exit(night.exit_code)


def _judged(measured: Measured, goal: NightGoal) -> Night:
    """Measure the night's runs, and judge them. Raises GbenchError: a run failed, or there is no verdict."""
    from gbench.compare.nightly import pin_command
    from gbench.experiments.nightly import measure_night, require_judgeable
    from gbench.measure.nights import MIN_NIGHTS
    from gbench.runners.stopping import stoppable

    cndb_dir = Path(measured.spec.cndb_dir)
    require_judgeable(measured.spec, goal)
    with stoppable(None):
        night = measure_night(measured, goal, os.environ)
    nights = len(night.anchor.nights) + len(night.anchor.since) + 1
    pinning = nights >= MIN_NIGHTS and (not night.anchor.pinned or night.verdict == "too few nights")
    if (pinning or night.verdict == "improved") and (command := pin_command(night, cndb_dir)):
        night.notes.append(f"pin the latest nights: {command}")
    return night


def _not_uploaded(measured: Measured) -> str | None:
    """Which records of tonight's runs wait for the database, and how to send them; None if it has them all."""
    why = [one.not_stored for one in measured.finished if one.not_stored]
    return f"{count(len(why), 'record')} of tonight not uploaded: {why[-1]}" if why else None


def _print(night: Night, as_json: bool) -> None:
    from gbench.cli.compare import print_judged
    from gbench.cli.shared.output import print_json
    from gbench.compare.formats import night_as_json, night_cells

    if as_json:
        print_json(night_as_json(night))
    else:
        print_judged(night, map(night_cells, night.figures))
