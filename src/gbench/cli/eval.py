"""`gbench eval`: a checkpoint on the test split."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gbench.cli.shared.run_options import bundle, option, show_plan
from gbench.errors import InfrastructureError, UsageError

if TYPE_CHECKING:
    from gbench.runs.evaluate import FinishedEvaluation
    from gbench.settings.evaluation_spec import EvaluationRequest
    from gbench.settings.resolve import Resolved

OWN_VARIABLES = ("dataset", "datasets_dir", "image", "dockerfile", "config_dir")
FILE = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@bundle(
    [
        click.argument("source", type=FILE, metavar="CHECKPOINT|RUN_DIR"),
        click.option("--best", is_flag=True, help="The run's generator of the lowest mean G_L1, not its newest."),
        click.option("--epoch", type=click.IntRange(min=1), help="The run's checkpoint of this epoch."),
        click.option("--model", help="Model of a bare state_dict: pix2pix_resnet_9blocks; `gbench models` lists them."),
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A value of its config: network.ngf=16."
        ),
        click.option("--eval-mode", is_flag=True, help="Dropout off and running statistics (upstream's --eval)."),
        click.option(
            "--batch", type=click.IntRange(min=1), default=1, show_default=True, help="A device; above 1: --eval-mode."
        ),
        click.option("--limit", type=click.IntRange(min=1), help="Only the first N images. Upstream's default: 50."),
        click.option("--seed", type=click.IntRange(min=0), help="Of dropout. Default: the run's, else 0."),
        click.option("--device", help="cuda or cpu. Default: the run's, else cuda."),
        click.option("--devices", type=click.IntRange(min=1), default=1, show_default=True, help="Share the images."),
        click.option("--runner", help="docker or local. Default: the run's, else docker."),
        click.option("--precision", help="FP32, TF32, AMP or BF16. Default: the run's, else FP32."),
        click.option("--lpips-weights", type=FILE, help="torchvision's alexnet, vgg16 or squeezenet1_1, for LPIPS."),
        click.option("--fid-weights", type=FILE, help="torch-fidelity's Inception v3, for FID and KID."),
        click.option("--out", type=FILE, help="New folder for the results. Default: in RUN_DIR, else in results/."),
        *(option(name, more="") for name in OWN_VARIABLES),
        click.option("--from-image", metavar="IMAGE", help="Base image, in place of the Dockerfile's."),
        click.option("--rebuild", is_flag=True, help="Build the image anew, without cache."),
        click.option(
            "--dry-run", is_flag=True, help="Print what would run, with the origin of each value; start nothing."
        ),
        click.option("--json", "as_json", is_flag=True, help="The result as one JSON object on stdout."),
        click.option("-q", "--quiet", is_flag=True, help="No progress, only the result."),
    ]
)
def eval(source: Path, best: bool, epoch: int | None, model: str | None, **given: Any) -> None:
    """Put the test split through a trained generator: images, metrics of each and their mean, and a gallery.

    As upstream's test.py does it: dropout on and batch norm by the statistics of each image, unless --eval-mode says
    otherwise. The source is a run folder (its newest checkpoint), one of gbench's checkpoints, or upstream's
    latest_net_G.pth. MAE, PSNR and SSIM always; LPIPS, FID and KID from weights that you have. Nothing is downloaded.

    \b
    gbench eval results/20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c
    gbench eval results/20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c --best --eval-mode --batch 16
    gbench eval latest_net_G.pth --model pix2pix_resnet_9blocks --limit 50
    gbench eval epoch-0200.pt --device cpu --runner local --datasets-dir data --out evaluation
    """
    from gbench.cli.shared.output import print_json
    from gbench.cli.shared.progress_bar import Bar
    from gbench.runs.evaluate import evaluate
    from gbench.settings.evaluation_spec import EvaluationRequest

    rebuild, dry_run, as_json, quiet = (given.pop(name) for name in ("rebuild", "dry_run", "as_json", "quiet"))
    options = {name: given.pop(name) for name in OWN_VARIABLES}
    for name in ("lpips_weights", "fid_weights"):
        if given[name] is not None and not given[name].is_file():
            raise UsageError(
                f"--{name.replace('_', '-')} {given[name]} is not a file", "fix the path; see docs/evaluation.md"
            )
    request = EvaluationRequest(
        source,
        options={name: value for name, value in options.items() if value is not None},
        command_line=shlex.join(["gbench", *sys.argv[1:]]),
        **given,
    )
    resolved = _resolve(request, best, epoch, model)
    if dry_run:
        show_plan(resolved, rebuild, as_json)
        return
    done = evaluate(resolved.spec, os.environ, Bar(quiet), rebuild)
    if as_json:
        print_json({"evaluation": done.evaluation.model_dump(), "paths": _paths(done)})
        return
    for name, text in _lines(done):
        click.echo(f"{name:<14}{text}")


def _resolve(request: EvaluationRequest, best: bool, epoch: int | None, model: str | None) -> Resolved:
    """Which checkpoint is meant, and by whose settings. Raises GbenchError."""
    from dataclasses import replace

    from gbench.runfolder.checkpoints import choose, spec_in
    from gbench.runfolder.folder import RunFolder
    from gbench.settings.evaluation_spec import of_model, of_run

    path = request.checkpoint
    if not path.exists():
        raise InfrastructureError(f"{path} is not there", "give a run folder or a checkpoint")
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
    if path.absolute().parent == around.checkpoints and (around.path / "spec.json").exists():
        return of_run(around.spec(), replace(request, parent=around.path / "evaluations"), os.environ)
    own = spec_in(path)
    if own is None:
        raise UsageError(
            f"{path} does not say which model it is of",
            "name it with --model, e.g. --model pix2pix_resnet_9blocks, and what differs from its config with --set",
        )
    return of_run(own, request, os.environ)


def _paths(done: FinishedEvaluation) -> dict[str, str]:
    folder = done.folder.path
    return {
        "evaluation": str(folder / "evaluation.json"),
        "images": str(folder / "images"),
        "gallery": str(done.gallery),
    }


def _lines(done: FinishedEvaluation) -> list[tuple[str, str]]:
    """The result for a person."""
    from gbench.cli.shared.output import evaluation_lines

    found = done.evaluation
    head = f"{found.dataset} {found.data.phase}, {len(found.images)} images  {found.device_count} x {found.device}  "
    return [
        (found.model, f"  {found.trained}  {head}{found.precision}"),
        ("mode", found.mode),
        *evaluation_lines(found),
        *_paths(done).items(),
    ]
