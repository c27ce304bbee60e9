"""`gbench ab`: two spec files, run in turn until the ratio of their figures is known."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gbench.base.utc import utc_now
from gbench.cli.shared.run_options import PERCENT, SECONDS
from gbench.errors import GbenchError, Interrupted, UsageError

if TYPE_CHECKING:
    from gbench.experiments.ab import SessionResult
    from gbench.experiments.session import Session
    from gbench.settings.spec import RunSpec

METRIC_NAMES = ("throughput", "latency-p95", "memory", "energy")  # session.MetricName, which loads too slowly for help
UNTIL_CI, MAX_BLOCKS = 0.01, 20
TOLD_CAUSES = 5
FILE = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("a", type=FILE, required=False, metavar="A.yaml")
@click.argument("b", type=FILE, required=False, metavar="B.yaml")
@click.option("--metric", type=click.Choice(METRIC_NAMES), help="The figure.  [default: throughput, end to end]")
@click.option("--until-ci", type=PERCENT, help="End when the interval is this narrow to either side.  [default: 1%]")
@click.option("--max-blocks", type=click.IntRange(min=1), help="End after so many blocks of four runs.  [default: 20]")
@click.option("--max-time", "max_time_s", type=SECONDS, help="Begin no block after so much time in runs: 30m, 2h.")
@click.option("--resume", "resume_dir", type=FILE, metavar="DIR", help="Go on with a session, by its folder.")
@click.option("--rebuild", is_flag=True, help="Build each side's image anew, once.")
@click.option("--results", "results_dir", type=FILE, help="Where its folder is made.  [default: results]")
@click.option("--dry-run", is_flag=True, help="Print what would run on either side, and what differs; start nothing.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the result.")
def ab(
    a: Path | None,
    b: Path | None,
    resume_dir: Path | None,
    results_dir: Path | None,
    rebuild: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Run two specs in turn, A B B A and again, and tell the ratio of their figures with its 95 % interval.

    Drift of the machine cancels within a block. It ends when the interval is as narrow as --until-ci, after 4 blocks at
    least, or when the blocks or the time are used up. A spec file says what `gbench launch` is told, as YAML:

    \b
      model: pix2pix_resnet_9blocks
      batch_size: 32
      device_count: 1
      precision: FP32
      steps: 200
      set: {data.workers: 8}
      env: {NCCL_ALGO: Ring}

    \b
    gbench ab before.yaml after.yaml
    gbench ab fp32.yaml tf32.yaml --until-ci 0.5% --max-time 2h
    gbench ab a.yaml b.yaml --metric memory --json
    gbench ab --resume results/20260101T000000Z-ab-1a2b3c --max-blocks 40

    Each run is a launch with its own record; no database takes them. Exit code 0: the interval is that narrow; 1: a run
    failed; 3: inconclusive, it is not; 4: Docker, device, dataset or disk stands in the way of a side.
    """
    from gbench.base.files import locked, make_folder
    from gbench.cli.shared.output import Terminal
    from gbench.experiments.ab import ended, require_both_possible, run_session
    from gbench.experiments.session import read_session
    from gbench.runners.stopping import stoppable

    if resume_dir is not None:
        if a is not None or given["metric"] is not None or results_dir is not None or rebuild:
            raise UsageError(
                "--resume takes all else from its session",
                "leave out the spec files, --metric, --results and --rebuild",
            )
        session, folder = _resumed(resume_dir, given), resume_dir
    elif a is None or b is None:
        raise UsageError("two spec files are needed", "give A.yaml and B.yaml, or --resume DIR; see gbench ab --help")
    else:
        session, folder = _begun(a, b, given, results_dir or Path("results"))
    if dry_run:
        _print_plan(session, folder, rebuild, as_json)
        return
    observer = Terminal(quiet)
    for text in _differences(session):
        observer.line(text)
    if not ended(session):
        require_both_possible(session, os.environ, rebuild)
    make_folder(folder)
    with locked(folder / ".lock", 0, f"session {folder}"), stoppable(None):
        if resume_dir is not None:
            session = _resumed(folder, given)  # it may have gone on until a moment ago
        session.write(folder)
        try:
            session = run_session(session, folder, os.environ, observer, rebuild)
        except GbenchError as error:
            _print(read_session(folder), folder, as_json, error)
            hint = "what was measured is kept" if isinstance(error, Interrupted) else error.hint
            raise type(error)(error.what, f"{hint}; gbench ab --resume {shlex.quote(str(folder))} goes on") from error
    click.get_current_context().exit(_print(session, folder, as_json).exit_code)


