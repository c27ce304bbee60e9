"""The headline of a convergence run's page: the verdict, the published figures, then the throughput."""

from gbench.cndb.log_line import accuracy_text
from gbench.convergence.subjects import verdict_of_run
from gbench.measure.summary import printed_means
from gbench.reports.figures import headline as throughput
from gbench.reports.run_data import RunData
from gbench.reports.text import four
from gbench.runfolder.evaluation_result import METRICS, read_final
from gbench.runfolder.folder import RunFolder


def headline(run: RunData) -> tuple[str, str, str, str]:
    """The arguments of page.headline."""
    folder = RunFolder(run.path)
    verdict, why = verdict_of_run(folder)
    last = run.ranks[0][-1].epoch
    figures = [f"Epoch {last}, means of its printed lines: {accuracy_text(printed_means(folder))}"]
    if (evaluation := read_final(folder)) is not None:
        known = [
            (name, one.mean) for name, one in evaluation.metrics.items() if name in METRICS and one.mean is not None
        ]
        figures.append(", ".join(f"{name} {four(mean)}" for name, mean in known))
    speed = " ".join(throughput(run))
    end_to_end = f", {run.summary.throughput_is}" if run.summary else ""
    return verdict, "", f"{why} Throughput: {speed}{end_to_end}.", "; ".join(figures)
