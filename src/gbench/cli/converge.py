"""`gbench converge`: the reproduction run, and going on with one that was ended."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gbench.cli.shared.convergence_verdict import Asked, verdict_options
from gbench.cli.shared.run_options import given_except, resolved_of, run_arguments, run_options, show_plan
from gbench.cli.shared.view_options import Alarms, view_options, views_of
from gbench.errors import GbenchError, UsageError

NEEDED = ("model", "batch_size", "device_count", "precision")
SHOWN = ("as_json", "quiet", "visdom", "tensorboard")  # parameters of what is shown
JUDGED = ("check", "reference", "allow", "evaluation")
MADE_INTO_REFERENCE = ("add_reference", "out", "description", "quality_images")
STARTING = ("--dry-run", "--estimate", "--stop-on", "--visdom", "--tensorboard", "--rebuild")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@run_arguments(required=False)
@click.option(
    "--resume", "resume_dir", type=click.Path(path_type=Path), help="Go on with this run, from its last checkpoint."
)
@click.option(
    "--stop-on", type=Alarms(), default=(), help="Alarms that end the run with exit code 1: nan,collapse,flat, or any."
)
@click.option("--estimate", is_flag=True, help="Run the first 25 steps alone, and say how long all would take.")
@verdict_options
@view_options
@run_options
def converge(resume_dir: Path | None, estimate: bool, **given: Any) -> None:
    """Train MODEL to its end by its convergence recipe, evaluate it, and write its CNDB record.

    The recipe is upstream's: 100 epochs and 100 more with the rate falling to zero, then the test split, as `gbench
    eval` does it. Checkpoints as it goes; SIGTERM and SIGUSR1 save one at once. A run that was ended, by whatever, goes
    on with --resume.

    --check holds a run against a reference: exit code 0 reproduced, 1 not reproduced, 3 inconclusive.

    RUN_DIR/losses.svg and images/ show how it goes; what looks wrong (losses that are NaN, a collapsed D, a flat G_L1)
    is a warning when it happens, and with --stop-on the end.

    \b
    gbench converge pix2pix_resnet_9blocks 1 1 FP32
    gbench converge pix2pix_resnet_9blocks 1 1 FP32 gpu-convergency --deterministic
    gbench converge pix2pix_resnet_9blocks 1 1 FP32 --estimate
    gbench converge pix2pix_resnet_9blocks 1 1 FP32 --stop-on nan,collapse --visdom
    gbench converge --resume results/20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c
    gbench converge pix2pix_resnet_9blocks 1 1 FP32 --check
    gbench converge pix2pix_resnet_9blocks 1 1 FP32 --seeds 5
    gbench converge --check results/20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c --json
    gbench converge --check upstream/loss_log.txt --evaluation evaluation.json
    gbench converge --add-reference results/RUN_1 --add-reference results/RUN_2 --out our-card.yaml
    """
    from gbench.cli.shared import convergence_verdict
    from gbench.cli.shared.output import (
        Terminal,
        finished_json,
        print_estimate,
        print_finished,
        print_json,
        report_not_stored,
    )
    from gbench.runs.launch import launch as run
    from gbench.runs.launch import resume
    from gbench.runs.probe import probe, probe_of
    from gbench.settings.resolve import new_run_id

    rebuild, dry_run, as_json, quiet = (given.pop(name) for name in ("rebuild", "dry_run", "as_json", "quiet"))
    views = views_of(given)
    asked = Asked.taken_from(given)
    # launch.sh's documentation exports RUN_MODEL_FILE for one kind of run or the other: this command is one kind.
    environ = {name: value for name, value in os.environ.items() if name != "RUN_MODEL_FILE"}
    if asked.of_runs_there:
        _require_no_run(given, asked, resume_dir)
        if asked.add_reference:
            spec = resolved_of({**given, "recipe": "convergence"}, environ).spec if given["model"] else None
            convergence_verdict.add_reference(asked, spec, as_json)
            return
        click.get_current_context().exit(convergence_verdict.check_runs(asked, as_json))
    if resume_dir is not None:
        if others := given_except({"resume_dir", *SHOWN, *JUDGED}):
            raise UsageError("--resume takes all from its run folder", f"leave out {', '.join(others)}")
        from gbench.runfolder.folder import RunFolder

        reference = convergence_verdict.reference_of(asked, RunFolder(resume_dir).spec()) if asked.judges_own else None
        finished = [resume(resume_dir, os.environ, Terminal(quiet), views)]
    else:
        if estimate and asked.seeds is not None:
            raise UsageError("--estimate is of one run", f"leave out --seeds: {asked.seeds} take so many times as long")
        missing = next((name for name in NEEDED if given[name] is None), None)
        if missing is not None:
            raise UsageError(f"missing argument {missing.upper()}", "see gbench converge --help")
        resolved = resolved_of({**given, "recipe": "convergence"}, environ)
        if resolved.spec.recipe == "performance":
            raise UsageError("--run-model-file names the performance run", "leave it out, or use gbench launch")
        reference = convergence_verdict.reference_of(asked, resolved.spec) if asked.judges_own else None
        seeds = [resolved.spec.seed + number for number in range(asked.seeds or 1)]
        if dry_run:
            planned = replace(resolved, spec=probe_of(resolved.spec)) if estimate else resolved
            show_plan(planned, rebuild, as_json, views, seeds if asked.seeds is not None else ())
            return
        if estimate:
            print_estimate(*probe(resolved.spec, os.environ, Terminal(quiet), rebuild, views), as_json)
            return
        finished = []
        for number, seed in enumerate(seeds):
            new = {"run_id": new_run_id(resolved.spec.model), "seed": seed}
            spec = resolved.spec.model_copy(update=new)
            try:
                finished.append(run(spec, os.environ, Terminal(quiet), rebuild and number == 0, views=views))
            except GbenchError:
                if finished:
                    whole = " ".join(f"--check {shlex.quote(str(one.folder.path))}" for one in finished)
                    click.echo(f"the {len(finished)} runs before it are whole: gbench converge {whole}", err=True)
                raise
    found = reference and convergence_verdict.verdict_on(asked, reference, [one.folder.path for one in finished])
    if as_json:
        runs = [finished_json(one) for one in finished]
        values = runs[0] if asked.seeds is None else {"runs": runs}
        print_json({**values, "verdict": convergence_verdict.verdict_json(found)} if found else values)
    else:
        for one in finished:
            print_finished(one)
        if found:
            convergence_verdict.print_verdict(found)
    try:
        report_not_stored([one.not_stored for one in finished])
    finally:  # its exit code gives way to that of a verdict
        if found and found.verdict != "reproduced":
            click.get_current_context().exit(convergence_verdict.EXIT_CODES[found.verdict])


def _require_no_run(given: dict[str, Any], asked: Asked, resume_dir: Path | None) -> None:
    """Raises UsageError where runs that are there are asked about and one to be made is described."""
    if resume_dir is not None or asked.judges_own:
        raise UsageError(
            "--check RUN and --add-reference start nothing", "leave out --resume, --seeds and a --check without RUN"
        )
    if given["model"] is not None and not asked.add_reference:
        raise UsageError(
            f"--check {asked.check[0]} judges a run that is there, and MODEL {given['model']} would make one",
            "leave out MODEL and what follows it; or write --check last, without RUN, to judge the run that is made",
        )
    about = "--add-reference" if asked.add_reference else "--check RUN"
    beside = given_except({*JUDGED, *MADE_INTO_REFERENCE, *SHOWN} - {"visdom", "tensorboard"})
    if others := [one for one in beside if not asked.add_reference or one in STARTING]:
        raise UsageError(f"{about} starts nothing", f"leave out {', '.join(others)}")
