"""Rerun a recorded run, with this machine's paths in place of the recorded ones."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gbench.base.paths import expanded, project_file
from gbench.compare.differences import IMAGE, MACHINE, fields
from gbench.errors import GbenchError, UsageError
from gbench.experiments.can_reproduce import Mismatch, mismatches
from gbench.experiments.recorded_spec import Recorded
from gbench.experiments.trust import executed
from gbench.machine import provenance
from gbench.machine.gpus import find_gpus
from gbench.runfolder.folder import RunFolder
from gbench.settings.check_spec import check_spec
from gbench.settings.defaults import folder_of
from gbench.settings.request import VARIABLE_FIELDS
from gbench.settings.resolve import (
    RUNNERS,
    Resolved,
    absolute,
    all_from,
    cache_dir_of,
    new_run_id,
    one_of,
    visible_devices,
)
from gbench.settings.spec import RunSpec

RUN_SCRIPT, ENV = "run_script", "env"  # --allow accepts them, though they are no fields of a comparison


@dataclass(frozen=True)
class Redirect:
    """The command line's settings for this machine; None: not given."""

    datasets_dir: str | None = None
    cndb_dir: str | None = None
    run_model_file: str | None = None
    runner: str | None = None
    cuda_visible_devices: str | None = None
    results_dir: str | None = None
    logs_dir: str | None = None
    command_line: str = ""


@dataclass(frozen=True)
class Replay:
    """The planned run, and its known differences from the record."""

    recorded: Recorded
    spec: RunSpec
    mismatches: list[Mismatch]
    image_may_differ: bool
    """Whether the image may differ: in name only, if the recorded image runs by its id; or because of --rebuild."""

    @property
    def resolved(self) -> Resolved:
        """The spec, with the origin of each value: the record or this machine."""
        resolved, then = all_from(self.spec, "record"), self.recorded.spec
        here = [name for name in RunSpec.model_fields if getattr(self.spec, name) != getattr(then, name)]
        here += [variable for variable, field in VARIABLE_FIELDS.items() if field in here]
        return Resolved(self.spec, resolved.origins | dict.fromkeys(here, "this machine"))

    def refused(self, allowed: Collection[str]) -> list[Mismatch]:
        """Mismatches that would make the comparison meaningless."""
        return [one for one in self.mismatches if one.refused and one.field not in allowed]

    def comparable(self, allowed: Collection[str]) -> list[str]:
        """The fields in which the records may differ."""
        return [
            *(name for name in allowed if name not in (RUN_SCRIPT, ENV)),
            *([IMAGE] if self.image_may_differ else []),
            MACHINE,
        ]


def plan(
    recorded: Recorded, redirect: Redirect, environ: Mapping[str, str], rebuild: bool, allowed: Collection[str]
) -> Replay:
    """Plan the run, and find what this machine can't reproduce. Starts nothing.

    Raises UsageError: an unknown field in `allowed`, a missing run script, or an invalid value.
    """
    known = {*fields(recorded.record), "hyper_params", RUN_SCRIPT, ENV}
    if strange := [name for name in allowed if name not in known]:
        raise UsageError(f"--allow {strange[0]!r} is no field of the record", f"take of {', '.join(sorted(known))}")
    spec = _here(recorded, redirect, environ)
    gpus = find_gpus()
    others = mismatches(recorded, spec, gpus)
    if left_out := executed(recorded.spec.env):
        names = ", ".join(left_out)
        others.insert(0, Mismatch(ENV, names, "left out, as a shell or loader may execute it", refused=True))
    image: Mismatch | None = None
    if recorded.spec.runner != spec.runner:
        image = Mismatch(IMAGE, _image_name(recorded), f"runner {spec.runner}", refused=True)
    elif spec.runner == "docker" and rebuild:
        image = Mismatch(IMAGE, _image_name(recorded), "built from the present sources")
    elif spec.runner == "docker":
        here, why = _image_here(recorded)
        if here is not None:
            spec = spec.replaced(image=here, from_image=None)
        else:
            image = Mismatch(IMAGE, _image_name(recorded), why, refused=True)
    check_spec(spec)
    image_may_differ = spec.runner == "docker" and (rebuild or image is None)
    return Replay(recorded, spec, [*([image] if image else []), *others], image_may_differ)


