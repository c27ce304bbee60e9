"""`gbench build`: the image, and nothing else."""

from __future__ import annotations

import os

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", default="pix2pix_resnet_9blocks")
@click.option("--image", metavar="CONT", help="Image name; a hash of its sources is added. Variable: CONT.")
@click.option("--dockerfile", metavar="DOCKERFILE", help="Dockerfile of the image. Variable: DOCKERFILE.")
@click.option("--from-image", metavar="IMAGE", help="Base image, in place of the Dockerfile's.")
@click.option("--rebuild", is_flag=True, help="Build it even when it is there, without cache.")
@click.option("--json", "as_json", is_flag=True, help="The image as one JSON object on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="No build log, only the result.")
def build(
    model: str,
    image: str | None,
    dockerfile: str | None,
    from_image: str | None,
    rebuild: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Build the image of MODEL if it is not there, and print its name.

    \b
    gbench build
    gbench build --from-image registry.example/pytorch@sha256:...
    """
    from gbench.cli.shared.output import Terminal, print_json
    from gbench.runners.docker import DockerRunner
    from gbench.runners.stopping import stoppable
    from gbench.settings.request import Request
    from gbench.settings.resolve import resolve

    request = Request(model, 1, 1, "FP32", from_image=from_image, image=image, dockerfile=dockerfile)
    runner = DockerRunner(resolve(request, os.environ).spec, rebuild)
    with stoppable(None):
        runner.prepare(Terminal(quiet).line)
        facts = runner.facts()
    if as_json:
        print_json(facts)
    else:
        click.echo(f"{facts['image']}  {facts['image_id']}")
