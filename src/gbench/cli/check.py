"""`gbench check`: check whether this machine is fit to measure on, and show how to fix it."""

from __future__ import annotations

import os
import shlex
import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from gbench.cli.shared.run_options import WithClusters, bundle, json_option, node_options, option, stated
from gbench.cli.shared.suggested import MODEL
from gbench.errors import ExitCode, UsageError, printable
from gbench.settings.literals import CLUSTERS
from gbench.settings.request import OF_SLURM

if TYPE_CHECKING:
    from gbench.preflight.fix import FixCommand
    from gbench.preflight.rule import CheckedRun
    from gbench.runfolder.host_facts import CheckFacts

Show = Callable[[str], None]
MARKS = {"ok": "ok     ", "info": "info   ", "warning": "WARNING", "error": "ERROR  "}
COLOURS = {"ok": "green", "info": None, "warning": "yellow", "error": "red"}  # on a terminal
INDENT = 33
WIDEST = 120


@click.command(cls=WithClusters)
@option("device")
@option("runner")
@option("cuda_visible_devices")
@click.option("--model", type=MODEL, default="pix2pix_resnet_9blocks", help="Model to run.")
@option("datasets_dir")
@option("dataset")
@option("cndb_dir")
@option("results_dir")
@option("logs_dir")
@option("cache_dir")
@click.option("--fix", is_flag=True, help="Print the commands that fix what was found.")
@click.option("--apply", "apply_", is_flag=True, help="With --fix: run them, then check again. Most need root.")
@click.option("--clocks", is_flag=True, help="With --fix --apply: also run those that set GPU clocks.")
@click.option("--gpu-smoke", is_flag=True, help="Also test what each GPU computes: 20 seconds, in the image.")
@click.option("--fleet", is_flag=True, help="Instead compare --nodes nodes, and name the slow ones.")
@node_options
@bundle([option(name) for name in OF_SLURM])
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    /,
    fix: bool,
    apply_: bool,
    clocks: bool,
    gpu_smoke: bool,
    fleet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Check whether this machine is fit to measure on: what would prevent a launch or distort its figures, and the fix.

    Changes nothing without --fix --apply, and never ends a process. Exit code 0: fit; 1: not fit. With --device cpu
    only what prevents a run is an error; the rest are warnings.

    With --fleet, started on every node or as a Slurm job, it probes them and prints the option of sbatch that leaves
    out slow ones. Exit code 0: they are alike; 1: not.

    \b
    gbench check
    gbench check --device cpu --runner local --datasets-dir data/synthetic
    gbench check --gpu-smoke
    gbench check --fix
    sudo gbench check --fix --apply --clocks
    gbench check --fleet --nodes 4 --rdzv 10.0.0.1:29500
    gbench check --fleet --nodes 4 --runner slurm --partition gpu
    """
    from gbench.cli.shared.fleet_output import check_fleet, require_fleet_options
    from gbench.cli.shared.output import print_json
    from gbench.machine.gpus import find_gpus
    from gbench.preflight import fix as fixing
    from gbench.preflight.check_table import RULES
    from gbench.preflight.run_checks import of_severity, run_checks
    from gbench.preflight.smoke_rules import SMOKE

    require_fleet_options(fleet)
    if fleet:
        ctx.exit(ExitCode.OK if check_fleet(given, as_json) else ExitCode.FAILED)
    if (apply_ or clocks) and not fix:
        raise UsageError("--apply and --clocks go with --fix", "try `gbench check --fix`, which only prints commands")
    run = _checked_run(given)
    show = _nothing if as_json else click.echo
    if gpu_smoke:
        run = _with_smoke(run, show)

    def run_all() -> tuple[CheckFacts, ...]:
        return tuple(_shown(run_checks(run, find_gpus(), (*RULES, *SMOKE)), show))

    checks = run_all()
    fixes = fixing.fix_commands(checks)
    if fix:
        show("\nfixing:" if apply_ else "\nwhat --apply would run:")
        fixes = list(_listed(fixing.apply(fixes, clocks) if apply_ else fixes, show))
        show("" if fixes else "  nothing: no command fixes what was found\n")
        if apply_ and fixes:
            checks = run_all()
    errors, warnings = of_severity(checks, "error"), of_severity(checks, "warning")
    if as_json:
        print_json({"fit": not errors, "checks": [one.values() for one in checks], "mendings": _plain(fixes)})
    for found, kind, meaning in (
        (errors, "errors", "figures would be wrong, or no run is possible: a launch would be refused"),
        (warnings, "warnings", "figures may be doubtful: a launch would go ahead and record this"),
    ):
        if found:
            show(_wrapped(f"{kind:<10}", f"{', '.join(one.id for one in found)}. {meaning}"))
    counts = f"{len(errors)} error(s), {len(warnings)} warning(s)"
    show(f"{'not fit' if errors else 'fit'} for {run.runner} on {run.device}: {counts}")
    if fixes and not fix:
        show("run it with --fix to print the commands that fix some of this")
    ctx.exit(ExitCode.FAILED if errors else ExitCode.OK)


def _nothing(text: str) -> None:
    """Show nothing: stdout is for JSON only."""


def _checked_run(given: dict[str, Any]) -> CheckedRun:
    """The launch that these options and variables describe, on all GPUs of this host."""
    from gbench.preflight.rule import CheckedRun
    from gbench.settings.defaults import with_defaults
    from gbench.settings.request import Request
    from gbench.settings.resolve import DEVICES, RUNNERS, one_of, resolve

    request = Request(batch_size=1, device_count=1, precision="FP32", **given)
    request = with_defaults(request, stated(), os.environ)
    device = one_of("--device", request.device, DEVICES)
    runner = one_of("--runner", request.runner, RUNNERS)
    if runner in CLUSTERS:
        raise UsageError(
            f"--runner {runner}: a check is of this host",
            "check a node: srun gbench check --runner local, or the same in a pod",
        )
    try:
        resolved = resolve(request, os.environ)
    except UsageError as error:
        return CheckedRun(device, runner, unresolved=error)
    return CheckedRun(device, runner, spec=resolved.spec, origins=resolved.origins)


def _with_smoke(run: CheckedRun, show: Show) -> CheckedRun:
    """`run` with a smoke test of all visible GPUs. Raises UsageError: it is on the processor."""
    from gbench.machine.gpus import find_gpus
    from gbench.runs.smoke_gpus import smoke_of_machine

    if run.device == "cpu":
        raise UsageError("--gpu-smoke needs a GPU, and --device is cpu", "leave one of them out")
    return replace(run, smoke=cache(lambda: smoke_of_machine(run, find_gpus(), os.environ, show)))


def _shown(checks: Iterable[CheckFacts], show: Show) -> Iterator[CheckFacts]:
    """The same checks, each shown as it completes."""
    for one in checks:
        mark = MARKS[one.severity]
        text = _wrapped(f"{mark}  {one.id:<{INDENT - 10}} ", one.found)
        show(click.style(mark, fg=COLOURS[one.severity]) + text.removeprefix(mark))
        if one.fix:
            show(_wrapped(" " * INDENT + "why:  ", one.why))
            show(_wrapped(" " * INDENT + "fix:  ", one.fix))
        yield one


def _wrapped(head: str, text: str) -> str:
    width = min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST) - len(head)
    lines = textwrap.wrap(printable(text), max(width, 20), break_long_words=False, break_on_hyphens=False)
    return head + ("\n" + " " * len(head)).join(lines)


def _listed(fixes: Iterable[FixCommand], show: Show) -> Iterator[FixCommand]:
    """The same commands, each shown with its outcome, or with the option that it needs."""
    for one in fixes:
        note = one.outcome or ("only with --clocks" if one.command.clocks else "")
        show(f"  {one.check:<{INDENT - 3}} {shlex.join(one.command.argv)}{'    # ' + note if note else ''}")
        yield one


def _plain(fixes: list[FixCommand]) -> list[dict[str, Any]]:
    return [{"check": one.check, **asdict(one.command), "outcome": one.outcome or None} for one in fixes]
