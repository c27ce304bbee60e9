"""The smoke test of a run's GPUs, in its image: run it, and remember a pass.

A pass holds for some of its GPUs too, as long as the driver and the image, or locally torch, stay the same.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Literal

from gbench.base.files import make_folder, read_file, write_atomically
from gbench.base.paths import project_file
from gbench.base.utc import utc_now
from gbench.errors import GbenchError, InfrastructureError, RunFailed, UsageError
from gbench.machine.gpus import Gpus, visible, with_full_uuids
from gbench.preflight.rule import CheckedRun, Finding
from gbench.preflight.smoke_rules import RUN
from gbench.preflight.smoke_verdict import smoke_verdict
from gbench.runfolder.error_file import read_error
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.gpu_findings import NAME, GpuFindings
from gbench.runfolder.log import RunLog
from gbench.runfolder.typed_json import to_json
from gbench.runners.plan import Runner
from gbench.runners.stopping import stoppable
from gbench.runs.prepare import make_runner
from gbench.settings.model_config import Frozen, SpeedConfig
from gbench.settings.spec import RunSpec

SCRIPT, PASSES = "scripts/pt-gpu-smoke.sh", "gpu-smoke"  # PASSES: in the cache folder, and in a run folder
LIMIT_S = 300.0
KILLED = re.compile(r"rank (\d{1,9}) \(process \d+\) (ended by signal \w+)")  # as start_ranks says it
Say = Callable[[str], None]
Smoke = dict[str, Finding]


class PassedSmoke(Frozen):
    """A file in `gpu-smoke/` of the cache folder: GPUs that passed together."""

    version: Literal[1] = 1
    gpus: tuple[str, ...]
    """Their UUIDs."""
    driver: str | None
    software: str
    """The image's id or, locally, torch's version."""
    utc: str
    warnings: dict[str, str]
    """What was found besides, by part."""


def smoke_of_run(spec: RunSpec, gpus: Gpus, runner: Runner, home: Path, say: Say) -> Smoke:
    """Test a run's GPUs, below its folder `home`, unless they have passed or the run takes no test.

    runner: the run's own, prepared. Raises GbenchError: as `run_smoke`.
    """
    if spec.ignore_check or spec.recipe == "custom":
        why = "ignore_check" if spec.ignore_check else "the run script is the user's own"
        return {RUN: Finding("info", f"not done: {why}")}
    now = _pass_now(spec, gpus, runner, {})
    for _, one in _passes(spec, now):
        if set(now.gpus) <= set(one.gpus):
            warnings = {part: Finding("warning", found) for part, found in one.warnings.items()}
            return {RUN: Finding("ok", f"passed on {one.utc} with driver {one.driver} and {one.software}"), **warnings}
    say("testing the GPUs, which have not passed with this driver and this software")
    smoke = _spec_of_smoke(spec, home / PASSES)
    return run_smoke(smoke, gpus, runner.with_spec(smoke), say)


def smoke_of_machine(run: CheckedRun, gpus: Gpus, environ: Mapping[str, str], say: Say) -> Smoke:
    """Test all visible GPUs, even if they have passed. Raises Interrupted: the user has stopped it."""
    if run.spec is None:
        return {RUN: Finding("error", "not done: a variable is not valid")}
    shown = visible(gpus, run.spec.cuda_visible_devices)
    if shown.missing:
        return {RUN: Finding("error", f"it needs a GPU, and none was found ({shown.missing})")}
    count = len(shown.devices)
    spec = with_full_uuids(run.spec.replaced(device_count=count, batch_size=count), gpus)
    home = Path(spec.cache_dir) / PASSES
    try:
        make_folder(home)
        spec = _spec_of_smoke(spec, home)
        runner = make_runner(spec, environ, rebuild=False)
        runner.prepare(say)
        return run_smoke(spec, gpus, runner, say)
    except (InfrastructureError, UsageError) as error:
        return {RUN: Finding("error", error.what, error.hint)}


def run_smoke(spec: RunSpec, gpus: Gpus, runner: Runner, say: Say) -> Smoke:
    """Run a smoke test in its prepared runner: its findings by part.

    Remembers a pass. After a failure no pass of its GPUs holds, and its folder is kept.

    Raises GbenchError: the folder can't be written, the container can't be started, or the user has stopped it.
    """
    used = visible(gpus, spec.cuda_visible_devices).devices[: spec.devices_per_node]
    shutil.rmtree(spec.run_dir, ignore_errors=True)  # of an earlier attempt at this run
    folder, killed, begins = RunFolder.create(spec), dict[int, str](), True
    with RunLog([folder.log], lambda _: None) as log:

        def on_line(text: str) -> None:
            log.line(text)
            killed.update({int(match[1]): match[2] for match in KILLED.finditer(text)})

        try:
            with stoppable(LIMIT_S):
                code = runner.run(folder.path, on_line).exit_code
            error = read_error(folder)
            ended = error.what if error else log.reason or f"exit code {code}"
            begins = error is not None or bool(killed)
        except RunFailed:
            ended = f"no end after {LIMIT_S:.0f} s"
    ranks = [folder.read_as(NAME.format(rank), GpuFindings, "repeat the test") for rank in range(len(used))]
    smoke = smoke_verdict(used, ranks, ended, killed, begins)
    now = _pass_now(spec, gpus, runner, smoke)
    if RUN not in smoke or smoke[RUN].severity != "ok":
        say(f"the log of the smoke test is {folder.log}")
        for path, one in _passes(spec, now):
            if set(now.gpus) & set(one.gpus):
                path.unlink(missing_ok=True)
        return smoke
    shutil.rmtree(folder.path, ignore_errors=True)
    with suppress(OSError):  # not empty: the cache folder's
        folder.path.parent.rmdir()
    try:
        _remember(spec, now)
    except GbenchError as why:
        say(f"warning: the next launch tests the GPUs again: {why.what}")
    return smoke


def _spec_of_smoke(spec: RunSpec, home: Path) -> RunSpec:
    """The spec of a smoke test in a folder of `home`: the run's devices and image, without its data and switches."""
    return spec.replaced(
        run_id=f"{spec.run_id}-smoke",
        device_count=spec.devices_per_node,
        nodes=1,
        run_model_file=str(project_file(SCRIPT)),
        results_dir=str(home),
        datasets_dir=str(home),
        dataset_subdir="",
        config={"speed": SpeedConfig(), "data": {"source": "real"}},
    )


