"""`gbench cndb`: move records into and out of a database."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gbench.cli.cndb_baseline import baseline
from gbench.cli.shared.output import echo, print_json
from gbench.cli.shared.run_options import FILE, RUN, RUN_OR_FILE, bundle, given_except, json_option, out_option
from gbench.cli.shared.storing import DatabaseChoice, database_options, results_of, send_pending, store
from gbench.cli.shared.suggested import MODEL, PRECISION
from gbench.errors import ExitCode, InfrastructureError, RecordError, RunFailed, UsageError, verdicts_only

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from gbench.cndb.queries import RecordFilter
    from gbench.cndb.record import Record

MOST_ROWS = 2**31 - 1  # PostgreSQL's integer
ROW_ID = click.IntRange(1, MOST_ROWS)
STORE_TYPES = ("save", "update", "skip")

_database = database_options(
    "gpu-performance, gpu-convergency, gpu-demo, a config file, or embedded: cndb.sqlite in the CNDB folder.",
    "embedded",
)
# Options of a command that stores records: the arguments of `gbench.cli.shared.storing.store`
_target = bundle(
    [
        click.option(
            "--store-type",
            type=click.Choice(STORE_TYPES),
            default="save",
            help="save: insert unless an equal row exists; update: overwrite the row with the same md5; skip: keep it.",
        ),
        click.option("--yes", is_flag=True, help="Don't ask before a config's `rebuild: 1` drops all records."),
        _database,
        json_option,
    ]
)


def _filters(limit: int) -> Callable[[Any], Any]:
    return bundle(
        [
            click.option(
                "--model",
                type=MODEL,
                help="Model, by its name in launch or in the record: pix2pix_resnet_9blocks. "
                "pix2pix joins the original's records of that name with those of pix2pix_resnet_9blocks.",
            ),
            click.option("--device", help="Part of the device's name: v100."),
            click.option("--precision", type=PRECISION, help="FP32, TF32, AMP or BF16."),
            click.option("--since", help="Only runs that started since then: 2026-01-31, 30d or 12h."),
            click.option("--limit", type=click.IntRange(0, MOST_ROWS), default=limit, help="At most N; 0: all."),
        ]
    )


@click.group()
def cndb() -> None:
    """Move records into and out of a database: PostgreSQL, as in the GPU Golden Bench, or a SQLite file.

    \b
    gbench launch ... gpu-performance                          launch, and upload the record
    gbench cndb submit cndb/records/*.yaml                     store records in cndb/cndb.sqlite
    gbench cndb submit --pending                               send records whose upload failed
    gbench cndb import benchmark.log --db gpu-performance      store results of launch.sh
    gbench cndb list --device v100 --since 30d                 list the history
    """


cndb.add_command(baseline)


@cndb.command()
@click.argument("files", nargs=-1, type=RUN_OR_FILE)
@click.option("--pending", is_flag=True, help="Send the records waiting in the spool, each to its own database.")
@_target
def submit(files: tuple[Path, ...], pending: bool, **target: Any) -> None:
    """Store the record files or run folders FILES. A run that is already stored is not stored again.

    Of a run folder, it makes the record first, as for a run that ended on a full disk. It refuses a run that did not
    come to its end.

    \b
    gbench cndb submit cndb/records/*.yaml
    gbench cndb submit results/RUN_ID
    gbench cndb submit record.yaml --db gpu-performance --store-type update
    gbench cndb submit --pending
    """
    from gbench.cndb.record import require_possible
    from gbench.compare.sides import read_run

    def record_of(path: Path) -> "Record":
        try:
            return require_possible(read_run(path).record, str(path))
        except (RunFailed, InfrastructureError) as error:
            raise RecordError(error.what, error.hint) from error

    if bool(files) == pending:
        raise UsageError("submit needs record files, or --pending alone", "e.g. gbench cndb submit cndb/records/*.yaml")
    if pending:
        for name in ("db", "store_type", "yes"):
            if click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"{option} and --pending contradict", "an entry of the spool names its database itself"
                )
        send_pending(target["database"], target["as_json"])
        return
    store((item for path in files for item in results_of(map(record_of, [path]))), **target)


@cndb.command("import")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--framework", default="PyTorch", help="Framework of results in a benchmark log.")
@_target
def import_(files: tuple[Path, ...], framework: str, **target: Any) -> None:
    """Store old results: benchmark logs of launch.sh, one result per line, and record files (.yaml, .yml).

    A line that can't be read is left out, and the exit code is then 1. Lines with the same problem are one sentence,
    with the number of the first.

    \b
    gbench cndb import logs/benchmark.log
    gbench cndb import old/*.yaml old/*.log --db gpu-performance
    """
    from gbench.cndb.importing import read_results

    store((item for path in files for item in results_of(read_results(path, {"framework": framework}))), **target)


@cndb.command("list")
@_filters(20)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV on stdout.")
@click.option(
    "--stale",
    is_flag=False,
    flag_value="26h",
    metavar="[AGE]",
    help="Only overdue configurations: measured in the last 30 days (or --since), but not in the last 26h (or AGE).",
)
@_database
@json_option
def list_(as_csv: bool, stale: str | None, as_json: bool, database: DatabaseChoice, limit: int, **filters: Any) -> None:
    """List the history, the latest run first; records that don't say when they ran come last.

    With --stale the exit code is 1 if a configuration is overdue, or if nothing was measured at all.

    \b
    gbench cndb list
    gbench cndb list --model pix2pix_resnet_9blocks --device v100 --precision FP32 --since 30d --limit 0 --csv
    gbench cndb list --model pix2pix_resnet_9blocks --db gpu-performance --stale
    """
    from gbench.cli.shared.entries import moment, print_entries
    from gbench.cndb.database import connect, database_errors
    from gbench.cndb.queries import entries, overdue

    if as_csv and as_json:
        raise UsageError("--csv and --json contradict each other", "give one of them")
    since = moment(stale, "--stale") if stale is not None else None
    if since is not None:
        if given_except(set(click.get_current_context().params) - {"limit"}):
            raise UsageError("--limit and --stale contradict: all that is overdue is listed", "leave out --limit")
        limit, filters["since"] = 0, filters["since"] or "30d"
    config, where = database.config, _filter(**filters, limit=limit)
    with database_errors(config):
        matching = entries(engine := connect(config), where)
        if stale is None:
            _warn_of_undated(engine, where)
    if since is not None and not matching:
        raise RecordError(f"{config.shown} has no such record since {filters['since']}", "measure, or ask for others")
    late = matching if since is None else overdue(matching, since)
    if since is not None and not (late or as_json or as_csv):
        echo("nothing is overdue")
        return
    print_entries(late, as_json, as_csv)
    if since is not None and late:
        echo(f"overdue: {len(late)}, not measured since {since:%Y-%m-%d %H:%M} UTC", err=True)
        click.get_current_context().exit(ExitCode.FAILED)


@cndb.command()
@click.argument("number", metavar="ID", type=ROW_ID)
@_database
@json_option
def show(number: int, database: DatabaseChoice, as_json: bool) -> None:
    """Print one record with all its keys.

    \b
    gbench cndb show 12
    """
    from gbench.cli.shared.entries import print_record
    from gbench.cndb.database import connect, database_errors
    from gbench.cndb.queries import find

    config = database.config
    with database_errors(config):
        stored = find(connect(config), number)
    if as_json:
        print_json({"id": stored.id, "md5": stored.md5, "record": stored.record.model_dump()})
    else:
        print_record(stored)


@cndb.command()
@click.argument("numbers", metavar="[ID]...", nargs=-1, type=ROW_ID)
@out_option("Folder for one file per record.", type=click.Path(file_okay=False, path_type=Path))
@_filters(0)
@_database
def export(numbers: tuple[int, ...], out: Path | None, database: DatabaseChoice, **filters: Any) -> None:
    """Export records as YAML, as they were submitted: those with these IDs, else all that match the options.

    Without --out, print one YAML document per record on stdout. Existing files are never overwritten. A row without a
    valid record is reported and left out; the exit code is then 1.

    \b
    gbench cndb export 12 > record.yaml
    gbench cndb export --since 30d --out records
    """
    from gbench.base.files import make_folder, write_atomically
    from gbench.cndb.database import connect, database_errors
    from gbench.cndb.queries import find, records
    from gbench.cndb.record_file import file_name, to_yaml

    config, where = database.config, _filter(**filters)
    bad: list[RecordError] = []

    def report(error: RecordError) -> None:
        echo(f"gbench: error: {error}", err=True)
        bad.append(error)

    with database_errors(config):
        engine = connect(config)
        chosen = ((n, find(engine, n).record) for n in numbers) if numbers else records(engine, where, report)
        if not numbers:
            _warn_of_undated(engine, where)
        if out is not None:
            make_folder(out)
        for number, record in chosen:
            text = to_yaml(record)
            if out is None:
                click.echo(f"---\n{text}", nl=False)
                continue
            path = out / file_name(record, record.run_id or f"id_{number}")
            if path.exists() and not (path.is_file() and path.read_bytes() == text.encode()):
                raise RecordError(f"{path} exists with other contents", "give another folder to --out")
            write_atomically(path, text)
            click.echo(path)
    if bad:
        click.get_current_context().exit(ExitCode.FAILED)


@cndb.command()
@click.argument("file", metavar="RECORD", type=FILE)
@click.option("--run", "run_dir", type=RUN, help="The record's run folder: recompute every figure.")
@json_option
@click.pass_context
@verdicts_only()
def verify(ctx: click.Context, file: Path, run_dir: Path | None, as_json: bool) -> None:
    """Check that RECORD is unchanged: by its hash, and with --run also by the run's raw samples.

    Exit code 0: unchanged; 1: changed, or the run gives other figures; 3: the record has no hash, and no run was given;
    4: RECORD is no record, or the run has no figures.

    \b
    gbench cndb verify cndb/records/RECORD.yaml --run results/RUN_ID
    """
    from gbench.cndb.record_file import read_record
    from gbench.cndb.verify import verify as check
    from gbench.runfolder.folder import RunFolder

    verdict = check(read_record(file), RunFolder(run_dir) if run_dir else None)
    if as_json:
        print_json({"holds": verdict.holds, **asdict(verdict)})
    else:
        texts = {"holds": "unchanged", "broken": "CHANGED since it was written", "none": "none: not gbench's"}
        echo(f"hash  {texts[verdict.seal]}")
        if verdict.differences is not None:
            for difference in verdict.differences or ["its raw samples give the same figures"]:
                echo(f"run   {difference}")
        echo({True: "the record holds", False: "the record does NOT hold", None: "inconclusive"}[verdict.holds])
    ctx.exit({True: ExitCode.OK, False: ExitCode.FAILED, None: ExitCode.INCONCLUSIVE}[verdict.holds])


def _filter(
    model: str | None, device: str | None, precision: str | None, since: str | None, limit: int
) -> "RecordFilter":
    from gbench.cli.shared.entries import moment
    from gbench.cndb.queries import RecordFilter

    return RecordFilter(model, device, precision and precision.upper(), moment(since) if since else None, limit or None)


def _warn_of_undated(engine: "Engine", where: "RecordFilter") -> None:
    """Say how many records `--since` leaves out because they don't say when they ran."""
    from gbench.cndb.queries import undated

    if where.since is not None and (count := undated(engine, where)):
        echo(f"gbench: warning: left out {count} that don't say when they ran", err=True)
