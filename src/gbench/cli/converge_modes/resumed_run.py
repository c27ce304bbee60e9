"""`gbench converge --resume RUN_DIR`: resume a stopped run, and judge it if requested."""

from __future__ import annotations

import os
from pathlib import Path

from gbench.cli.converge_modes.options import JUDGING, VerdictOptions
from gbench.cli.converge_modes.verdict_output import print_result, reference_for_new_runs
from gbench.cli.shared.output import Terminal
from gbench.cli.shared.run_options import given_except
from gbench.errors import UsageError
from gbench.follow.follower import Views
from gbench.runfolder.folder import RunFolder
from gbench.runs.launch import resume


def resume_run(run_dir: Path, options: VerdictOptions, views: Views, as_json: bool, quiet: bool) -> None:
    """Resume the run and print its result."""
    if others := given_except({"resume_dir", "as_json", "quiet", "visdom", "tensorboard", *JUDGING}):
        raise UsageError("--resume takes all from its run folder", f"leave out {', '.join(others)}")
    reference = reference_for_new_runs(options, RunFolder(run_dir).spec()) if options.judges_new_runs else None
    finished = resume(run_dir, os.environ, Terminal(quiet), views)
    print_result([finished], options, reference, as_json)