def _pass_now(spec: RunSpec, gpus: Gpus, runner: Runner, smoke: Smoke) -> PassedSmoke:
    """A pass, if `smoke` is one. Valid after `runner.prepare`."""
    used = visible(gpus, spec.cuda_visible_devices).devices[: spec.devices_per_node]
    software = runner.facts().get("image_id") or f"torch {metadata.version('torch')}"
    return PassedSmoke(
        gpus=tuple(gpu.uuid for gpu in used),
        driver=gpus.driver,
        software=software,
        utc=utc_now(),
        warnings={part: one.found for part, one in smoke.items() if one.severity == "warning"},
    )


def _passes(spec: RunSpec, now: PassedSmoke) -> Iterator[tuple[Path, PassedSmoke]]:
    """The passes with the present driver and software, with their files."""
    for path in (Path(spec.cache_dir) / PASSES).glob("*.json"):
        with suppress(OSError, ValueError):  # broken, so not remembered
            one = PassedSmoke.model_validate_json(read_file(path))
            if (one.driver, one.software) == (now.driver, now.software):
                yield path, one


def _remember(spec: RunSpec, passed: PassedSmoke) -> None:
    """Raises InfrastructureError: it can't be written."""
    key = repr((passed.gpus, passed.driver, passed.software))
    folder = Path(spec.cache_dir) / PASSES
    make_folder(folder)
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:12]}.json"
    write_atomically(path, to_json(passed.model_dump()))
