"""`gbench report`: the page of a run."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where to write the page. Default: RUN_DIR/report.html."
)
@click.option("--json", "as_json", is_flag=True, help='As {"report": path}, on stdout.')
def report(run_dir: Path, output: Path | None, as_json: bool) -> None:
    """Write RUN_DIR's page: one HTML file that needs no network, to be read, mailed or printed; prints its path.

    Works for a run that failed or was stopped, too.

    \b
    gbench report results/20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c
    """
    from gbench.cli.output import print_json
    from gbench.reports.run_page import write_report
    from gbench.runfolder import RunFolder

    path = write_report(RunFolder(run_dir), output or run_dir / "report.html")
    if as_json:
        print_json({"report": str(path)})
    else:
        click.echo(path)
