"""result.json: the statistics of a run, computed from the raw samples by gbench.measure.summary.

Times are in seconds, throughputs in images per second over all devices, shares between 0 and 1.
"""

import math
from dataclasses import dataclass, field

from gbench.runfolder.host_facts import OneDevice
from gbench.runfolder.steps import Loss
from gbench.runfolder.telemetry_result import Disturbance, Energy, EnergySource, TelemetrySummary

BOOTSTRAP = "prewhitened moving-block bootstrap, t-adjusted"
BOOTSTRAP_OF_CYCLES = f"{BOOTSTRAP}, of whole cycles"
EXCHANGE_BOUND = 0.10  # share of a step in which all ranks wait for the network, from which it is the limit
TAIL = 100  # steps from which a 99th percentile is given: of fewer, it would be the slowest one
THROUGHPUT_IS = {  # by data_source
    "real": "end to end, data loading included",
    "cached": "end to end, on pictures decoded before the run",
    "resident": "end to end, on pictures laid on the devices before the run",
    "synthetic": "of computing alone, on one batch of noise",
}


@dataclass(frozen=True)
class Interval:
    """Confidence interval of throughput, in images per second: from the steps of one run alone."""

    low: float
    high: float
    half_width_share: float
    """Half-width divided by the throughput."""
    block_length: int
    """Number of steps resampled together."""
    effective_steps: float
    """Equivalent number of independent steps; below about 10 the interval depends on the assumed noise."""
    level: float
    method: str = BOOTSTRAP


@dataclass(frozen=True)
class Drift:
    """Change of the step time from the first to the last measured step, as a share of 1, and its 95 % interval."""

    share: float
    low: float
    high: float

    @property
    def reach(self) -> float:
        """The largest drift within the interval."""
        return max(abs(self.low), abs(self.high))

    @property
    def text(self) -> str:
        """`+9.0 %, +7.0 to +11.0 %`."""
        return f"{100 * self.share:+.1f} %, {100 * self.low:+.1f} to {100 * self.high:+.1f} %"


@dataclass(frozen=True)
class Speed:
    """A level of step times: a state of the machine."""

    step_s: float
    steps: int

    @property
    def text(self) -> str:
        return f"{self.step_s:.4g} s in {self.steps} steps"


@dataclass(frozen=True)
class FirstReading:
    """The same run by the first rule of the statistics, for comparison with records that have no other."""

    warmup_steps: int
    steady_state: bool
    steps: int
    throughput_img_s: float
    throughput_interval: Interval | None


@dataclass(frozen=True)
class StepTimes:
    """The distribution of step times in seconds."""

    mean_s: float
    median_s: float
    std_s: float
    """Sample standard deviation; 0 for one step."""
    p5_s: float
    p95_s: float
    p99_s: float | None
    """None for fewer than TAIL steps; not in records of an earlier rule."""


@dataclass(frozen=True)
class Limits:
    """One device's speed compared with its bounds. A share is None if its bound is unknown."""

    flop_per_image: int
    tflop_s: float
    """10^12 operations per second that the run achieved."""
    gb_s: float | None
    """10^9 bytes per second that its operations moved, unfused; None under autocast, where bytes are not counted."""
    measured_flop_share: float | None
    """Of the operations per second measured on this device; on a GPU of the best peak: `best_peak`."""
    measured_copy_share: float | None
    """Of the bytes per second, likewise."""
    data_sheet_flop_share: float | None
    """Of the operations per second in its data sheet."""
    data_sheet_copy_share: float | None
    """Of the memory bandwidth in its data sheet."""
    data_sheet: str | None
    verdict: str
    tflop_cpu_s: float | None = None
    """10^12 operations per second of processor time, of all ranks. The measured shares are then of such peaks, which
    don't fall where something else is running. None: on a GPU, without telemetry, or by an earlier rule."""
    before_flop_share: float | None = None
    """Of the operations per second measured on this GPU before the run; None: on a CPU, or by an earlier gbench."""
    after_flop_share: float | None = None
    """Of those after it; None also where the GPU had no memory for it."""
    best_peak: str | None = None
    """Which earlier run or record has the best peak for a GPU of this name and the precision; None: the run itself."""

    @property
    def own_flop_shares(self) -> tuple[float, float] | None:
        """Of the peaks before and after the run, the lower share first; None: there are no two."""
        if self.before_flop_share is None or self.after_flop_share is None:
            return None
        return min(self.before_flop_share, self.after_flop_share), max(self.before_flop_share, self.after_flop_share)

    @property
    def measured_text(self) -> str:
        """What part of the measured operations per second the run did; empty if unknown."""
        if self.measured_flop_share is None:
            return ""
        of = "of what was measured here" + ("" if self.tflop_cpu_s is None else ", per CPU-second")
        own = self.own_flop_shares
        if self.best_peak is not None:
            of = f"of the best peak on record, that of {self.best_peak}"
        elif own is not None:
            of = "of the better peak measured here"
        trusted = "" if self.measured_flop_share <= 1 else ", peak not trusted"
        ends = f" ({own[0]:.0%} to {own[1]:.0%} of those before and after the run)" if own else ""
        return f"{self.measured_flop_share:.0%} {of}{trusted}{ends}"


