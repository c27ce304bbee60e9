"""Where the time of a profiled step goes: operators, parts of the step, communication, and gaps.

On a CPU the operators of the training thread count by self time: their duration minus that of the operators they
call. On a GPU the self time of an operator is that of the kernels and copies that it launches itself. In both cases the
self times of operators add up to their part of the step, and the parts to the step.

A region is a `record_function` named REGION + its name; its backward pass is found by autograd's sequence numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gbench.measure.trace import ON_DEVICE, Event, Span, clipped, length, union
from gbench.runfolder.step_profile import Operator, StepPart

REGION = "gbench: "
COMPUTING = REGION + "computing"  # from a loaded batch to the end of the step's launches
OPTIMIZER = "Optimizer.step#"  # as torch.optim names its own regions
BACKWARD = "autograd::engine::evaluate_function"
STEP = "ProfilerStep#"  # as torch.profiler names its steps
MOVES = ("aten::copy_", "aten::empty", "aten::fill_", "aten::zero_")  # called by a convolution, without arithmetic
COMMUNICATION = ("c10d::", "gloo:", "nccl")


@dataclass
class TraceTimes:
    """Seconds of the whole trace, but operators and parts of one step, those that take longest first."""

    operators: list[Operator] = field(default_factory=list)
    parts: list[StepPart] = field(default_factory=list)
    operators_s: float = 0.0
    """Time with at least one operator running."""
    overlapped_s: float = 0.0
    """Self time that ran at the same time as another operator."""
    exposed_s: float = 0.0
    """Communication while no operator runs."""
    communication_s: float = 0.0
    gaps_s: float = 0.0
    """The rest of the computing time: the device idles (GPU), or the training thread is outside any operator (CPU)."""


def read_trace(events: Sequence[Event], on_gpu: bool, waited_s: float, flop: Mapping[str, Sequence[int]]) -> TraceTimes:
    """Sum up a trace.

    Args:
        waited_s: seconds of data wait and between steps, in which a GPU idles too, but not for gaps in computing.
        flop: by name of an operator: of each of its calls in one step, in order.
    """
    computing = [event for event in events if event.name == COMPUTING and event.kind == "user_annotation"]
    if not computing:
        return TraceTimes()
    regions = _regions_by_sequence(events)
    if on_gpu:
        began_s = min(event.start_s for event in events if event.name.startswith((STEP, COMPUTING)))
        reading, charges = _device_time(events, waited_s, began_s)
    else:
        reading, charges = _thread_time(events, computing)
    called: set[tuple[str, Event]] = set()  # a call may launch several kernels
    calls: Counter[str] = Counter()
    operators_s: dict[str, float] = defaultdict(float)
    parts_s: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])  # in operators, in gaps
    for name, event, seconds, is_gap in charges:
        parts_s[_part(name, event, regions)][is_gap] += seconds
        if is_gap:
            continue
        operators_s[name] += seconds
        calls[name] += event is None or (name, event) not in called
        if event is not None:
            called.add((name, event))
    steps, flop_so_far = len(computing), 0
    counted = _flop_by_operator(events, charges, flop, steps)
    for name, seconds in sorted(operators_s.items(), key=lambda item: -item[1]):
        of_it = None
        if counted is not None:  # rounded so that the sum over operators is exact, though steps may charge others
            before, flop_so_far = flop_so_far, flop_so_far + counted.get(name, 0)
            of_it = flop_so_far // steps - before // steps
        one = Operator(name=name, self_s=seconds / steps, calls=calls[name] / steps, flop=of_it)
        reading.operators.append(one)
    reading.parts = [
        StepPart(name=name, operators_s=part_s / steps, gaps_s=gaps_s / steps)
        for name, (part_s, gaps_s) in sorted(parts_s.items(), key=lambda item: -sum(item[1]))
    ]
    return reading


# name, its operator or region, seconds, whether it is time outside any operator
_Charge = tuple[str, Event | None, float, bool]


def _thread_time(events: Sequence[Event], computing: Sequence[Event]) -> tuple[TraceTimes, list[_Charge]]:
    thread, charges = computing[0].thread, list[_Charge]()
    outermost: list[Span] = []
    for event in events:
        if event.thread != thread or not any(one.name == COMPUTING for one in event.around()):
            continue
        operators = [one for one in event.around() if one.kind == "cpu_op"]
        if not operators:
            charges.append((event.name, event, event.self_s, True))
            continue
        charges.append((operators[0].name, operators[0], event.self_s, False))  # also for a region within an operator
        if operators == [event]:
            outermost.append(event.span)
    whole, busy = union(event.span for event in computing), union(outermost)
    # gloo's own threads, rather than the calls that start the communication
    talking = clipped(union(event.span for event in events if event.name.startswith("gloo:")), whole)
    exposed_s = length(talking) - length(clipped(talking, busy))
    operators_s, whole_s = length(busy), length(whole)
    reading = TraceTimes(operators_s=operators_s, exposed_s=exposed_s, communication_s=length(talking))
    reading.gaps_s = whole_s - operators_s - exposed_s
    return reading, charges


def _device_time(events: Sequence[Event], waited_s: float, start_s: float) -> tuple[TraceTimes, list[_Charge]]:
    """The time of the GPU, from the start of the first step to the end of the last kernel."""
    launched_by = {event.id: event for event in events if event.kind == "cpu_op"}
    work = [event for event in events if event.kind in ON_DEVICE]
    charges = list[_Charge]()
    for event in work:
        by = launched_by.get(event.id)
        # NCCL kernels run on their own streams and don't belong to the operator that launched them
        name = event.name if by is None or event.name.startswith(COMMUNICATION) else by.name
        charges.append((name, by, event.end_s - event.start_s, False))
    talking = union(event.span for event in work if event.name.startswith(COMMUNICATION))
    busy = union(event.span for event in work if not event.name.startswith(COMMUNICATION))
    exposed_s = length(talking) - length(clipped(talking, busy))
    whole_s = max((event.end_s for event in work), default=start_s) - start_s
    operators_s, sum_s = length(busy), sum(seconds for _, _, seconds, _ in charges)
    reading = TraceTimes(operators_s=operators_s, exposed_s=exposed_s, communication_s=length(talking))
    reading.overlapped_s = sum_s - operators_s - exposed_s
    reading.gaps_s = max(0.0, whole_s - operators_s - exposed_s - waited_s)
    return reading, charges


def _regions_by_sequence(events: Iterable[Event]) -> dict[int, str | None]:
    """The region of each forward operation by autograd's sequence number; the last operation with a number counts."""
    latest: dict[int, tuple[float, str | None]] = {}
    for event in events:
        if event.sequence is None or event.kind != "cpu_op":
            continue
        around = list(event.around())
        if any(one.name.startswith(BACKWARD) for one in around):
            continue
        if event.sequence not in latest or latest[event.sequence][0] <= event.start_s:
            latest[event.sequence] = event.start_s, _region(around)
    return {number: region for number, (_, region) in latest.items()}


