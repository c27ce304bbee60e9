"""`gbench replay`: rerun a recorded run, and compare."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gbench.cli.shared.consent import require_trust, trust_option
from gbench.cli.shared.output import echo
from gbench.cli.shared.run_options import (
    COUNT,
    PERCENT,
    command_line,
    json_option,
    option,
    quiet_option,
    threshold_option,
)
from gbench.cli.shared.suggested import RUNNER
from gbench.errors import GbenchError, verdicts_only

if TYPE_CHECKING:
    from gbench.experiments.replay import Replay
    from gbench.runs.finish import FinishedRun


@click.command()
@click.argument("record", metavar="RECORD")
@click.option("--allow", "allowed", multiple=True, metavar="FIELD", help="Field that may differ here. Repeatable.")
@option("datasets_dir", " Variable: DATASETS_DIR.  [default: the recorded one, else data]")
@option("cndb_dir", " Variable: CNDB_DIR.  [default: cndb]")
@option("run_model_file", "  [default: the recorded one]")
@click.option("--runner", type=RUNNER, help="docker or local.  [default: the recorded one]")
@option("cuda_visible_devices")
@click.option("--rebuild", is_flag=True, help="Build an image from the present sources, in place of the recorded one.")
@click.option("--repeats", type=COUNT, default=1, help="Number of separate runs.")
@threshold_option("As in gbench compare.")
@click.option("--run-sd", type=PERCENT, help="As in gbench compare.")
@option("results_dir")
@option("logs_dir")
@trust_option
@click.option("--dry-run", is_flag=True, help="Print what can't be reproduced here, and what would run.")
@json_option
@quiet_option
@verdicts_only()
def replay(
    record: str,
    allowed: Sequence[str],
    rebuild: bool,
    repeats: int,
    threshold: float,
    run_sd: float | None,
    trust: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **redirect: Any,
) -> None:
    """Rerun RECORD, a record file or a run folder, with the same seed, settings and image; then compare.

    Lists first what can't be reproduced here: image, device, dataset, driver, versions, code. A difference that would
    make the comparison meaningless is an error, unless --allow names it. Nothing is uploaded.

    \b
    gbench replay cndb/records/RECORD.yaml --dry-run
    gbench replay results/RUN_ID --repeats 3
    gbench replay RECORD.yaml --datasets-dir /data --allow device
    gbench replay RECORD.yaml --runner local --allow image

    Exit codes are those of gbench compare, with RECORD as BASE: 0 no regression; 1 a regression; 2 not comparable; 3
    inconclusive; 4 the run failed, or a problem of Docker, device, dataset or disk.
    """
    from gbench.cli.compare import history_of, print_comparison
    from gbench.cli.shared.output import Terminal, print_json
    from gbench.cli.shared.storing import DatabaseChoice
    from gbench.compare.comparison import compare
    from gbench.compare.formats import as_json as to_json
    from gbench.compare.sides import Run
    from gbench.experiments.recorded_spec import read_recorded
    from gbench.experiments.replay import Redirect, losses_said, plan, require_meaningful
    from gbench.experiments.trust import why_ask
    from gbench.runners.stopping import stoppable
    from gbench.runs.launch import launch
    from gbench.runs.prepare import require_possible
    from gbench.settings.resolve import new_run_id

    here = Redirect(**redirect, command_line=command_line())
    planned = plan(read_recorded(record), here, os.environ, rebuild, allowed)
    if dry_run:
        _print_plan(planned, allowed, rebuild, as_json)
        return
    observer = Terminal(quiet)
    for one in planned.mismatches:
        observer.line(f"not reproduced: {one}")
    require_possible(planned.spec, os.environ, rebuild)  # first: --allow can't help if something is missing
    require_meaningful(planned, allowed)
    require_trust(why_ask(planned.recorded, planned.spec, bool(here.run_model_file)), [planned.spec], trust)
    finished: list[FinishedRun] = []
    with stoppable(None):
        for number in range(repeats):
            spec = planned.spec.model_copy(update={"run_id": new_run_id(planned.spec.model)})
            try:
                finished.append(launch(spec, os.environ, observer, rebuild and number == 0))
            except GbenchError as error:
                raise type(error)(error.what, error.hint + _hint_to_compare(finished, record)) from error
    base = [Run(planned.recorded.record, planned.recorded.source)]
    new = [Run(one.record, str(one.record_path)) for one in finished]
    fields = planned.comparable(allowed)
    history = history_of(new[0], [*base, *new], fields, DatabaseChoice(None, Path(planned.spec.cndb_dir)))
    comparison = compare(base, new, history, threshold, fields, run_sd=run_sd)
    then = planned.recorded.folder
    losses = losses_said(then, finished[0].folder) if then else None
    if as_json:
        unlike = [one.__dict__ for one in planned.mismatches]
        runs = [str(one.folder.path) for one in finished]
        print_json({**to_json(comparison), "not_reproduced": unlike, "losses": losses, "runs": runs})
    else:
        for one in planned.mismatches:
            echo(f"not reproduced: {one}")
        for run in finished:
            echo(f"run           {run.folder.path}")
        if losses:
            echo(losses)
        print_comparison(comparison)
    click.get_current_context().exit(comparison.exit_code)


def _hint_to_compare(finished: "Sequence[FinishedRun]", record: str) -> str:
    """The number of runs that succeeded before one failed, and the command that compares them; empty if none."""
    if not finished:
        return ""
    ended = "one run" if len(finished) == 1 else f"{len(finished)} runs"
    files = ",".join(str(one.record_path) for one in finished)
    return f"; {ended} before it ended well: {shlex.join(['gbench', 'compare', record, files])}"


def _print_plan(planned: "Replay", allowed: Sequence[str], rebuild: bool, as_json: bool) -> None:
    from gbench.cli.shared.plan_output import show_plan

    refused = planned.refused(allowed)
    if not as_json:
        for one in planned.mismatches:
            echo(f"not reproduced: {one}" + (f"; refused without --allow {one.field}" if one in refused else ""))
        if not planned.mismatches:
            echo("everything recorded can be reproduced here")
        echo()
    unlike = [{**one.__dict__, "refused": one in refused} for one in planned.mismatches]
    show_plan(planned.resolved, rebuild, as_json, more={"not_reproduced": unlike})
