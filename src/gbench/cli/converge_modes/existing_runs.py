"""`gbench converge --check RUN`: a verdict on existing runs. Starts nothing."""

from __future__ import annotations

from pathlib import Path

import click

from gbench.cli.converge_modes.options import JUDGING, MAKING_A_REFERENCE, VerdictOptions
from gbench.cli.converge_modes.verdict_output import EXIT_CODES, print_verdict, reference_for, verdict_json, verdict_on
from gbench.cli.shared.output import print_json
from gbench.cli.shared.run_options import given_except
from gbench.errors import UsageError
from gbench.runfolder.folder import RunFolder


def check_existing_runs(options: VerdictOptions, resume_dir: Path | None, model: str | None, as_json: bool) -> None:
    """Print the verdict on the runs of --check, and exit with its code. model: must be None; MODEL is for new runs."""
    options.require_no_new_run(resume_dir)
    if model is not None:
        raise UsageError(
            f"--check {options.check[0]} judges a run that is there, and MODEL {model} would make one",
            "leave out MODEL and what follows it; or write --check last, without RUN, to judge the run that is made",
        )
    if others := given_except({*JUDGING, *MAKING_A_REFERENCE, "as_json", "quiet"}):
        raise UsageError("--check RUN starts nothing", f"leave out {', '.join(others)}")
    folders = [path for path in options.check if path.is_dir()]
    reference = reference_for(options, RunFolder(folders[0]).spec().model if folders else None)
    verdict = verdict_on(options, reference, options.check)
    if as_json:
        print_json(verdict_json(verdict))
    else:
        print_verdict(verdict)
    click.get_current_context().exit(EXIT_CODES[verdict.verdict])
