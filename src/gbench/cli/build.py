"""`gbench build`: build the image only."""

import os
from pathlib import Path
from typing import Any

import click

from gbench.cli.shared.output import echo
from gbench.cli.shared.run_options import NEW_FILE, json_option, option
from gbench.cli.shared.suggested import MODEL


@click.command()
@click.argument("model", type=MODEL, default="pix2pix_resnet_9blocks")
@option("image")
@option("dockerfile")
@option("from_image")
@click.option("--rebuild", is_flag=True, help="Build it even if it exists, without the build cache.")
@click.option("--sbom", type=NEW_FILE, help="Write what is in the image: CycloneDX.")
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Print the result only, no build log.")
def build(model: str, rebuild: bool, sbom: Path | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Build the image of MODEL if it does not exist, and print its name.

    \b
    gbench build
    gbench build --from-image registry.example/pytorch@sha256:...
    gbench build --sbom gbench.cdx.json
    """
    from gbench.base.files import write_atomically
    from gbench.cli.shared.output import Terminal, print_json
    from gbench.runners.docker import DockerRunner
    from gbench.runners.stopping import stoppable
    from gbench.settings.request import Request
    from gbench.settings.resolve import resolve

    runner = DockerRunner(resolve(Request(model, 1, 1, "FP32", **options), os.environ).spec, rebuild)
    with stoppable(None):
        runner.prepare(Terminal(quiet).line)
        facts = runner.facts()
        if sbom:
            write_atomically(sbom, runner.sbom())
    if as_json:
        print_json(facts)
    else:
        echo(f"{facts['image']}  {facts['image_id']}")