def _region(around: Iterable[Event]) -> str | None:
    names = (event.name for event in around if event.kind == "user_annotation")
    return next((name.removeprefix(REGION) for name in names if name.startswith(REGION) and name != COMPUTING), None)


def _part(name: str, event: Event | None, regions: Mapping[int, str | None]) -> str:
    """The part of a step that a charge belongs to."""
    if name.startswith(COMMUNICATION):
        return "communication"
    if event is None:
        return "other"
    around = list(event.around())
    if any(one.name.startswith(OPTIMIZER) for one in around):
        return "optimizer"
    node = next((one for one in around if one.name.startswith(BACKWARD)), None)
    region = regions.get(node.sequence) if node and node.sequence is not None else None if node else _region(around)
    direction = "backward" if node else "forward"
    return f"{region} {direction}" if region else ("other backward" if node else "other")


def _flop_by_operator(
    events: Sequence[Event], charges: Iterable[_Charge], flop: Mapping[str, Sequence[int]], steps: int
) -> dict[str, int] | None:
    """Charge the operations of each counted call to the operator in it that took most of its time, such as the
    implementation of a convolution. None if the trace lacks any of the counted calls."""
    spent: dict[Event, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for name, event, seconds, is_gap in charges:
        counted = next((one for one in event.around() if one.name in flop), None) if event and not is_gap else None
        if counted is not None:
            spent[counted][name] += seconds
    totals: dict[str, int] = defaultdict(int)
    for counted_name, counts in flop.items():
        calls = sorted((event for event in events if event.name == counted_name), key=lambda event: event.start_s)
        if len(calls) != len(counts) * steps:
            return None
        for number, call in enumerate(calls):
            takers = {name: seconds for name, seconds in spent[call].items() if name not in MOVES}
            if spent[call]:
                totals[max(takers, key=lambda name: takers[name], default=counted_name)] += counts[number % len(counts)]
    return totals
