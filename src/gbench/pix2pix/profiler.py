"""A training whose last steps are profiled: the loop of any run, under torch.profiler.

Every rank is profiled: if only one were slowed down, the others would wait for it.
"""

import gzip
import os
import shutil
import statistics
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function, schedule

from gbench.base.files import cant_write
from gbench.errors import InfrastructureError
from gbench.measure.clock import Marks, StepClock, marks_for
from gbench.measure.hotspots import COMPUTING, REGION, read_trace
from gbench.measure.trace import ON_DEVICE, Event, load
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.ranks.heartbeat import Heartbeat
from gbench.pix2pix.step.count_ops import flop_of_calls
from gbench.pix2pix.trainer import Trainer
from gbench.runfolder import step_profile as contract
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.step_profile import StepProfile
from gbench.settings.spec import RunSpec
from gbench.settings.switches import describe

GZIP_LEVEL = 6
OF_TRACE = ("operators_s", "exposed_s", "gaps_s", "communication_s", "overlapped_s")  # as in TraceTimes
FEWEST_BARE_STEPS = 3  # before the profiler starts, without the first one, which chooses kernels


class ProfiledClock(StepClock):
    """The clock of a run that also profiles its last steps, after `warmup` others (at least 1).

    The start of the profiler is part of the last warm-up step; its stop is part of no step.
    """

    def __init__(self, marks: Marks, device: torch.device, warmup: int, steps: int, trace: Path) -> None:
        super().__init__(marks)
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # silences its warning about the missing driver of a CPU run
        self._device, self._warmup, self._last, self._step, self._trace = device, warmup, warmup + steps, 0, trace
        on_gpu = [ProfilerActivity.CUDA] if device.type == "cuda" else []
        self._profiler = profile(
            activities=[ProfilerActivity.CPU, *on_gpu],
            schedule=schedule(wait=warmup - 1, warmup=1, active=steps, repeat=1),
            on_trace_ready=self._save,
        )

    def start(self) -> None:
        self._profiler.start()
        super().start()

    def batch_ready(self) -> None:
        """The batch is loaded: the computing of the step begins."""
        super().batch_ready()
        self._computing = record_function(COMPUTING)
        self._computing.__enter__()

    def step_done(self) -> None:
        """The step is handed over; move the profiler to the next one."""
        self._computing.__exit__(None, None, None)
        self._step += 1
        if self._step == self._warmup and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # no kernel of the warm-up runs into the profile
        if self._step < self._last:
            self._profiler.step()
            super().step_done()
        else:
            super().step_done()
            self._profiler.step()

    def close(self) -> None:
        """Stop the profiler, at any step."""
        with suppress(Exception):  # would hide the error of a run that failed
            self._profiler.stop()

    def _save(self, profiler: Any) -> None:
        # torch would compress by way of /tmp, and leave the file there on a full disk
        plain = self._trace.with_suffix("")
        try:
            profiler.export_chrome_trace(str(plain))
            if not plain.is_file():  # torch raises nothing then
                raise InfrastructureError(f"torch.profiler could not write {plain}", "look at the space left there")
            with plain.open("rb") as text, gzip.open(self._trace, "wb", GZIP_LEVEL) as packed:
                shutil.copyfileobj(text, packed)
        except OSError as error:
            raise cant_write(self._trace, error) from error
        finally:
            for left in (plain, plain.with_name(f"{plain.name}.tmp")):  # the second is Kineto's, left when it fails
                left.unlink(missing_ok=True)


class ProfiledTrainer(Trainer):
    """One rank's training with its last steps profiled; rank 0 writes profile.json. Arguments, errors: as Trainer."""

    def __init__(
        self, spec: RunSpec, folder: RunFolder, data_dir: Path, ranks: Ranks, cache_dir: Path | None = None
    ) -> None:
        assert spec.profiling is not None, "the spec of a run that is measured"
        self.steps, self.warmup = spec.profiling.steps, spec.schedule.warmup_steps
        self.trace = folder.path / contract.trace_name(ranks.rank)
        self.profiled_clock = ProfiledClock(marks_for(ranks.device), ranks.device, self.warmup, self.steps, self.trace)
        super().__init__(spec, folder, data_dir, ranks, cache_dir, self.profiled_clock)
        mark_region(self.model.generator, "generator")
        mark_region(self.model.discriminator, "discriminator")

    def run(self, facts_pipe: int | None = None, heartbeat: Heartbeat | None = None) -> None:
        try:
            super().run(facts_pipe, heartbeat)
        finally:
            self.profiled_clock.close()
        self.ranks.gather(None)  # all traces are written
        if self.ranks.is_first:
            self.folder.write(contract.NAME, self.result().model_dump())

    def result(self) -> StepProfile:
        """The content of profile.json. Raises InfrastructureError: the trace can't be read."""
        spec, count = self.spec, self.steps
        all_steps = self.folder.steps(self.ranks.rank)
        steps, before = all_steps[self.warmup :], all_steps[1 : self.warmup - 1]
        waited_s = sum(step.data_s + step.between_s for step in steps)
        flop, on_gpu = flop_of_calls(spec), self.ranks.device.type == "cuda"
        read = read_trace(whole_trace(self.trace, count, on_gpu), on_gpu, waited_s, flop)
        return StepProfile(
            model=spec.model,
            batch_size=spec.batch_size,
            device=self.facts["device"],
            device_count=self.ranks.world_size,
            precision=self.facts["precision_at_end"]["ran"],
            data_source=self.facts["data"]["source"],
            on_gpu=on_gpu,
            steps=count,
            warmup_steps=self.warmup,
            step_s=statistics.fmean(step.step_s for step in steps),
            bare_step_s=statistics.median(step.step_s for step in before) if len(before) >= FEWEST_BARE_STEPS else None,
            data_s=statistics.fmean(step.data_s for step in steps),
            between_s=statistics.fmean(step.between_s for step in steps),
            **{name: getattr(read, name) / count for name in OF_TRACE},
            flop=sum(map(sum, flop.values())),
            parts=read.parts,
            operators=read.operators,
            traces=[contract.trace_name(rank) for rank in range(self.ranks.world_size)],
            software=self.facts["software"],
            profile=describe(spec.profile, spec.config.speed.on),
        )


def whole_trace(path: Path, steps: int, on_gpu: bool) -> list[Event]:
    """The events of a trace. Raises InfrastructureError: steps are missing, or on a GPU all kernels."""
    events = load(path)
    if sum(event.name == COMPUTING and event.kind == "user_annotation" for event in events) != steps:
        raise InfrastructureError(f"{path} does not hold the {steps} profiled steps", "profile again")
    if on_gpu and not any(event.kind in ON_DEVICE for event in events):
        raise InfrastructureError(
            f"{path} holds no kernel: NVIDIA's tracing library (CUPTI) gave torch.profiler nothing",
            "end other profilers of this GPU (nsys, ncu, DCGM), and see that the driver is as new as torch's CUDA",
        )
    return events


def mark_region(module: nn.Module, name: str) -> None:
    """Mark the forward passes of `module` in traces, as a region of this name.

    Does nothing for a module compiled as a whole: the compiler would treat the marks as part of it.
    """
    if getattr(module, "_compiled_call_impl", None) is not None:
        return
    running: list[record_function] = []

    def begin(*_: Any) -> None:
        running.append(record_function(REGION + name))
        running[-1].__enter__()

    def end(*_: Any) -> None:
        running.pop().__exit__(None, None, None)

    module.register_forward_pre_hook(begin)
    module.register_forward_hook(end)
