"""Find what this machine can't reproduce of a recorded run, before anything runs."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from gbench import __version__
from gbench.compare.differences import shown
from gbench.datasets.synth import DRAWING_VERSION, drawing_version
from gbench.errors import GbenchError
from gbench.experiments.recorded_spec import Recorded
from gbench.experiments.trust import is_projects
from gbench.machine import host, provenance
from gbench.machine.gpus import Gpus, visible
from gbench.machine.machine_key import machine_key
from gbench.runs.prepare import dataset_facts, locate_dataset
from gbench.settings.spec import RunSpec


@dataclass(frozen=True)
class Mismatch:
    """A known or possible difference between the record and this machine."""

    field: str
    then: str
    """In the record."""
    here: str
    refused: bool = False
    """Whether it makes the comparison meaningless, unless --allow names the field."""

    def __str__(self) -> str:
        return f"{self.field}: {self.then} in the record, {self.here} here"


def mismatches(recorded: Recorded, spec: RunSpec, gpus: Gpus) -> list[Mismatch]:
    """All known differences of the planned run (`spec`) except the image, refused ones first."""
    differences = [*_work(recorded, spec), *_device(recorded, spec, gpus), *_software(recorded, spec), *_end(recorded)]
    return sorted(differences, key=lambda one: not one.refused)


def _work(recorded: Recorded, spec: RunSpec) -> Iterator[Mismatch]:
    """The dataset and the run script."""
    then = recorded.extra("dataset_sha256")
    try:
        here = dataset_facts(locate_dataset(spec))[0].sha256
    except GbenchError as error:
        here = f"unavailable ({error.what})"
    if here is not None and here != then:
        here += _other_drawing(recorded)
    yield from _if_other("dataset_sha256", then, here, refused=True)
    script = provenance.file_sha256(Path(spec.run_model_file))
    own = spec.recipe == "custom" or not is_projects(Path(spec.run_model_file))
    yield from _if_other("run_script", recorded.extra("run_script_sha256"), script, refused=own)
    yield from _if_other("runner", recorded.spec.runner, spec.runner)


def _other_drawing(recorded: Recorded) -> str:
    """A note if this gbench would draw the synthetic dataset with different pixels; else an empty string."""
    needed = drawing_version(str(recorded.extra("dataset_source")))
    if needed in (None, DRAWING_VERSION):
        return ""
    return (
        f" (the record needs drawing {needed} of `gbench data synth`, this gbench draws {DRAWING_VERSION}: "
        "draw the dataset with the gbench version that made the record)"
    )


def _device(recorded: Recorded, spec: RunSpec, gpus: Gpus) -> Iterator[Mismatch]:
    """The hardware as the host reports it: a run script may name it differently."""
    hardware = recorded.record.hard_info.model_dump() if recorded.record.hard_info else {}
    shown_gpus = visible(gpus, spec.cuda_visible_devices)
    if spec.device == "cuda":
        names = ", ".join(sorted({gpu.name for gpu in shown_gpus.devices})) or f"none ({shown_gpus.missing})"
        yield from _if_other("device", ", ".join(sorted(hardware.get("dev") or {})) or None, names, refused=True)
        if spec.devices_per_node > len(shown_gpus.devices):
            yield Mismatch("device_count", str(spec.devices_per_node), str(len(shown_gpus.devices)))
    else:
        cpu, here = hardware.get("cpu"), host.cpu_facts()
        then = cpu if isinstance(cpu, dict) else {}
        yield from _if_other("device", then.get("name"), here["name"], refused=True)
        yield from _if_other("hardware threads", then.get("threads"), here["threads"])
    yield from _if_other("machine", recorded.extra("machine", "key"), machine_key())
    yield from _if_other("driver", recorded.extra("driver"), gpus.driver or "N/A")
    yield from _if_other("CUDA_VISIBLE_DEVICES", recorded.spec.cuda_visible_devices, spec.cuda_visible_devices)
    yield from _if_other("kernel", recorded.extra("kernel"), platform.release())
    yield from _if_other("operating system", hardware.get("name"), host.os_name())


def _software(recorded: Recorded, spec: RunSpec) -> Iterator[Mismatch]:
    """The code and, without an image that contains them, the versions of its dependencies."""
    here = provenance.git() or {}
    yield from _if_other("gbench's commit", recorded.extra("git", "commit"), here.get("commit") or "not from git")
    dirty = recorded.extra("git", "dirty"), here.get("dirty")
    if any(dirty):  # even if both are: the changes themselves are not recorded
        yield Mismatch("uncommitted changes", "some" if dirty[0] else "none", "some" if dirty[1] else "none")
    then = recorded.software
    yield from _if_other("gbench", then.get("gbench_version"), __version__)
    if spec.runner == "local":
        yield from _if_other("python", then.get("python_version"), platform.python_version())
        for name, package in (("pytorch", "torch"), ("torchvision", "torchvision")):
            version = then.get(f"{name}_version")  # only the loaded package knows its `+cu130`
            yield from _if_other(name, version and str(version).partition("+")[0], metadata.version(package))


def _end(recorded: Recorded) -> Iterator[Mismatch]:
    """Whether the run's end depended on the machine."""
    schedule, count = recorded.spec.config.schedule, (recorded.record.perf_data or {}).get("count")
    if schedule.until_ci is not None or schedule.max_time_s is not None:
        yield Mismatch("number of steps", shown(count), "whenever --until-ci or --max-time ends it")
    if isinstance(times := recorded.extra("resumed_utc"), list) and times:
        resumed = "once" if len(times) == 1 else f"{len(times)} times"
        yield Mismatch("attempts", f"resumed {resumed}", "one, without interruption")


def _if_other(field: str, then: Any, here: Any, refused: bool = False) -> Iterator[Mismatch]:
    """A mismatch if the record has a value and it differs."""
    if then is not None and then != here:
        yield Mismatch(field, shown(then), shown(here), refused)
