"""`gbench summary`: recompute a run's figures."""

from pathlib import Path

import click

from gbench.cli.shared.output import echo, print_json, print_lines, print_reported, summary_lines
from gbench.cli.shared.run_options import RUN


@click.command()
@click.argument("run_dir", type=RUN)
@click.option("--json", "as_json", is_flag=True, help="Print it in the format of result.json.")
def summary(run_dir: Path, as_json: bool) -> None:
    """Recompute the statistics of RUN_DIR from its raw samples, even if the run was killed.

    Of a run script that measures for itself it gives the figures that the script reported.

    \b
    gbench summary results/20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c
    """
    from dataclasses import asdict

    from gbench.cndb.from_run import record_of
    from gbench.cndb.log_line import accuracy_text
    from gbench.errors import RunFailed
    from gbench.measure.summary import printed_means, summarize_folder
    from gbench.runfolder.folder import RunFolder
    from gbench.runfolder.typed_json import VERSION, to_json

    folder = RunFolder(run_dir)
    result = summarize_folder(folder)
    for problem in folder.unreadable():
        echo(f"gbench: warning: {problem}", err=True)
    if result is None and folder.has(folder.benchmark_log.name):
        record = record_of(folder)
        if as_json:
            print_json({"perf_data": record.perf_data, "metric_data": record.metric_data})
        else:
            print_reported(record)
        return
    if result is None:
        if folder.alive:
            raise RunFailed(
                f"{run_dir} is still running, without a measured step yet", f"follow it: gbench watch {run_dir}"
            )
        silent = [str(rank) for rank, steps in enumerate(folder.ranks()) if not steps]
        why = f"there is no step of rank {', '.join(silent)}" if silent else "the run ended in its warm-up"
        raise RunFailed(f"{run_dir} holds no measured step: {why}", f"read {folder.log}")
    if as_json:
        click.echo(to_json({"version": VERSION, **asdict(result)}), nl=False)
        return
    converges = folder.spec().recipe == "convergence"
    accuracy = accuracy_text(printed_means(folder)) if converges else None
    print_lines(summary_lines(result, accuracy, folder.host()))
