"""The live line: the progress of a running run."""

from __future__ import annotations

from collections import deque

from gbench.measure.bootstrap import throughput_interval
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.json_lines import JsonLines
from gbench.runfolder.steps import Step, read_step, stream_path

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

    def text(self) -> str | None:
        """The current line; None before the first step."""
        self._follow()
        if not self._recent:
            return None
        last = self._recent[-1]
        if self._planned is None:
            self._planned = self._folder.environment().planned_steps
        parts = [f"step {last.step}/{self._planned or '?'}"]
        parts.append(self._throughput() if self._measured else "warming up")
        wall_s = sum(step.step_s for step in self._recent)
        parts.append(f"data wait {sum(step.data_s for step in self._recent) / wall_s:.0%}")
        parts += [f"{name} {value:.3g}" for name, value in last.losses.items()]
        if self._planned is not None:
            left_s = round((self._planned - last.step) * wall_s / len(self._recent))
            parts.append(f"{left_s // 60}:{left_s % 60:02d} left")
        return "  ".join(parts)

    def _follow(self) -> None:
        for values in self._stream.new_values():
            if "step" in values:
                step = read_step(values)
                self._recent.append(step)
                self._measured += [] if step.warmup else [step]
            else:  # the stream's first line, or that of a resumed run, which repeats the steps after `resumed_after`
                after = values.get("resumed_after", 0)
                self._recent = deque((step for step in self._recent if step.step <= after), maxlen=RECENT)
                self._measured = [step for step in self._measured if step.step <= after]

    def _throughput(self) -> str:
        times = [step.step_s for step in self._measured]
        images = [step.images * self._spec.world_size for step in self._measured]
        interval = throughput_interval(times, images)
        width = f" +-{interval.half_width_share:.1%}" if interval else ""
        return f"{sum(images) / sum(times):.4g} img/s{width}"
