"""`gbench cndb baseline`: pinned runs to compare later ones with, and who pinned them, when and why."""

from pathlib import Path

import click

from gbench.cli.shared.output import echo, print_json
from gbench.cli.shared.run_options import bundle, json_option
from gbench.cli.shared.storing import cndb_dir_option, cndb_folder

_pinning = bundle(
    [
        click.argument("name"),
        click.argument("runs"),
        click.option("--reason", required=True, help="Why these runs; kept in the file."),
        cndb_dir_option,
    ]
)


@click.group()
def baseline() -> None:
    """Pin baselines in CNDB_DIR/baselines/NAME.yaml, for `gbench compare baseline:NAME NEW`."""


@baseline.command("set")
@_pinning
def set_(name: str, runs: str, reason: str, cndb_dir: Path | None) -> None:
    """Pin RUNS as baseline NAME: record files, run folders, folders or quoted patterns, joined by commas.

    \b
    gbench cndb baseline set v100-fp32 'results/2026010*' --reason "driver 550, first quiet week"
    """
    _pin(name, runs, reason, cndb_dir, refresh=False)


@baseline.command("refresh")
@_pinning
def refresh_(name: str, runs: str, reason: str, cndb_dir: Path | None) -> None:
    """Pin other RUNS as baseline NAME; the file keeps who pinned which runs before, when and why.

    \b
    gbench cndb baseline refresh v100-fp32 'results/2026020*' --reason "driver 560 is 2 % slower, accepted"
    """
    _pin(name, runs, reason, cndb_dir, refresh=True)


@baseline.command()
@click.argument("name", required=False)
@cndb_dir_option
@json_option
def show(name: str | None, cndb_dir: Path | None, as_json: bool) -> None:
    """Show baseline NAME, or all baselines: the runs, and who pinned them, when and why.

    \b
    gbench cndb baseline show
    gbench cndb baseline show v100-fp32
    """
    from gbench.compare.baseline import Baselines

    baselines = Baselines(cndb_folder(cndb_dir))
    shown = {one: baselines.read(one) for one in ([name] if name else baselines.names())}
    if as_json:
        print_json({one: pinned.model_dump() for one, pinned in shown.items()})
        return
    for one, pinned in shown.items():
        first = pinned.records[0]
        devices = f"{first.dev_num} x {first.dev}, {first.train_type}"
        echo(f"{one}: {len(pinned.records)} x {first.model}, batch {first.batch_size} on {devices}", keep="")
        for pin in reversed(pinned.pins):
            when = pin.at_utc[:16].replace("T", " ")
            runs = ", ".join(pin.runs) or "no run ids"
            echo(f"  {when} UTC  {pin.by}: {pin.reason} ({runs})", keep="")
    if not shown:
        echo("no baselines")


def _pin(name: str, runs: str, reason: str, cndb_dir: Path | None, refresh: bool) -> None:
    from gbench.compare.baseline import Baselines
    from gbench.compare.differences import require_alike
    from gbench.compare.sides import read_side, require_distinct

    pinned = read_side(runs, "RUNS")
    records = [run.record for run in pinned]
    require_distinct(pinned, [])
    require_alike(records)
    baselines = Baselines(cndb_folder(cndb_dir))
    baselines.pin(name, records, reason, refresh)
    echo(f"baseline {name}: {len(pinned)} runs in {baselines.path(name)}")
