"""`gbench ab`: alternate two spec files until the ratio of their figures is known."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from gbench.base.paths import SESSION
from gbench.base.words import count
from gbench.cli.shared.consent import require_own, trust_option
from gbench.cli.shared.output import Terminal, echo, print_json
from gbench.cli.shared.run_options import (
    COUNT,
    FILE,
    FOLDER,
    PERCENT,
    SECONDS,
    ExistingRun,
    json_option,
    markdown_option,
    option,
    quiet_option,
)
from gbench.cli.shared.session_spec import new_folder, spec_of_file
from gbench.errors import GbenchError, Interrupted, UsageError
from gbench.settings.literals import MetricName

if TYPE_CHECKING:
    from gbench.experiments.ab import SessionResult
    from gbench.experiments.session import Session

SESSION_DIR = ExistingRun("folder", SESSION)
METRIC_NAMES = get_args(MetricName)
SHOWN_CAUSES = 5


@click.command()
@click.argument("a", type=FILE, required=False, metavar="A.yaml")
@click.argument("b", type=FILE, required=False, metavar="B.yaml")
@click.option("--base", metavar="REF", help="Compare commits: this one is A. One spec file, A.yaml, is then given.")
@click.option("--head", metavar="REF", help="With --base: the commit that is B.  [default: HEAD]")
@click.option("--repo", type=FOLDER, metavar="DIR", help="With --base: its repository.  [default: gbench's checkout]")
@click.option("--metric", type=click.Choice(METRIC_NAMES), help="Figure to compare.  [default: throughput, end to end]")
@click.option("--until-ci", type=PERCENT, help="End when the interval's half-width is at most this.  [default: 1%]")
@click.option("--max-blocks", type=COUNT, help="End after this many blocks of four runs. [default: 20]")
@click.option("--max-time", "max_time_s", type=SECONDS, help="Begin no block after this much time in runs: 30m, 2h.")
@click.option("--resume", "resume_dir", type=SESSION_DIR, metavar="DIR", help="Resume the session in this folder.")
@trust_option
@click.option("--rebuild", is_flag=True, help="Rebuild each side's image, once, without the build cache.")
@option("results_dir")
@markdown_option
@click.option("--dry-run", is_flag=True, help="Print what would run on either side, and what differs; start nothing.")
@json_option
@quiet_option
def ab(
    a: Path | None,
    b: Path | None,
    base: str | None,
    head: str | None,
    repo: Path | None,
    markdown: Path | None,
    resume_dir: Path | None,
    trust: bool,
    results_dir: str | None,
    rebuild: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Alternate two specs, and report the ratio of their figures with its 95 % interval.

    The order A B B A B A A B ... cancels drift and waves of the machine; four runs are a block. The session ends when
    the interval is as narrow as --until-ci, after at least 4 blocks, or when the blocks or the time are used up. A spec
    file is a `gbench launch` command as YAML:

    \b
      model: pix2pix_resnet_9blocks
      batch_size: 32
      device_count: 1
      precision: FP32
      steps: 200
      set: {data.workers: 8}
      env: {NCCL_ALGO: Ring}

    docs/ab.md has a small pair for a CPU.

    \b
    gbench ab before.yaml after.yaml
    gbench ab fp32.yaml tf32.yaml --until-ci 0.5% --max-time 2h
    gbench ab a.yaml b.yaml --metric memory --json
    gbench ab --resume results/20260101T000000Z-ab-1a2b3c --max-blocks 40
    gbench ab spec.yaml --base origin/main --head my-branch --markdown comment.md

    Each run is a launch with its own record; nothing is uploaded. Exit code 0: the interval is narrow enough; 1: a run
    failed; 3: inconclusive, the interval is too wide; 4: a problem of Docker, device, dataset or disk.
    """
    from gbench.base.files import locked, make_folder
    from gbench.experiments.ab import ended, require_both_possible, run_session
    from gbench.experiments.session import read_session
    from gbench.runners.stopping import stoppable

    given = {name: value for name, value in given.items() if value is not None}
    if resume_dir is not None:
        if a is not None or base or head or repo or "metric" in given or results_dir is not None or rebuild:
            raise UsageError(
                "--resume takes all else from its session",
                "leave out the spec files, commits, --metric, --results and --rebuild",
            )
        session, folder = _resumed_session(resume_dir, given), resume_dir
    elif base is not None:
        if a is None or b is not None:
            raise UsageError("--base takes one spec file, which both commits run", "give one")
        session, folder = _new_session_of_commits(a, base, head or "HEAD", repo, given, results_dir)
    elif head is not None or repo is not None:
        raise UsageError("--head and --repo go with --base", "add --base REF, or give two spec files")
    elif a is None or b is None:
        raise UsageError("two spec files are needed", "give A.yaml and B.yaml, or --resume DIR; see gbench ab --help")
    else:
        session, folder = _new_session(a, b, given, results_dir)
    if dry_run:
        _print_plan(session, folder, rebuild, as_json)
        return
    observer = Terminal(quiet)
    for text in _differences(session):
        observer.line(text)
    if resume_dir is not None and not ended(session):
        require_own(folder, list(session.specs.values()), trust, session.code)
    if not ended(session) and session.compared is None:
        require_both_possible(session, os.environ, rebuild)
    make_folder(folder)
    with locked(folder / ".lock", 0, f"session {folder}"), stoppable(None):
        if resume_dir is None:
            session.create(folder, session.specs.values())
        else:
            session = _resumed_session(folder, given)  # read again under the lock: another process may have changed it
            session.write(folder)
        try:
            session = run_session(session, folder, os.environ, observer, rebuild)
        except GbenchError as error:
            _print(read_session(folder), folder, as_json, markdown, error)
            hint = "what was measured is kept" if isinstance(error, Interrupted) else error.hint
            raise type(error)(error.what, f"{hint}; go on with {_resume(folder)}") from error
    click.get_current_context().exit(_print(session, folder, as_json, markdown).exit_code)