@dataclass(frozen=True)
class Job:
    """A whole convergence job over all attempts. An attempt is the first start, or a resumption."""

    epochs: float
    """Completed epochs; repeated ones count once."""
    attempts: int
    wall_s: float | None
    """From the start of the run script, its image ready, to its end; summed over attempts, without the time in between.
    A killed attempt ends with its last step. None for old run folders."""
    training_s: float
    """Of all steps, by the slowest rank's clock."""
    redone_s: float
    """The part of training_s in steps that a later attempt repeated."""
    epochs_per_hour: float
    """Over the steps that count."""
    joules: float | None
    """Over the training of all attempts, idle power included."""
    energy_source: EnergySource | None


@dataclass(frozen=True)
class RankWaits:
    """What one rank waited for, as shares of the wall time."""

    data_share: float
    between_share: float
    others_share: float
    """For the rank that began to compute last in the step."""
    last_share: float
    """Share of the steps in which it was that rank."""
    gradients_last_share: float | None = None
    """Share of the timed exchanges in which its gradients were the last to be there; None: none was timed."""
    gradients_others_share: float | None = None
    """Its wait for the last rank's gradients, as a share of the timed steps, without the network's own time."""


@dataclass(frozen=True)
class TimedExchange:
    """What torch timed of the exchange in some measured steps, and what the all-reduce before the run implies."""

    steps: int
    hidden_s: dict[str, float]
    """From the first bucket's start to the end of the backward pass, by network (median)."""
    network_s: float
    """Of a step in which all ranks, also the last one, waited for the network (median)."""
    network_share: float
    """The same as a share of its step (median)."""
    implied_s: float
    """The same as implied: buckets overlap with the backward pass."""
    bound: float
    """Scaling efficiency that is implied: computing alone over computing and `implied_s`."""


@dataclass(frozen=True)
class Exchange:
    """The exchange of gradients in each step."""

    backend: str
    buckets: dict[str, list[int]]
    """Bytes of each bucket, by network."""
    all_reduce: list[dict[str, float]]
    """What was measured before the first step, by size: AllReduceFacts."""
    alone_s: float
    """The all-reduce of all buckets by that, one after the other, with nothing else running."""
    timed: TimedExchange | None = None
    """None: torch timed no measured step, as in a short run on GPUs."""

    @property
    def binds(self) -> bool:
        """Whether the network limits the run: ranks wait for it long, and it was measured to take half of that or more
        when nothing else went on."""
        timed = self.timed
        return timed is not None and timed.network_share >= EXCHANGE_BOUND and self.alone_s >= timed.network_s / 2

    @property
    def text(self) -> str:
        """`5 buckets, 56.6 MB, by gloo: 41 ms by themselves (2.1 GB/s, latency 84 us); 12 ms of a step, 8.1 %`."""
        sizes = [size for of in self.buckets.values() for size in of]
        bus_gb_s = max(one["bus_gb_s"] for one in self.all_reduce)
        text = (
            f"{len(sizes)} buckets, {sum(sizes) / 1e6:.4g} MB, by {self.backend}: {1e3 * self.alone_s:.3g} ms by "
            f"themselves (up to {bus_gb_s:.3g} GB/s, latency {1e6 * self.all_reduce[0]['median_s']:.3g} us)"
        )
        if self.timed is None:
            return text
        return f"{text}; {1e3 * self.timed.network_s:.3g} ms of a step are not hidden, {self.timed.network_share:.1%}"


