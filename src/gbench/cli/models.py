"""`gbench models`: the models that can be launched."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gbench.cli.shared.output import or_dash, print_json
from gbench.cli.shared.run_options import json_option
from gbench.cli.shared.suggested import MODEL
from gbench.errors import printable
from gbench.settings.literals import Recipe


@click.command()
@click.argument("model", required=False, type=MODEL)
@click.option("--config", metavar="CONFIG", help="Folder of the MODEL.yaml files. Variable: CONFIG.")
@click.option(
    "--recipe", type=click.Choice(["performance", "convergence"]), default="performance", help="Schedule to show."
)
@json_option
def models(model: str | None, config: str | None, recipe: Recipe, as_json: bool) -> None:
    """List the models; with MODEL, list its values by the KEY that `launch --set` takes.

    To add a variant, add a YAML file to the config folder.

    \b
    gbench models
    gbench models pix2pix_unet_256 --recipe convergence
    """
    from gbench.settings.model_file import load_model, model_names
    from gbench.settings.resolve import default_config_dir

    folder = Path(config) if config else default_config_dir(os.environ)
    if model is None:
        listed = {name: load_model(name, folder).description for name in model_names(folder)}
        if as_json:
            print_json(listed)
        else:
            column = max(map(len, listed), default=0) + 2
            for name, description in listed.items():
                click.echo(printable(f"{name:<{column}}{description}"))
        return
    values = load_model(model, folder).config(recipe)
    if as_json:
        print_json(values.model_dump())
        return
    column = max(map(len, values.settings)) + 2
    for name, value in values.settings.items():
        click.echo(printable(f"{name:<{column}}{or_dash(value)}"))
