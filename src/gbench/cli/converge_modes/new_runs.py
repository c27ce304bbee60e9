"""`gbench converge MODEL ...`: new runs, one per seed, their plan, or an estimate; and `--resume RUN_DIR`."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gbench.cli.converge_modes.options import JUDGING, VerdictOptions
from gbench.cli.converge_modes.verdict_output import print_result, reference_for_new_runs
from gbench.cli.shared.consent import require_own
from gbench.cli.shared.output import Terminal, echo, print_detached, print_json
from gbench.cli.shared.plan_output import show_plan
from gbench.cli.shared.run_options import require_arguments, require_detachable, require_only, resolved_of
from gbench.errors import GbenchError, UsageError
from gbench.follow.follower import Views
from gbench.runfolder.folder import RunFolder
from gbench.runs.launch import detach as submit
from gbench.runs.launch import launch, require_resumable, resume
from gbench.runs.probe import probe, probe_of
from gbench.settings.resolve import Resolved, new_run_id
from gbench.settings.spec import RunSpec

if TYPE_CHECKING:
    from gbench.runs.finish import FinishedRun


def start_runs(
    given: dict[str, Any],
    options: VerdictOptions,
    views: Views,
    environ: Mapping[str, str],
    *,
    estimate: bool,
    rebuild: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    detach: bool,
) -> None:
    """Run, submit, plan or estimate what the command line describes, and print the result."""
    if estimate and options.seeds is not None:
        raise UsageError("--estimate is of one run", f"leave out --seeds: {options.seeds} take so many times as long")
    resolved = _resolve(given, environ)
    spec = resolved.spec
    reference = reference_for_new_runs(options, spec)
    seeds = [spec.seed + number for number in range(options.seeds or 1)]
    if dry_run:
        planned = replace(resolved, spec=probe_of(spec)) if estimate else resolved
        show_plan(planned, rebuild, as_json, views, seeds if options.seeds is not None else ())
    elif estimate:
        whole, folder = probe(spec, os.environ, Terminal(quiet), rebuild, views)
        if as_json:
            print_json({"estimate": asdict(whole), "paths": {"run": str(folder)}})
        else:
            echo(f"{whole}\n{'run':<14}{folder}")
    elif detach:
        require_detachable(spec, len(seeds))
        print_detached(*submit(spec, os.environ, Terminal(quiet)), as_json)
    else:
        print_result(_run_seeds(spec, seeds, views, rebuild, quiet), options, reference, as_json)


def resume_run(
    run_dir: Path, options: VerdictOptions, views: Views, *, trust: bool, as_json: bool, quiet: bool
) -> None:
    allowed = {"resume_dir", "trust", "as_json", "quiet", "visdom", "tensorboard", *JUDGING}
    require_only(allowed, "--resume takes all from its run folder")
    spec = require_resumable(RunFolder(run_dir))
    reference = reference_for_new_runs(options, spec)
    require_own(run_dir, [spec], trust)
    print_result([resume(run_dir, os.environ, Terminal(quiet), views)], options, reference, as_json)


def _resolve(given: dict[str, Any], environ: Mapping[str, str]) -> Resolved:
    """The spec of the first run. Raises UsageError."""
    require_arguments(given)
    resolved = resolved_of({**given, "recipe": "convergence"}, environ)
    if resolved.spec.recipe == "performance":
        raise UsageError("--run-model-file names the performance run", "leave it out, or use gbench launch")
    return resolved


def _run_seeds(base: RunSpec, seeds: list[int], views: Views, rebuild: bool, quiet: bool) -> "list[FinishedRun]":
    """One run per seed. If one fails, print the command that judges those before it."""
    finished: list[FinishedRun] = []
    for number, seed in enumerate(seeds):
        spec = base.replaced(run_id=new_run_id(base.model), seed=seed)
        try:
            finished.append(launch(spec, os.environ, Terminal(quiet), rebuild and number == 0, views=views))
        except GbenchError:
            if finished:
                whole = " ".join(f"--check {shlex.quote(str(one.folder.path))}" for one in finished)
                echo(f"the {len(finished)} runs before it are whole: gbench converge {whole}", err=True)
            raise
    return finished
