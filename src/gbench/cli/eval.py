"""`gbench eval`: evaluate a checkpoint on the test split."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gbench.base.files import is_there
from gbench.base.paths import SPEC
from gbench.cli.shared.consent import require_trust, trust_option
from gbench.cli.shared.run_options import (
    COUNT,
    FILE,
    NATURAL,
    RUN_OR_FILE,
    bundle,
    command_line,
    dry_run_option,
    json_option,
    option,
    out_option,
    quiet_option,
    renamed,
    require_only,
)
from gbench.cli.shared.suggested import DEVICE, MODEL, PRECISION, RUNNER
from gbench.errors import UsageError

if TYPE_CHECKING:
    from gbench.settings.evaluation_spec import EvaluationRequest
    from gbench.settings.resolve import Resolved
    from gbench.settings.spec import RunSpec

OWN_VARIABLES = ("dataset", "datasets_dir", "image", "dockerfile", "config_dir")
OF_THE_SPEC = (*OWN_VARIABLES, "device", "runner", "precision", "seed", "from_image", "cuda_visible_devices", "rehash")


@click.command()
@bundle(
    [
        click.argument("source", type=RUN_OR_FILE, metavar="CHECKPOINT|RUN_DIR|IMAGES"),
        click.option("--best", is_flag=True, help="Use the run's generator with the lowest mean G_L1, not the newest."),
        click.option("--epoch", type=COUNT, help="Use the run's checkpoint of this epoch."),
        click.option("--model", type=MODEL, help="Model of a bare state_dict; `gbench models` lists them."),
        option("settings"),
        click.option(
            "--eval-mode", is_flag=True, help="Disable dropout and use running statistics (upstream's --eval)."
        ),
        renamed(
            *("--per-device-batch-size", "batch"),
            former=["--batch"],
            type=COUNT,
            default=1,
            help="Images at a time, per device; more than 1 requires --eval-mode.",
        ),
        click.option("--limit", type=COUNT, help="Only the first N images. Upstream's default: 50."),
        click.option("--seed", type=NATURAL, help="Seed of dropout. Default: the run's, else 0."),
        click.option("--device", type=DEVICE, help="cuda or cpu. Default: the run's, else cuda."),
        renamed(
            *("--device-count", "devices"),
            former=["--devices"],
            type=COUNT,
            default=1,
            help="Devices to share the images.",
        ),
        option("cuda_visible_devices"),
        click.option("--runner", type=RUNNER, help="docker, local or slurm. Default: the run's, else docker."),
        click.option("--precision", type=PRECISION, help="FP32, TF32, AMP or BF16. Default: the run's, else FP32."),
        click.option("--lpips-weights", type=FILE, help="torchvision's alexnet, vgg16 or squeezenet1_1, for LPIPS."),
        click.option("--fid-weights", type=FILE, help="torch-fidelity's Inception v3, for FID and KID."),
        out_option("New folder for the results. Default: in RUN_DIR, else as launch."),
        *(option(name, more="") for name in OWN_VARIABLES),
        option("rehash"),
        click.option("--from-image", metavar="IMAGE", help="Base image, in place of the Dockerfile's."),
        click.option("--rebuild", is_flag=True, help="Rebuild the image without the build cache."),
        trust_option,
        *(dry_run_option, json_option, quiet_option),
    ]
)
def eval(
    source: Path,
    best: bool,
    epoch: int | None,
    model: str | None,
    rebuild: bool,
    trust: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Run a trained generator on the test split: images, metrics per image and their means, and a gallery.

    It works like upstream's test.py: dropout is on, and batch norm uses each image's own statistics, unless --eval-mode
    is given. The source is a run folder (its newest checkpoint), a checkpoint of gbench, or upstream's
    latest_net_G.pth. Of a folder of generated images under upstream's names (N_fake_B.png, N_real_B.png), however they
    were made, it gives the metrics, and runs nothing.

    MAE, PSNR and SSIM are always computed; LPIPS, FID and KID only with weights that you provide. Nothing is
    downloaded.

    \b
    gbench eval results/20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c
    gbench eval results/20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c --best --eval-mode --per-device-batch-size 16
    gbench eval latest_net_G.pth --model pix2pix_resnet_9blocks --limit 50
    gbench eval epoch-0200.pt --device cpu --runner local --datasets-dir data --out evaluation
    gbench eval upstream/results/facades_pix2pix/test_latest/images --limit 50
    """
    if source.is_dir() and not is_there(source / SPEC):
        from gbench.pix2pix.image_metrics import holds_images

        if holds_images(source):
            _of_images(source, given["limit"], as_json)
            return
    from gbench.cli.shared.output import Terminal, evaluation_lines, print_json, print_lines
    from gbench.cli.shared.plan_output import show_plan
    from gbench.runs.evaluate import evaluate
    from gbench.settings.defaults import folder_of
    from gbench.settings.evaluation_spec import EvaluationRequest

    options = {name: value for name in OF_THE_SPEC if (value := given.pop(name)) is not None and value is not False}
    parent = folder_of("results_dir", os.environ)
    request = EvaluationRequest(source, parent=parent, options=options, command_line=command_line(), **given)
    resolved = _resolve(request, best, epoch, model)
    if dry_run:
        show_plan(resolved, rebuild, as_json)
        return
    require_trust(None if model else _why_ask(source, resolved.spec), [resolved.spec], trust)
    result, folder = evaluate(resolved.spec, os.environ, Terminal(quiet), rebuild)
    files = {"evaluation": "evaluation.json", "images": "images", "gallery": "gallery.html"}
    paths = {name: str(folder.path / file) for name, file in files.items()}
    if as_json:
        print_json({"evaluation": result.model_dump(), "paths": paths})
        return
    images = f"{result.dataset} {result.data.phase}, {len(result.images)} images"
    devices = f"{result.device_count} x {result.device}  {result.precision}"
    head = {result.model: f"  {result.trained}  {images}  {devices}", "mode": result.mode}
    print_lines([*head.items(), *evaluation_lines(result), *paths.items()])


