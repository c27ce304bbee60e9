"""What the speeds of a run go with: waits, clocks, temperature. A pure function of its steps and samples."""

from collections.abc import Iterator, Sequence

import numpy as np

from gbench.measure.telemetry.sample_columns import Floats, Readings, Samples
from gbench.runfolder.run_result import Speed
from gbench.runfolder.step_columns import Steps

CLEAR = 0.7  # correlation with the speed from which a quantity is named
WAITS = 0.25  # share of the difference between the speeds that a wait must make up
SHOWN = 2
# field of a sample -> its title and unit, and the smallest difference that counts: a share of the value, or an absolute
GPU = {
    "sm_mhz": ("clock", "MHz", 0.01, 0.0),
    "memory_mhz": ("memory clock", "MHz", 0.01, 0.0),
    "temperature_c": ("temperature", "°C", 0.0, 2.0),
}
HOST = {
    "cpu_mhz": ("CPU clock", "MHz", 0.01, 0.0),
    "steal_percent": ("CPU time taken by other virtual machines", "%", 0.0, 1.0),
}


def speeds_go_with(steps: Steps, samples: Samples, speeds: Sequence[Speed]) -> str:
    """In words what was different in the slow steps: the clearest first.

    steps: as the rank had them that was waited for. speeds: two of them at least.
    """
    levels = [speed.step_s for speed in speeds]
    slow = steps.step_s > np.sqrt(min(levels) * max(levels))
    if slow.all() or not slow.any():
        return "nothing in the measured steps"
    found = []
    for title, unit, values, least in _quantities(steps, samples, max(levels) - min(levels)):
        fast_mean, slow_mean = float(values[~slow].mean()), float(values[slow].mean())
        if abs(slow_mean - fast_mean) < max(least, 1e-12):
            continue
        clear = abs(float(np.corrcoef(slow, values)[0, 1]))
        if clear >= CLEAR:
            found.append((clear, f"the {title} ({fast_mean:.4g} {unit} in fast steps, {slow_mean:.4g} in slow ones)"))
    found.sort(key=lambda one: -one[0])
    return " and ".join(text for _, text in found[:SHOWN]) or "nothing that was measured"


def _quantities(steps: Steps, samples: Samples, apart_s: float) -> Iterator[tuple[str, str, Floats, float]]:
    """Title, unit, value in each step, and the smallest difference that counts."""
    yield "data wait", "s", steps.data_s, WAITS * apart_s
    yield "time between steps", "s", steps.between_s, WAITS * apart_s
    devices = [(HOST, "", samples.host)] if len(samples) else []
    devices += [
        (GPU, f"GPU {number} " if len(samples.gpus) > 1 else "GPU ", gpu) for number, gpu in enumerate(samples.gpus)
    ]
    for fields, of, device in devices:
        for name, (title, unit, share, least) in fields.items():
            if name in device and len(device[name].places) > 1:
                values = _in_steps(steps, samples, device[name])
                yield of + title, unit, values, max(least, share * float(values.mean()))


def _in_steps(steps: Steps, samples: Samples, readings: Readings) -> Floats:
    """A reading in the middle of each step."""
    middles = steps.end_s - steps.step_s / 2
    values: Floats = np.interp(middles, samples.t_s[readings.places], readings.values.astype(float))
    return values
