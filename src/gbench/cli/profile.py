"""`gbench profile`: where the time of a training step goes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from gbench.cli.shared.run_options import resolved_of, run_options, show_plan, what_runs

if TYPE_CHECKING:
    from gbench.runfolder.folder import RunFolder
    from gbench.runfolder.step_profile import StepProfile


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@what_runs(required=True)
@click.option("--steps", type=click.IntRange(min=1), default=5, show_default=True, help="Steps to profile.")
@click.option("--warmup", type=click.IntRange(min=1), help="Steps before them; default: the recipe's warm-up.")
@click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="Operators to list.")
@run_options()
def profile(steps: int, top: int, **given: Any) -> None:
    """Profile some steps of MODEL, in the loop of a measured run: its operators by self time, and a trace to look at.

    The step's time is laid out whole: operators, communication that nothing hides, data wait, and gaps (the GPU idles
    between kernels; on a processor, the training thread is outside any operator). No record is made: the profiler takes
    time itself. A machine that `gbench check` finds unfit is warned of, and profiled all the same.

    \b
    gbench profile pix2pix_resnet_9blocks 32 8 FP32
    gbench profile pix2pix_resnet_9blocks 32 1 AMP --data synthetic --steps 10 --top 30
    gbench profile pix2pix_resnet_9blocks 1 1 FP32 --device cpu --runner local
    """
    from gbench.cli.shared.output import Terminal, print_json
    from gbench.runs.profile import profile as run
    from gbench.settings.profile_spec import of_run

    rebuild, dry_run, as_json, quiet = (given.pop(name) for name in ("rebuild", "dry_run", "as_json", "quiet"))
    resolved = of_run(resolved_of({**given, "database": "false", "ignore_check": True}, os.environ), steps)
    if dry_run:
        show_plan(resolved, rebuild, as_json)
        return
    found, folder = run(resolved.spec, os.environ, Terminal(quiet), rebuild)
    if as_json:
        print_json({"profile": found.model_dump(), "paths": _paths(found, folder)})
        return
    for name, text in [*_lines(found), *_paths(found, folder).items()]:
        click.echo(f"{name:<14}{text}")
    click.echo()
    _print_operators(found, top)


def _paths(found: StepProfile, folder: RunFolder) -> dict[str, str]:
    from gbench.runfolder.step_profile import NAME

    return {"profile": str(folder.path / NAME), "trace": str(folder.path / found.traces[0])}


def _lines(found: StepProfile) -> list[tuple[str, str]]:
    """The step's time for a person."""

    def share(seconds: float) -> str:
        return f"{seconds / found.step_s:.1%}"

    bare = f"; {found.bare_step_s:.4g} s without it" if found.bare_step_s is not None else ""
    parts = (f"{part.name} {share(part.operators_s + part.gaps_s)}" for part in found.parts)
    where = "the GPU idles between kernels" if found.on_gpu else "the training thread is outside any operator"
    lines = [
        (found.model, f"  batch {found.batch_size} on {found.device_count} x {found.device}  {found.precision}"),
        *([("speed", found.profile)] if found.profile != "reference" else []),
        ("step", f"{found.step_s:.4g} s, mean of {found.steps} under the profiler{bare}; no measurement"),
        ("operators", share(found.operators_s)),
        ("communication", f"{share(found.exposed_s)} that nothing hides; {share(found.communication_s)} in all"),
        ("data wait", f"{share(found.data_s)}, data {found.data_source}"),
        ("between steps", f"{share(found.between_s)} for readings and log lines"),
        ("gaps", f"{share(found.gaps_s)}: {where}"),
        ("computing", ", ".join(parts)),
        ("arithmetic", f"{found.flop / 1e9:.4g} GFLOP a step and device"),
    ]
    if found.overlapped_s > 0:
        lines.append(("overlapped", f"{share(found.overlapped_s)}: operators beside others, counted twice below"))
    return lines


def _print_operators(found: StepProfile, top: int) -> None:
    from gbench.cli.shared.table import print_table

    rows = [("operator", "self s", "share", "calls", "FLOP", "TFLOP/s")]
    shown = found.operators[:top]
    for one in shown:
        flop, rate = "-", "-"
        if one.flop:
            flop, rate = f"{one.flop / found.flop:.1%}", f"{one.flop / one.self_s / 1e12:.4g}"
        rows.append((one.name, f"{one.self_s:.4g}", f"{one.self_s / found.step_s:.1%}", f"{one.calls:g}", flop, rate))
    rest = found.operators[top:]
    if rest:
        seconds = sum(one.self_s for one in rest)
        rows.append((f"{len(rest)} others", f"{seconds:.4g}", f"{seconds / found.step_s:.1%}", "", "", ""))
    print_table(rows, right=(1, 2, 3, 4, 5), give_way={0: 20})
