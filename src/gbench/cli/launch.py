"""`gbench launch`: launch.sh's command line, with more options."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gbench.cli.shared.consent import require_own, trust_option
from gbench.cli.shared.output import echo
from gbench.cli.shared.run_options import (
    COUNT,
    ExistingRun,
    WithClusters,
    cluster_options,
    measure_options,
    node_options,
    of_spec_file,
    require_arguments,
    require_detachable,
    require_only,
    resolved_of,
    run_arguments,
    run_options,
    stated,
)
from gbench.errors import UsageError

if TYPE_CHECKING:
    from gbench.cli.shared.output import Terminal
    from gbench.measure.spread import Repeats
    from gbench.runs.finish import FinishedRun
    from gbench.runs.several_hosts import PartOfRun
    from gbench.settings.resolve import Resolved
    from gbench.settings.spec import RunSpec

NOT_IN_A_FILE = {"model", "repeats", "allowed", "rebuild", "dry_run", "as_json", "quiet", "detach"}
# The run of --smoke, and the phases and the side in pixels of the dataset that is drawn for it
SMOKE_VALUES: dict[str, Any] = {
    "model": "pix2pix_resnet_9blocks",
    "batch_size": 4,
    "device_count": 1,
    "precision": "FP32",
    "device": "cpu",
    "runner": "local",
    "steps": 20,
    "warmup": 5,
    "dataset": "synthetic",
}
SMOKE_SETTINGS = (
    *("data.load_size=72", "data.crop_size=64", "data.workers=0", "network.ngf=8", "network.ndf=8"),
    *("schedule.print_every=1", "measure.peak_seconds=0.2"),
)
SMOKE_COUNTS, SMOKE_SIZE = {"train": 16, "val": 2, "test": 4}, 72


@click.command(cls=WithClusters)
@run_arguments
@measure_options
@click.option("--repeats", type=COUNT, default=1, help="Number of separate runs, each with a record.")
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    metavar="FIELD",
    help="Let nodes differ in FIELD: device, image, torch, gbench, dataset_sha256 or run_script_sha256. Repeatable.",
)
@click.option("--smoke", is_flag=True, help="Run a tiny training on this CPU, without Docker or a dataset.")
@node_options
@run_options()
@cluster_options
@click.option(
    "--attach", "attach_dir", type=ExistingRun("folder", starting=True), help="Take up the job of this run folder."
)
@trust_option
def launch(
    smoke: bool,
    repeats: int,
    allowed: tuple[str, ...],
    rebuild: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    detach: bool,
    attach_dir: Path | None,
    trust: bool,
    **given: Any,
) -> None:
    """Run MODEL once and write its CNDB record.

    BATCH_SIZE is the total over all DEVICE_COUNT devices. PRECISION is FP32, TF32, AMP or BF16. DATABASE is false
    (upload nothing), gpu-performance, gpu-convergency, gpu-demo, or a config file; if the database is down, the exit
    code is 5, and the record waits for `gbench cndb submit --pending`. IGNORE_CHECK is false or ignore_check. The
    first four have no default. MODEL pix2pix is the original's name of pix2pix_resnet_9blocks. A
    spec file, as for `gbench ab`, may replace all arguments. An option overrides its variable, the variable gbench.yaml
    (docs/defaults.md), and that configs/MODEL.yaml.

    \b
    gbench launch --smoke
    gbench launch pix2pix_resnet_9blocks 32 8 FP32
    gbench launch run.yaml
    gbench launch pix2pix_resnet_9blocks 32 8 TF32 --datasets-dir /data --timeout 20m
    gbench launch pix2pix_resnet_9blocks 4 2 FP32 --device cpu --runner local --steps 20 --warmup 5 \\
        --set data.load_size=72 --set data.crop_size=64
    gbench launch pix2pix_unet_256 16 1 BF16 --dry-run
    gbench launch pix2pix_resnet_9blocks 32 8 FP32 --runner slurm --partition gpu --time 30 --detach
    gbench launch --attach latest
    gbench launch pix2pix_resnet_9blocks 32 8 FP32 --runner kubernetes --image REGISTRY/gbench:1 --claim datasets
    gbench launch pix2pix_resnet_9blocks 32 8 FP32 gpu-performance
    """
    from gbench.cli.shared.output import Terminal, print_detached
    from gbench.cli.shared.plan_output import show_plan
    from gbench.preflight.busy import look_ahead

    if attach_dir is not None:
        _attach(attach_dir, trust, as_json, quiet)
        return
    if not dry_run:
        look_ahead()  # while the rest is loaded
    from gbench.settings.resolve import new_run_id

    if (given["model"] or "").endswith((".yaml", ".yml")):
        resolved = of_spec_file(given["model"], NOT_IN_A_FILE, os.environ)
    elif smoke:
        resolved = _smoke(given, dry_run)
    else:
        require_arguments(given)
        resolved = resolved_of(given, os.environ)
    if dry_run:
        show_plan(resolved, rebuild, as_json, seeds=[resolved.spec.seed] * repeats if repeats > 1 else ())
        return
    _require_node_options(resolved.spec.nodes, allowed)
    if detach:
        from gbench.runs.launch import detach as submit

        require_detachable(resolved.spec, repeats)
        print_detached(*submit(resolved.spec, os.environ, Terminal(quiet)), as_json)
        return
    done = []
    for number in range(repeats):
        spec = resolved.spec.model_copy(update={"run_id": new_run_id(resolved.spec.model)})
        done.append(_run(spec, Terminal(quiet), rebuild and number == 0, allowed))
        if not as_json:
            _print(done[-1])
    _print_together(done, as_json, resolved.spec.batch_size)


def _require_node_options(nodes: int, allowed: tuple[str, ...]) -> None:
    """Raises UsageError: an option of several nodes has no effect, or --allow names no field."""
    given = {"--allow": allowed, "--rdzv-timeout": "rdzv_timeout_s" in stated()}
    for option in (name for name, value in given.items() if value and nodes == 1):
        raise UsageError(f"{option} has no effect on one node", "leave it out, or give --nodes")
    if allowed:
        from gbench.runs.node_differences import require_fields_of_nodes

        require_fields_of_nodes(allowed)


def _attach(run_dir: Path, trust: bool, as_json: bool, quiet: bool) -> None:
    """Follow the job of a run folder to its end, and print the run. Raises GbenchError: as `attach` of a run."""
    from gbench.cli.shared.output import Terminal
    from gbench.runfolder.folder import RunFolder
    from gbench.runs.launch import attach, require_attachable

    require_only({"attach_dir", "trust", "as_json", "quiet"}, "--attach takes all from its run folder")
    spec = require_attachable(RunFolder(run_dir))
    require_own(run_dir, [spec], trust)
    finished = attach(run_dir, os.environ, Terminal(quiet))
    if not as_json:
        _print(finished)
    _print_together([finished], as_json, spec.batch_size)


def _run(spec: "RunSpec", terminal: "Terminal", rebuild: bool, allowed: tuple[str, ...]) -> "FinishedRun | PartOfRun":
    if spec.nodes > 1 and not spec.on_cluster:
        from gbench.runs.several_hosts import launch_on_nodes

        return launch_on_nodes(spec, os.environ, terminal, rebuild, allowed)
    from gbench.runs.launch import launch

    if spec.cluster is not None:
        spec = spec.replaced(**{spec.runner: spec.cluster.model_copy(update={"allow": allowed})})
    return launch(spec, os.environ, terminal, rebuild)


def _print(done: "FinishedRun | PartOfRun") -> None:
    from gbench.cli.shared.output import print_finished, print_lines
    from gbench.runs.finish import FinishedRun

    if isinstance(done, FinishedRun):
        print_finished(done)
    else:
        print_lines(done.lines.items())


def _print_together(done: "list[FinishedRun | PartOfRun]", as_json: bool, images: int) -> None:
    """What all repeats have in common; with as_json all of them. images: per step."""
    from gbench.cli.shared.output import finished_json, print_json, report_not_stored
    from gbench.runs.finish import FinishedRun, repeats_of

    finished = [one for one in done if isinstance(one, FinishedRun)]
    together = repeats_of(finished) if len(finished) > 1 else None
    if as_json:
        runs = [finished_json(one) if isinstance(one, FinishedRun) else one.lines for one in done]
        print_json({"runs": runs, "repeats": together and asdict(together)} if len(done) > 1 else runs[0])
    elif together is not None:
        echo(_repeats_line(together, images))
    report_not_stored([one.not_stored for one in finished])


def _smoke(given: dict[str, Any], dry_run: bool) -> "Resolved":
    """The spec of --smoke: its values where the command line states none. Draws its dataset, unless dry_run."""
    from gbench.datasets.synth import synth
    from gbench.settings.resolve import cache_dir_of

    folder = Path(cache_dir_of(given["cache_dir"], os.environ)[0]) / "smoke"
    own = {name: value for name, value in (SMOKE_VALUES | {"datasets_dir": folder}).items() if name not in stated()}
    if not dry_run and {"dataset", "datasets_dir"} <= own.keys():
        synth(folder / own["dataset"], SMOKE_COUNTS, SMOKE_SIZE)
    values = {**given, **own, "settings": (*SMOKE_SETTINGS, *given["settings"])}
    return resolved_of(values, os.environ, more=own)


def _repeats_line(repeats: "Repeats", images: int) -> str:
    """Mean throughput of repeated runs, and its variation, from their step times. images: per step."""
    assert repeats.between_variance is not None and repeats.low is not None and repeats.high is not None
    between, within = (value**0.5 / repeats.mean for value in (repeats.between_variance, repeats.within_variance))
    return (
        f"{repeats.runs} runs: {images / repeats.mean:.4g} img/s, 95 % interval {images / repeats.high:.4g} to "
        f"{images / max(repeats.low, 1e-9):.4g}; standard deviation between runs {between:.2%}, of steps within a run "
        f"{within:.2%}"
    )