@dataclass(frozen=True)
class RunResult:
    complete: bool
    """Whether the run reached its planned end."""
    data_source: str
    data_source_reason: str | None
    """Why it is not the requested source."""
    ranks: int
    warmup_steps: int
    """Steps excluded at the start: those of the spec, or more until the step times settled."""
    steady_state: bool
    """Whether the step times settled."""
    steady_state_reason: str
    steps: int
    """Measured steps after the warm-up, by the clock of the rank that was slowest in them."""
    images: int
    wall_s: float
    """Of the measured steps."""
    throughput_img_s: float
    """The headline: THROUGHPUT_IS."""
    throughput_interval: Interval | None
    """Of the headline, 95 %."""
    throughput_without_data_img_s: float
    """The same images, over the time without data wait."""
    throughput_clean_img_s: float | None
    """Over the steps known to be undisturbed; None if there are none."""
    throughput_legacy_img_s: float | None
    """As launch.sh measured it: steps 3 to 7, computing only; None for a shorter run."""
    step: StepTimes
    """Of the slowest rank."""
    step_variance_s2: float
    """Sample variance of the step times."""
    data_share: float
    """Share of the wall time in which the device waited for a batch: the rank that began to compute last in a step."""
    between_share: float
    """Share of the wall time spent on readings, log lines and checkpoints, between steps; of the same rank."""
    disturbance: Disturbance
    limits: Limits | None
    energy: Energy
    joules_per_image: float | None
    memory: list[dict[str, int]] | None
    """Peaks of each rank in bytes; those of the first step if the run failed."""
    telemetry: TelemetrySummary | None
    losses: dict[str, Loss]
    """Means over the steps of all ranks after the warm-up of the spec. Where it ended by the clock doesn't matter."""
    last_epoch_losses: dict[str, Loss]
    job: Job | None = None
    profile: str = "reference"
    """Name of the speed profile, with the switches that were on."""
    statistics: int = 1
    """The rule of the figures. 1: warm-up and measured steps by `measure/steady_state.py` alone; 2: p99_s of any number
    of steps, and a processor's share of its peak by time."""
    epochs_seen: float | None = None
    """In the measured steps: whole ones if there are at least two. None if the length of an epoch is unknown."""
    checkpoint_periods_seen: float | None = None
    """Likewise; None if no checkpoints are written."""
    cycle_steps: int | None = None
    """Steps of an epoch, or a checkpoint period: the measured steps are a multiple. None: fewer than two were seen."""
    drift: Drift | None = None
    """Of the step times after the warm-up."""
    speeds: list[Speed] = field(default_factory=list)
    """Levels of step times that more than 5 % of the steps had."""
    first_reading: FirstReading | None = None
    rank_waits: list[RankWaits] = field(default_factory=list)
    """Of each rank; empty by the first rule."""
    pace_rank: int | None = None
    """The rank that nearly always began to compute last, so that the others waited; None: there is none."""

    exchange: Exchange | None = None
    """Of gradients; None: one rank, or an earlier gbench."""

    @property
    def p99_s(self) -> float | None:
        """The 99th percentile of the step times; None for fewer than TAIL steps, by every rule."""
        return self.step.p99_s if self.steps >= TAIL else None

    @property
    def throughput_is(self) -> str:
        """What the headline counts, in words."""
        return THROUGHPUT_IS.get(self.data_source, f"with data that are {self.data_source}")

    @property
    def pace(self) -> str:
        """In words, which rank sets the pace; empty if none does."""
        if self.pace_rank is None:
            return ""
        rank = self.rank_waits[self.pace_rank]
        others = [one.others_share for place, one in enumerate(self.rank_waits) if place != self.pace_rank]
        return (
            f"rank {self.pace_rank} sets the pace: last in {rank.last_share:.0%} of the steps, the others wait for it "
            f"{min(others):.1%} of the time or more"
        )

    def scaling(self, one_device: OneDevice | None) -> str:
        """In words, the efficiency against one device, and as the all-reduce before the run implies; empty: unknown."""
        timed = self.exchange and self.exchange.timed
        implied = f"{timed.bound:.1%} is implied by the all-reduce before the run" if timed else ""
        return "; ".join(filter(None, (one_device.text if one_device else "", implied)))

    @property
    def last_gradients(self) -> str:
        """In words, whose gradients are the last in most of the timed steps; empty if none were timed."""
        shares = [one.gradients_last_share for one in self.rank_waits]
        known = [share for share in shares if share is not None]
        if not known or len(known) < len(shares):
            return ""
        rank = known.index(max(known))
        waits = [one.gradients_others_share or 0.0 for place, one in enumerate(self.rank_waits) if place != rank]
        others = f"the others wait {min(waits):.1%} of the time or more for them"
        return f"the gradients of rank {rank} are the last in {known[rank]:.0%} of the steps, {others}"

    @property
    def too_few_cycles(self) -> str:
        """`0.3 epochs seen`, where the figure is of fewer than two epochs or checkpoint periods; else empty."""
        seen = {"epochs": self.epochs_seen, "checkpoint periods": self.checkpoint_periods_seen}
        known = {name: count for name, count in seen.items() if count is not None}
        few = [
            f"{math.floor(10 * count) / 10 if count >= 0.1 else 'under 0.1'} {name}"
            for name, count in known.items()
            if count < 2
        ]
        return f"{' and '.join(few)} seen" if few else ""
