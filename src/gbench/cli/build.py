"""`gbench build`: build the image only."""

import os
from typing import Any

import click

from gbench.cli.shared.run_options import json_option, option
from gbench.cli.shared.suggested import MODEL


@click.command()
@click.argument("model", type=MODEL, default="pix2pix_resnet_9blocks")
@option("image")
@option("dockerfile")
@option("from_image")
@click.option("--rebuild", is_flag=True, help="Build it even if it exists, without the build cache.")
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Print the result only, no build log.")
def build(model: str, rebuild: bool, as_json: bool, quiet: bool, **options: Any) -> None:
    """Build the image of MODEL if it does not exist, and print its name.

    \b
    gbench build
    gbench build --from-image registry.example/pytorch@sha256:...
    """
    from gbench.cli.shared.output import Terminal, print_json
    from gbench.runners.docker import DockerRunner
    from gbench.runners.stopping import stoppable
    from gbench.settings.request import Request
    from gbench.settings.resolve import resolve

    runner = DockerRunner(resolve(Request(model, 1, 1, "FP32", **options), os.environ).spec, rebuild)
    with stoppable(None):
        runner.prepare(Terminal(quiet).line)
        facts = runner.facts()
    if as_json:
        print_json(facts)
    else:
        click.echo(f"{facts['image']}  {facts['image_id']}")
