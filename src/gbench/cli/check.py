"""`gbench check`: is this machine fit, and what would make it so?"""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from gbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from gbench.preflight.fix import Mending
    from gbench.preflight.run_checks import Check, Wanted

Show = Callable[[str], None]
MARKS = {"ok": "ok     ", "info": "info   ", "warning": "WARNING", "error": "ERROR  "}
INDENT = 33
WIDTH = 120


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option("--runner", type=click.Choice(["docker", "local"]), default="docker", show_default=True)
@click.option("--model", default="pix2pix_resnet_9blocks", show_default=True, help="Whose config gives the values.")
@click.option("--datasets-dir", metavar="DATASETS_DIR", help="Dataset folder. Variable: DATASETS_DIR.")
@click.option("--dataset", metavar="DATASETS", help="Dataset name. Variable: DATASETS.")
@click.option("--results", "results_dir", default="results", show_default=True, help="Where run folders are made.")
@click.option("--fix", is_flag=True, help="Print the commands that mend what was found.")
@click.option("--apply", "apply_", is_flag=True, help="With --fix: run them, then look again. Mostly as root.")
@click.option("--clocks", is_flag=True, help="With --fix --apply: run those that set GPU clocks too.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object on stdout.")
@click.pass_context
def check(ctx: click.Context, /, fix: bool, apply_: bool, clocks: bool, as_json: bool, **given: Any) -> None:
    """Look at what makes a launch impossible, or its figure wrong; say why, and how to mend it.

    Changes nothing without --fix --apply, and ends no process ever. Exit code 0: fit; 1: not fit. On --device cpu only
    what a run can't do without is an error.

    \b
    gbench check
    gbench check --device cpu --runner local --datasets-dir data/synthetic
    gbench check --fix
    sudo gbench check --fix --apply --clocks
    """
    from gbench.cli.shared.output import print_json
    from gbench.machine.gpus import find_gpus
    from gbench.preflight import fix as fixing
    from gbench.preflight.run_checks import judge, run_checks

    if (apply_ or clocks) and not fix:
        raise UsageError("--apply and --clocks go with --fix", "try `gbench check --fix`, which only prints commands")
    wanted = _wanted(given)
    show = _nothing if as_json else click.echo

    def look() -> tuple[Check, ...]:
        return tuple(_shown(run_checks(wanted, find_gpus()), show))

    checks = look()
    mendings = fixing.mendings(checks)
    if fix:
        show("\nmending:" if apply_ else "\nwhat --apply would run:")
        mendings = list(_listed(fixing.apply(mendings, clocks) if apply_ else mendings, show))
        show("" if mendings else "  nothing: no command mends what was found\n")
        if apply_ and mendings:
            checks = look()
    verdict = judge(checks)
    if as_json:
        print_json({"fit": verdict.fit, "checks": [asdict(one) for one in checks], "mendings": _plain(mendings)})
    counts = f"{len(verdict.errors)} error(s), {len(verdict.warnings)} warning(s)"
    show(f"{'fit' if verdict.fit else 'not fit'} for {wanted.runner} on {wanted.device}: {counts}")
    if mendings and not fix:
        show("the same with --fix prints the commands that mend some of this")
    ctx.exit(ExitCode.OK if verdict.fit else ExitCode.FAILED)


def _nothing(text: str) -> None:
    """Shows no line: stdout is for JSON alone."""


def _wanted(given: dict[str, Any]) -> Wanted:
    """What a launch with these options and variables would want, on all GPUs of this host."""
    from gbench.preflight.run_checks import Wanted
    from gbench.settings.request import Request
    from gbench.settings.resolve import resolve

    request = Request(batch_size=1, device_count=1, precision="FP32", **given)
    try:
        resolved = resolve(request, os.environ)
    except UsageError as error:
        return Wanted(given["device"], given["runner"], unresolved=error)
    return Wanted(given["device"], given["runner"], spec=resolved.spec, origins=resolved.origins)


def _shown(checks: Iterable[Check], show: Show) -> Iterator[Check]:
    """The same checks, each shown as it comes."""
    for one in checks:
        show(_wrapped(f"{MARKS[one.severity]}  {one.id:<{INDENT - 10}} ", one.found))
        if one.mend:
            show(_wrapped(" " * INDENT + "why:  ", one.why))
            show(_wrapped(" " * INDENT + "mend: ", one.mend))
        yield one


def _wrapped(head: str, text: str) -> str:
    lines = textwrap.wrap(text, WIDTH - len(head), break_long_words=False, break_on_hyphens=False)
    return head + ("\n" + " " * len(head)).join(lines)


def _listed(mendings: Iterable[Mending], show: Show) -> Iterator[Mending]:
    """The same commands, each shown with how it went, or with what it would take."""
    for one in mendings:
        note = one.outcome or ("only with --clocks" if one.command.clocks else "")
        show(f"  {one.check:<{INDENT - 3}} {shlex.join(one.command.argv)}{'    # ' + note if note else ''}")
        yield one


def _plain(mendings: list[Mending]) -> list[dict[str, Any]]:
    return [{"check": one.check, **asdict(one.command), "outcome": one.outcome or None} for one in mendings]
