"""What --dry-run prints."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gbench.cli.shared.output import echo, or_dash, print_json
from gbench.settings.nccl import NCCL_ORIGIN
from gbench.settings.request import VARIABLE_FIELDS

KEY = 31  # columns: the longest key and two spaces

if TYPE_CHECKING:
    from gbench.follow.follower import Views
    from gbench.settings.resolve import Resolved


def show_plan(
    resolved: "Resolved",
    rebuild: bool,
    as_json: bool,
    views: "Views | None" = None,
    seeds: Sequence[int] = (),
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print every value with its origin, the run's bounds, and the exact request; of several runs, only the first.

    Args:
        seeds: the seeds of all runs, if there are several.
        more: further values of the JSON.

    Raises UsageError: as the run would: DATABASE is not a database.
    """
    from gbench.preflight.run_checks import ignores_bounds, of_severity
    from gbench.runs.attempt import bounds_of
    from gbench.runs.prepare import plan

    spec, request = plan(resolved.spec, os.environ, rebuild)
    bounds = bounds_of(spec)
    origins = resolved.origins
    if spec.tuned_by != resolved.spec.tuned_by:
        origins = {**origins, **dict.fromkeys((f"speed.{name}" for name in spec.config.speed.on), "tuned")}
    if spec.env != resolved.spec.env:
        origins = {**origins, "env": NCCL_ORIGIN}
    if views is not None:
        request["beside"] = views.argv(Path(spec.results_dir) / spec.run_id)
    for check in [] if ignores_bounds(spec) else of_severity(bounds, "error"):
        echo(f"warning: this machine would refuse it: {check.id}: {check.found}", err=True)
    values = spec.model_dump(mode="json")
    if as_json:
        last = {"seeds": list(seeds)} if seeds else {}
        checks = {"bounds": [check.values() for check in bounds]}
        print_json({**(more or {}), "spec": values, "origins": origins, **checks, "request": request, **last})
        return
    if seeds:
        echo(f"# {len(seeds)} runs, one after the other, with seeds {', '.join(map(str, seeds))}; the first:")
    echo("# the resolved spec: value (origin)")
    for variable, value in spec.variables.items():
        echo(f"{variable:<{KEY}}{value}  ({origins[variable]})")
    for key, value in values.items():
        if key not in ("config", *VARIABLE_FIELDS.values()):
            echo(f"{key:<{KEY}}{or_dash(value)}" + (f"  ({origins[key]})" if key in origins else ""))
    for key, value in spec.config.settings.items():
        echo(f"{key:<{KEY}}{or_dash(value)}  ({origins[key]})")
    echo("\n# what it takes of this machine")
    for check in bounds:
        echo(f"{check.id:<{KEY}}{check.found}")
    script = request.pop("script", None)
    echo("\n# the exact request; nothing was started")
    echo(json.dumps(request, indent=2))
    if script is not None:
        echo(f"\n# its script\n{script}", nl=False)
