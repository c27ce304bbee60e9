"""`gbench profile`: show where the time of a training step goes."""

import os
from typing import TYPE_CHECKING, Any

import click

from gbench.cli.shared.output import Terminal, echo, print_json, print_lines
from gbench.cli.shared.plan_output import show_plan
from gbench.cli.shared.run_options import COUNT, resolved_of, run_options, what_runs
from gbench.cli.shared.table import print_table

if TYPE_CHECKING:
    from gbench.runfolder.step_profile import StepProfile
TWICE = "operators that run at the same time, counted twice below"


@click.command()
@what_runs(required=True)
@click.option("--steps", type=COUNT, default=5, help="Steps to profile.")
@click.option("--warmup", type=COUNT, help="Warm-up steps before them; default: the recipe's.")
@click.option("--top", type=COUNT, default=15, help="Operators to list.")
@run_options(without=("db_timeout_s",))
def profile(steps: int, top: int, rebuild: bool, dry_run: bool, as_json: bool, quiet: bool, **given: Any) -> None:
    """Profile some steps of MODEL in the loop of a measured run: list operators by self time, and write a trace.

    The whole time of a step is accounted for: operators, communication not hidden by computation, data wait, and gaps
    (the GPU idles between kernels; on a CPU, the training thread is outside any operator). No record is written, since
    the profiler takes time itself. If `gbench check` finds the machine unfit, the profile only warns.

    \b
    gbench profile pix2pix_resnet_9blocks 32 8 FP32
    gbench profile pix2pix_resnet_9blocks 32 1 AMP --data synthetic --steps 10 --top 30
    gbench profile pix2pix_resnet_9blocks 1 1 FP32 --device cpu --runner local
    """
    from gbench.runfolder.step_profile import NAME
    from gbench.runs.profile import profile as run
    from gbench.runs.profile import profile_of

    resolved = profile_of(resolved_of({**given, "database": "false", "ignore_check": True}, os.environ), steps)
    if dry_run:
        show_plan(resolved, rebuild, as_json)
        return
    result, folder = run(resolved.spec, os.environ, Terminal(quiet), rebuild)
    paths = {"profile": str(folder.path / NAME), "trace": str(folder.path / result.traces[0])}
    if as_json:
        print_json({"profile": result.model_dump(), "paths": paths})
        return
    print_lines([*_lines(result), *paths.items()])
    echo()
    _print_operators(result, top)


def _lines(result: "StepProfile") -> list[tuple[str, str]]:

    def share(seconds: float) -> str:
        return f"{seconds / result.step_s:.1%}"

    bare = f"; {result.bare_step_s:.4g} s without it" if result.bare_step_s is not None else ""
    parts = (f"{part.name} {share(part.operators_s + part.gaps_s)}" for part in result.parts)
    where = "the GPU idles between kernels" if result.on_gpu else "the training thread is outside any operator"
    return [
        (result.model, f"  batch {result.batch_size} on {result.device_count} x {result.device}  {result.precision}"),
        *([("speed", result.profile)] if result.profile != "reference" else []),
        ("step", f"{result.step_s:.4g} s, mean of {result.steps} under the profiler{bare}; no measurement"),
        ("operators", share(result.operators_s)),
        ("communication", f"{share(result.exposed_s)} that nothing hides; {share(result.communication_s)} in all"),
        ("data wait", f"{share(result.data_s)}, data {result.data_source}"),
        ("between steps", f"{share(result.between_s)} for readings and log lines"),
        ("gaps", f"{share(result.gaps_s)}: {where}"),
        ("computing", ", ".join(parts)),
        ("arithmetic", f"{result.flop / 1e9:.4g} GFLOP a step and device"),
        *([("overlapped", f"{share(result.overlapped_s)}: {TWICE}")] if result.overlapped_s > 0 else []),
    ]


def _print_operators(result: "StepProfile", top: int) -> None:
    rows = [("operator", "self s", "share", "calls", "FLOP", "TFLOP/s")]
    for one in result.operators[:top]:
        flop, rate = "-", "-"
        if one.flop:
            flop, rate = f"{one.flop / result.flop:.1%}", f"{one.flop / one.self_s / 1e12:.4g}"
        rows.append((one.name, f"{one.self_s:.4g}", f"{one.self_s / result.step_s:.1%}", f"{one.calls:g}", flop, rate))
    if rest := result.operators[top:]:
        seconds = sum(one.self_s for one in rest)
        rows.append((f"{len(rest)} others", f"{seconds:.4g}", f"{seconds / result.step_s:.1%}", "", "", ""))
    print_table(rows, right=(1, 2, 3, 4, 5), give_way={0: 20})