def _of_images(folder: Path, limit: int | None, as_json: bool) -> None:
    """Print the metrics of images that somebody made."""
    from gbench.cli.shared.output import metric_text, print_json, print_lines
    from gbench.pix2pix.image_metrics import folder_metrics
    from gbench.runfolder.evaluation_result import METRICS, spread

    require_only({"source", "limit", "as_json", "quiet"}, f"{folder} holds images, so nothing is run")
    images = folder_metrics(folder)[:limit]
    means = {name: spread(image.metrics[name] for image in images) for name in images[0].metrics}
    if as_json:
        values = {"metrics": {name: one.model_dump() for name, one in means.items()}}
        print_json({**values, "images": [image.model_dump() for image in images]})
        return
    lines = [(name, metric_text(METRICS[name], one)) for name, one in means.items()]
    print_lines([("images", f"{folder}, {len(images)} of them"), *lines])


def _why_ask(source: Path, spec: "RunSpec") -> str | None:
    """Why the user must confirm what `spec`, the evaluation of a run or checkpoint, runs here; None if it is theirs."""
    from gbench.experiments.trust import runs_own_code
    from gbench.runfolder.folder import RunFolder
    from gbench.runfolder.own import is_own

    run = RunFolder(source if source.is_dir() else source.absolute().parent.parent)
    own = (source.is_dir() or source.absolute().parent == run.checkpoints) and run.has(SPEC)
    theirs = runs_own_code(spec) or (own and is_own(run.path, [run.spec()]))
    return None if theirs else f"{source} is not marked as made by you"


def _resolve(request: "EvaluationRequest", best: bool, epoch: int | None, model: str | None) -> "Resolved":
    """Find the checkpoint to evaluate, and the settings for it. Raises GbenchError."""
    from dataclasses import replace

    from gbench.runfolder.checkpoints import choose, spec_in
    from gbench.runfolder.folder import RunFolder
    from gbench.settings.evaluation_spec import of_model, of_run

    path = request.checkpoint
    if best and epoch is not None:
        raise UsageError("--best and --epoch contradict each other", "leave one of them out")
    if path.is_dir():
        if model is not None:
            raise UsageError("--model is for a bare checkpoint: a run knows its own", "leave it out")
        run = RunFolder(path)
        spec = run.spec()
        chosen, its_epoch = choose(run, best, epoch)
        request = replace(request, checkpoint=chosen, epoch=its_epoch, parent=path / "evaluations")
        return of_run(spec, request, os.environ)
    if best or epoch is not None:
        raise UsageError("--best and --epoch choose among a run's checkpoints", f"{path} is one: leave them out")
    if model is not None:
        return of_model(model, request, os.environ)
    around = RunFolder(path.absolute().parent.parent)
    if path.absolute().parent == around.checkpoints and around.has(SPEC):
        return of_run(around.spec(), replace(request, parent=around.path / "evaluations"), os.environ)
    own = spec_in(path)
    if own is None:
        raise UsageError(
            f"{path} does not say which model it is of",
            "name it with --model, e.g. --model pix2pix_resnet_9blocks, and what differs from its config with --set",
        )
    return of_run(own, request, os.environ)
