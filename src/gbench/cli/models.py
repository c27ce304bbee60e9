"""`gbench models`: the models that can be launched."""

import os
from pathlib import Path
from typing import Any

import click

from gbench.cli.shared.output import echo, or_dash, print_json
from gbench.cli.shared.run_options import json_option
from gbench.cli.shared.suggested import MODEL
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
    rows: dict[str, Any]
    if model is None:
        rows = values = {name: load_model(name, folder).description for name in model_names(folder)}
    else:
        of_recipe = load_model(model, folder).config(recipe)
        rows, values = of_recipe.settings, of_recipe.model_dump()
    if as_json:
        print_json(values)
        return
    column = max(map(len, rows), default=0) + 2
    for name, value in rows.items():
        echo(f"{name:<{column}}{or_dash(value)}")
