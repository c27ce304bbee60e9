"""What `gbench calibrate` has measured on this machine."""

from pathlib import Path

from gbench.errors import InfrastructureError
from gbench.machine.calibration import Calibration, calibrations
from gbench.machine.machine_key import machine_key
from gbench.preflight.rule import Context, Finding

SHOWN_RUNS = 5


def calibration(context: Context) -> Finding:
    own, found = machine_key(), list[str]()
    for one in calibrations(Path(context.spec.cache_dir)):
        if isinstance(one, InfrastructureError):
            found.append(str(one))
        elif own is not None and one.key.get("machine") == own:
            found.append(_described(one))
    return Finding("info", ". ".join(found) or "none: gbench calibrate measures how much runs vary here")


def _described(one: Calibration) -> str:
    text = f"{one.title}: runs vary by {100 * one.run_sd:.2g} %"
    rates = next((rates for rates in one.compare if rates.runs == SHOWN_RUNS), None)
    return f"{text}; {rates}" if rates else text