def _resume(folder: Path) -> str:
    return f"gbench ab --resume {shlex.quote(str(folder))}"


def _new_session(a: Path, b: Path, given: dict[str, Any], results_dir: str | None) -> tuple[Session, Path]:
    """A new session of two spec files, and the path of its folder."""
    from gbench.experiments.session import SessionGoal, new_session

    folder = new_folder("ab", results_dir)
    one, other = (spec_of_file(path, folder, "ab") for path in (a, b))
    return new_session(folder, SessionGoal(**given), (str(a), str(b)), (one, other)), folder


def _new_session_of_commits(
    path: Path, base: str, head: str, repo: Path | None, given: dict[str, Any], results_dir: str | None
) -> tuple[Session, Path]:
    """A new session of two commits with one spec file, and the path of its folder."""
    from gbench.experiments.commit_session import session_of_commits
    from gbench.experiments.session import SessionGoal
    from gbench.experiments.worktrees import commit_of, repository

    folder, repo = new_folder("ab", results_dir), repository(repo)
    commits = commit_of(repo, base), commit_of(repo, head)
    spec, goal = spec_of_file(path, folder, "ab"), SessionGoal(**given)
    return session_of_commits(spec, str(path), repo, commits, goal, folder), folder


def _resumed_session(folder: Path, given: dict[str, Any]) -> Session:
    """The session of a folder, ready to resume, with the options that are given now."""
    from gbench.experiments.session import read_session

    session = read_session(folder)
    return session.taken_up(folder.absolute(), session.asked.replaced(**given))


def _differences(session: Session) -> list[str]:
    same = ["A and B do not differ: what is measured is how well this machine tells 1 from noise"]
    return [f"A -> B          {text}" for text in session.differences] or same


def _print_plan(session: Session, folder: Path, rebuild: bool, as_json: bool) -> None:
    """Print both sides as `gbench launch --dry-run` does, their differences, and when the session ends."""
    from gbench.experiments.ab import ended, of_side
    from gbench.runs.prepare import plan

    sides = {}
    for side, spec in session.specs.items():
        with of_side(side, session.files[side]):
            spec, request = plan(spec, os.environ, rebuild)
        sides[side] = {"file": session.files[side], "spec": spec.model_dump(mode="json"), "request": request}
    goal = session.asked.model_dump()
    next_run = None if ended(session) else {"side": session.next_side, "block": session.blocks + 1}
    if as_json:
        others = {"differences": session.differences, "asked": goal, "next_run": next_run, "session": str(folder)}
        print_json({"sides": sides, **others})
        return
    for side, described in sides.items():
        echo(f"# {side}, {described['file']}: the exact request; nothing was started")
        echo(json.dumps(described["request"], indent=2))
    echo("# what differs")
    for text in _differences(session):
        echo(text)
    echo(f"# blocks of four runs in the order {session.order}, until")
    for name, value in goal.items():
        echo(f"{name:<14}{'-' if value is None else value}")
    place = f"{next_run['side']} of block {next_run['block']}" if next_run else "none: this is reached"
    echo(f"{'next run':<14}{place}, in {folder}")


def _print(
    session: Session, folder: Path, as_json: bool, markdown: Path | None, error: GbenchError | None = None
) -> SessionResult:
    """Print the result of a session, and write it as Markdown. error: the error that ended it."""
    from gbench.base.files import write_atomically
    from gbench.compare.formats import cause_json
    from gbench.experiments.ab import result_of
    from gbench.experiments.block_ratio import LEAST_BLOCKS
    from gbench.experiments.session_markdown import as_markdown

    result = result_of(session)
    if markdown is not None:
        write_atomically(markdown, as_markdown(session, result, error))
    if as_json:
        ratio = result.ratio and {**asdict(result.ratio), "half_width": result.ratio.half_width}
        print_json(
            {
                "sentence": result.sentence,
                "exit_code": int(result.exit_code if error is None else error.exit_code),
                "error": None if error is None else str(error),
                "metric": result.metric.name,
                "ratio": ratio,
                "reached": result.reached,
                "outcome": result.outcome,
                "asked": session.asked.model_dump(),
                "sides": {
                    side: {"file": session.files[side], "median": result.medians.get(side), "unit": result.units[side]}
                    for side in session.files
                },
                "commits": session.compared and session.compared.commits,
                "differences": session.differences,
                "differences_of_records": [cause_json(cause) for cause in result.causes],
                "runs": [run.model_dump() for run in session.runs],
                "session": str(folder),
            }
        )
        return result
    for side, value in result.medians.items():
        runs = count(result.runs[side], "run")
        line = f"{side:<16}{value:.4g} {result.units[side]}, median of {runs}; {session.files[side]}"
        echo(line, keep="")
    for text in _differences(session):
        echo(text)
    for cause in result.causes[:SHOWN_CAUSES]:
        echo(f"in the records  {cause.text}")
    echo(f"{'session':<16}{folder}")
    if error is None and not result.reached:
        goal = session.asked
        late = session.blocks < goal.max_blocks and goal.max_time_s is not None
        blocks = f"--max-blocks {max(LEAST_BLOCKS, 2 * goal.max_blocks)}"
        more = f"--max-time {2 * (goal.max_time_s or 0):.0f}s" if late else blocks
        echo(f"{'to go on':<16}{_resume(folder)} {more}")
    echo(result.sentence)
    return result
