"""`gbench report`: write the page of a run, a record or a history."""

from pathlib import Path

import click

from gbench.cli.shared.output import print_json
from gbench.cli.shared.run_options import RUN_OR_FILE, out_option, stated
from gbench.cli.shared.storing import DatabaseChoice, cndb_folder, database_options
from gbench.cli.shared.suggested import MODEL
from gbench.errors import UsageError


@click.command()
@click.argument("source", metavar="[RUN_DIR|RECORD]", required=False, type=RUN_OR_FILE)
@click.option("--history", is_flag=True, help="Write a database's page: trends, slowdowns, stale configurations.")
@database_options("With --history: as in gbench cndb.  [default: embedded]")
@click.option(
    "--model", type=MODEL, help="With --history: only this model: pix2pix_resnet_9blocks; pix2pix adds the original's."
)
@click.option("--since", help="With --history: only runs since then: 2026-01-31, 30d or 12h.")
@click.option(
    "--allow", type=click.Choice(["machine"]), help="With --history: take the results of all machines together."
)
@out_option(
    "File of the page. Default: RUN_DIR/report.html, RECORD with suffix .html, or CNDB_DIR/history.html.", ["--output"]
)
@click.option("--json", "as_json", is_flag=True, help='Print {"report": path} on stdout.')
def report(
    source: Path | None,
    history: bool,
    database: DatabaseChoice,
    model: str | None,
    since: str | None,
    allow: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write a self-contained HTML page that needs no network, and print its path.

    The page shows RUN_DIR, even if the run failed or was stopped; a RECORD file, written by any version of gbench or by
    the original; or with --history all records in a database.

    \b
    gbench report results/20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c
    gbench report cndb/records/RECORD.yaml
    gbench report --history
    gbench report --history --db gpu-performance --model pix2pix_resnet_9blocks --since 90d -o history.html
    """
    if history == (source is not None):
        raise UsageError("report needs a run folder, a record file, or --history alone", "gbench report -h")
    if source is not None and not stated() <= {"source", "out", "as_json"}:
        raise UsageError(
            "--db, --cndb-dir, --db-timeout, --model, --since and --allow are for --history", "leave them out"
        )
    if source is None:
        from gbench.cli.shared.entries import moment
        from gbench.reports.history_page import write_history

        config, path = database.config, out or cndb_folder(database.cndb_dir) / "history.html"
        path = write_history(config, path, model, moment(since) if since else None, allow is not None)
    else:
        path = _of(source, out)
    if as_json:
        print_json({"report": str(path)})
    else:
        click.echo(path)


def _of(source: Path, output: Path | None) -> Path:
    if source.is_file():
        from gbench.cndb.record_file import read_record
        from gbench.reports.record_page import write_record_page

        path = output or source.with_suffix(".html")
        if path.resolve() == source.resolve():
            raise UsageError(f"the page would take the place of the record {source}", "give another file with -o")
        return write_record_page(read_record(source), source.name, path)
    from gbench.reports.run_page import write_report
    from gbench.runfolder.folder import RunFolder

    return write_report(RunFolder(source), output or source / "report.html")