def require_meaningful(replay: Replay, allowed: Collection[str]) -> None:
    """Raises UsageError: the comparison would be meaningless."""
    if refused := replay.refused(allowed):
        options = " ".join(f"--allow {one.field}" for one in refused)
        same_runner = replay.spec.runner == replay.recorded.spec.runner
        rebuild_helps = same_runner and any(one.field == IMAGE for one in refused)
        image = ", or --rebuild for an image of the present sources" if rebuild_helps else ""
        raise UsageError(
            f"the run would not be of the same thing as {replay.recorded.source}: {'; '.join(map(str, refused))}",
            f"if that is meant, give {options}{image}",
        )


def losses_said(then: RunFolder, here: RunFolder) -> str | None:
    """A sentence on the first step at which the losses of two runs differ, on rank 0; None if a run has no steps."""
    both = then.steps(0), here.steps(0)
    count = min(map(len, both))
    if not count:
        return None
    one, other = (steps[:count] for steps in both)
    if one.losses.keys() != other.losses.keys():
        return f"losses differ from step {one.step[0]} on"
    differ = np.zeros(count, dtype=bool)
    for name, values in one.losses.items():
        differ |= (values != other.losses[name]) & ~(np.isnan(values) & np.isnan(other.losses[name]))
    if differ.any():
        return f"losses differ from step {one.step[differ.argmax()]} on"
    return f"losses of {count} steps equal to the last digit"


def _here(recorded: Recorded, redirect: Redirect, environ: Mapping[str, str]) -> RunSpec:
    """The recorded spec with this machine's paths."""
    then = recorded.spec
    runner = one_of("--runner", redirect.runner, RUNNERS) if redirect.runner else then.runner
    its_data = then.datasets_dir if Path(then.datasets_dir).is_dir() else None
    there = Path(then.dockerfile).is_file(), Path(then.config_dir).is_dir()
    return then.replaced(
        run_id=new_run_id(then.model),
        runner=runner,
        database=None,
        datasets_dir=absolute(folder_of("datasets_dir", environ, redirect.datasets_dir, its_data)),
        dataset_subdir="",
        cndb_dir=absolute(folder_of("cndb_dir", environ, redirect.cndb_dir)),
        run_model_file=_run_script(recorded, redirect.run_model_file),
        dockerfile=then.dockerfile if there[0] else str(project_file("Dockerfile")),
        config_dir=then.config_dir if there[1] else str(project_file("configs")),
        results_dir=str(folder_of("results_dir", environ, redirect.results_dir)),
        logs_dir=str(folder_of("logs_dir", environ, redirect.logs_dir)),
        cache_dir=cache_dir_of(None, environ)[0],
        command_line=redirect.command_line,
        cuda_visible_devices=redirect.cuda_visible_devices or visible_devices(then.device, environ),
        env={name: value for name, value in then.env.items() if name not in executed(then.env)},
    )


def _run_script(recorded: Recorded, given: str | None) -> str:
    """The given run script; else the recorded one or the project's of that name, an unchanged one first."""
    then, sha256 = Path(recorded.spec.run_model_file), recorded.extra("run_script_sha256")
    own = project_file(f"scripts/{then.name}")
    places = [expanded(given).resolve()] if given else [path for path in (then, own) if path.is_file()]
    if not places:
        raise UsageError(f"the run script {then} is not here", "give it with --run-model-file")
    return str(next((path for path in places if provenance.file_sha256(path) == sha256), places[0]))


def _image_here(recorded: Recorded) -> tuple[str | None, str]:
    """The id of the recorded image if it is on this machine, and an empty string; else None and why not."""
    from gbench.runners.engine import connect
    from gbench.runners.image import find_image

    info = recorded.software
    names = [name for name in (info.get("image_id"), *(info.get("image_digests") or [])) if isinstance(name, str)]
    if not names:
        return None, "which one is not known: the record holds no id of it"
    try:
        client = connect()
        image = next((image for name in names if (image := find_image(client, name)) is not None), None)
    except GbenchError as error:
        return None, f"not known ({error.what})"
    pull = f"; docker pull {names[1]} may fetch it" if len(names) > 1 else ""
    return (str(image.id), "") if image is not None else (None, f"not on this machine{pull}")


def _image_name(recorded: Recorded) -> str:
    parts = (recorded.software.get("name"), recorded.software.get("image_id"))
    return " ".join(str(part) for part in parts if part) or "not said"