def _begun(a: Path, b: Path, given: dict[str, Any], results_dir: Path) -> tuple[Session, Path]:
    """A new session of two spec files, and the folder that it will have."""
    from gbench.experiments.session import Session, SessionGoal, new_session_id
    from gbench.experiments.spec_differences import spec_differences

    session_id = new_session_id()
    folder = (results_dir / session_id).absolute()
    asked = {"metric": "throughput", "until_ci": UNTIL_CI, "max_blocks": MAX_BLOCKS, "max_time_s": None}
    one, other = (_resolved(path, folder) for path in (a, b))
    session = Session(
        session_id=session_id,
        started_utc=utc_now(),
        command_line=one.command_line,
        asked=SessionGoal(**{**asked, **_said(given)}),
        files={"A": str(a), "B": str(b)},
        specs={"A": one, "B": other},
        differences=tuple(map(str, spec_differences(one, other))),
    )
    return session, folder


def _resolved(path: Path, folder: Path) -> RunSpec:
    """The spec of a file, its run folders in that of the session."""
    from gbench.settings.spec_file import read_mapping, request_of, resolve_file

    values = read_mapping(path)
    if values.get("database", False) is not False:
        raise UsageError(f"{path}: database: no database takes runs of gbench ab", "leave it out")
    if "results" in values:
        raise UsageError(f"{path}: results: run folders are made in that of the session", "give gbench ab --results")
    request = request_of(values, str(path), shlex.join(["gbench", *sys.argv[1:]]))
    spec = resolve_file(request, str(path), os.environ).spec
    return spec.model_copy(update={"results_dir": str(folder)})


def _resumed(folder: Path, given: dict[str, Any]) -> Session:
    """A session as it goes on, with what is asked anew."""
    from gbench.experiments.session import read_session

    session = read_session(folder)
    return session.taken_up(folder.absolute(), session.asked.model_copy(update=_said(given)))


def _said(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _differences(session: Session) -> list[str]:
    same = ["A and B do not differ: what is measured is how well this machine tells 1 from noise"]
    return [f"A -> B          {text}" for text in session.differences] or same


def _print_plan(session: Session, folder: Path, rebuild: bool, as_json: bool) -> None:
    """Both sides as `gbench launch --dry-run` tells them, what differs, and what will end it."""
    from gbench.cli.shared.output import print_json
    from gbench.experiments.ab import ended, of_side
    from gbench.runs.prepare import plan

    sides = {}
    for side, spec in session.specs.items():
        with of_side(side, session.files[side]):
            spec, request = plan(spec, os.environ, rebuild)
        sides[side] = {"file": session.files[side], "spec": spec.model_dump(mode="json"), "request": request}
    asked = session.asked.model_dump()
    next_run = None if ended(session) else {"side": session.next_side, "block": session.blocks + 1}
    if as_json:
        said = {"differences": session.differences, "asked": asked, "next_run": next_run, "session": str(folder)}
        print_json({"sides": sides, **said})
        return
    for side, described in sides.items():
        click.echo(f"# {side}, {described['file']}: the exact request; nothing was started")
        click.echo(json.dumps(described["request"], indent=2))
    click.echo("# what differs")
    for text in _differences(session):
        click.echo(text)
    click.echo("# runs A B B A in blocks, until")
    for name, value in asked.items():
        click.echo(f"{name:<14}{'-' if value is None else value}")
    place = f"{next_run['side']} of block {next_run['block']}" if next_run else "none: this is reached"
    click.echo(f"{'next run':<14}{place}, in {folder}")


def _print(session: Session, folder: Path, as_json: bool, error: GbenchError | None = None) -> SessionResult:
    """What a session has come to. error: what ended it."""
    from gbench.cli.shared.output import print_json
    from gbench.compare.formats import cause_json
    from gbench.experiments.ab import result_of

    found = result_of(session)
    if as_json:
        ratio = found.ratio and {**asdict(found.ratio), "half_width": found.ratio.half_width}
        print_json(
            {
                "sentence": found.sentence,
                "exit_code": int(found.exit_code if error is None else error.exit_code),
                "error": None if error is None else str(error),
                "metric": found.metric.name,
                "ratio": ratio,
                "reached": found.reached,
                "asked": session.asked.model_dump(),
                "sides": {
                    side: {"file": session.files[side], "median": found.medians.get(side), "unit": found.units[side]}
                    for side in session.files
                },
                "differences": session.differences,
                "differences_of_records": [cause_json(cause) for cause in found.causes],
                "runs": [run.model_dump() for run in session.runs],
                "session": str(folder),
            }
        )
        return found
    for side, value in found.medians.items():
        runs = f"{found.runs[side]} {'run' if found.runs[side] == 1 else 'runs'}"
        click.echo(f"{side:<16}{value:.4g} {found.units[side]}, median of {runs}; {session.files[side]}")
    for text in _differences(session):
        click.echo(text)
    for cause in found.causes[:TOLD_CAUSES]:
        click.echo(f"in the records  {cause.text}")
    click.echo(f"{'session':<16}{folder}")
    if error is None and not found.reached:
        click.echo(
            f"{'to go on':<16}gbench ab --resume {shlex.quote(str(folder))}, with more --max-blocks or --max-time"
        )
    click.echo(found.sentence)
    return found
