"""The live line: the progress of a running run."""

import time
from collections import deque
from contextlib import suppress

from gbench.errors import GbenchError, printable
from gbench.measure.bootstrap import throughput_interval
from gbench.measure.estimate import duration
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.json_lines import JsonLines
from gbench.runfolder.steps import Step, read_step, stream_path

STARTING = "starting: loading PyTorch and the dataset"  # until a run says more
RECENT = 50  # steps over which data wait and time left are averaged


class Progress:
    """Follows the steps of rank 0 as they are written; reads each line once."""

    def __init__(self, folder: RunFolder) -> None:
        self._spec = folder.spec()
        self._folder = folder
        self._stream = JsonLines(stream_path(folder.path, 0))
        self._recent: deque[Step] = deque(maxlen=RECENT)
        self._planned: int | None = None
        self._measured: list[Step] = []
        self._doing, self._since_s = STARTING, time.monotonic()

    def note(self, line: str) -> None:
        """Show this line of the worker, and how long ago it came, before the first step and after the last."""
        if not line.startswith("(epoch: "):  # the losses are those of the steps
            self._doing, self._since_s = printable(line), time.monotonic()

    def text(self, width: int) -> str:
        """The current line, with as many losses as fit into `width` columns."""
        try:
            self._follow()
            if self._recent and self._planned is None:
                self._planned = self._folder.environment().planned_steps
        except (GbenchError, OSError):  # a broken file: the run itself reports it
            pass
        trained = self._recent and self._recent[-1].step == self._planned and self._doing != STARTING
        if trained or not self._recent:
            waited = f"  {duration(time.monotonic() - self._since_s)}"
            return self._doing[: width - len(waited)] + waited
        last = self._recent[-1]
        line = f"step {last.step}/{self._planned or '?'}"
        wall_s = sum(step.step_s for step in self._recent)
        if self._planned is not None:
            line += f"  {duration((self._planned - last.step) * wall_s / len(self._recent))} left"
        line += f"  {self._throughput() if self._measured else 'warming up'}"
        line += f"  data wait {sum(step.data_s for step in self._recent) / wall_s:.0%}"
        for name, value in last.losses.items():
            loss = f"  {name} {value:.3g}"
            line += loss if len(line + loss) <= width else ""
        return line

    def _follow(self) -> None:
        for values in self._stream.new_values():
            if "step" in values:
                with suppress(ValueError):  # a broken line: the run itself reports it
                    step = read_step(values)
                    self._recent.append(step)
                    self._measured += [] if step.warmup else [step]
            elif isinstance(after := values.get("resumed_after", 0), int):
                # the stream's first line, or that of a resumed run, which repeats the steps after `resumed_after`
                self._recent = deque((step for step in self._recent if step.step <= after), maxlen=RECENT)
                self._measured = [step for step in self._measured if step.step <= after]

    def _throughput(self) -> str:
        times = [step.step_s for step in self._measured]
        images = [step.images * self._spec.world_size for step in self._measured]
        interval = throughput_interval(times, images)
        width = f" +-{interval.half_width_share:.1%}" if interval else ""
        return f"{sum(images) / sum(times):.4g} img/s{width}"
