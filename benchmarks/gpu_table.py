"""Make the table of gpu.sh from the files of its runs.

    python benchmarks/gpu_table.py FOLDER [--json]

A run is three files: NAME.json, the output of `gbench launch --json`; NAME.log, its stderr; NAME.code, its exit code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from command import parser_of

from gbench.settings.switches import written

COLUMNS = {
    "img/s": "img_s",
    "95 % interval": "interval",
    "steps": "steps",
    "data wait": "data_share",
    "img/s without it": "without_data_img_s",
    "TFLOP/s": "tflop_s",
    "of the measured peak": "measured_share",
    "of the data sheet": "data_sheet_share",
    "J an image": "joules_per_image",
    "GiB": "memory_gib",
    "held back": "verdict",
}


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """One row per run, in the order they ran: its name, and its figures or why it failed."""
    for path in sorted(folder.glob("*.code")):
        name, code = path.stem.partition("-")[2], path.read_text().strip()
        if code == "124":
            yield {"run": name, "failed": "ended: the budget was used up while it ran"}
            continue
        if code != "0":
            said = [line for line in path.with_suffix(".log").read_text(errors="replace").splitlines() if line.strip()]
            yield {"run": name, "failed": said[-1] if said else f"exit code {code}"}
            continue
        try:
            found = json.loads(path.with_suffix(".json").read_text())
            yield {"run": name, **(figures(found) if "record" in found else {"said": found})}
        except (ValueError, KeyError) as error:  # one broken answer costs the table one row
            yield {"run": name, "failed": f"{path.with_suffix('.json').name} is no answer of gbench ({error!r})"}


def figures(found: dict[str, Any]) -> dict[str, Any]:
    """A launch's figures in the table."""
    record = found["record"]
    perf = record["perf_data"]
    interval, limits = perf.get("throughput_interval"), perf.get("limits") or {}
    memory = [rank.get("allocated_bytes", rank["host_rss_bytes"]) for rank in perf.get("memory") or []]
    return {
        "device": record["dev"],
        "precision": record["train_type"],
        "profile": (record["hyper_params"] or {}).get("profile"),
        "data": perf["data_source"],
        "img_s": perf["throughput"],
        "interval": interval and [interval["low"], interval["high"]],
        "steps": perf["count"],
        "steady": perf["steady_state"],
        "data_share": perf["data_share"],
        "without_data_img_s": perf["throughput_without_data_img_s"],
        "tflop_s": limits.get("tflop_s"),
        "measured_share": limits.get("measured_flop_share"),
        "data_sheet_share": limits.get("data_sheet_flop_share"),
        "joules_per_image": perf.get("joules_per_image"),
        "memory_gib": max(memory) / 2**30 if memory else None,
        "verdict": (limits.get("verdict") or "").partition(":")[0] or None,
    }


def cell(key: str, row: dict[str, Any]) -> str:
    """A figure as text."""
    value = row[key]
    if value is None:
        return "-"
    if key == "interval":
        return f"{value[0]:.4g} to {value[1]:.4g}"
    if key == "steps":
        return f"{value}" if row["steady"] else f"{value}, not steady"
    if key.endswith("share"):
        return f"{value:.1%}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def lines(found: list[dict[str, Any]]) -> Iterator[str]:
    """The table of launches, and the other results below it."""
    devices = {row["device"] for row in found if "device" in row}
    yield f"{', '.join(sorted(devices)) or 'no run ended well'}\n"
    yield "| run |" + "".join(f" {title} |" for title in COLUMNS)
    yield "|---" * (1 + len(COLUMNS)) + "|"
    for row in found:
        if "failed" in row:
            yield f"| {row['run']} | {row['failed'].replace('|', '/')} |" + " |" * (len(COLUMNS) - 1)
        elif "said" not in row:
            yield f"| {row['run']} |" + "".join(f" {cell(key, row)} |" for key in COLUMNS.values())
    for row in found:
        tuning = row.get("said", {}).get("tuning", {})
        for trial in [*tuning.get("trials", []), tuning.get("overall")]:
            if trial is not None:  # overall: all kept switches against none
                yield f"\n{row['run']}: {written(trial['change'], prefix='')}: {trial['why']}"
        for one in row.get("said", {}).get("rows", []):
            value, low, high = (f"{one['ratio'][key]:.3g}" for key in ("value", "low", "high"))
            yield f"\n{one['what']}: {value} times {one['against']} ({low} to {high})"


def main() -> int:
    """Print the table."""
    parser = parser_of(__doc__, json=True)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    found = list(rows(arguments.folder))
    print(json.dumps({"rows": found}, indent=2) if arguments.json else "\n".join(lines(found)))
    return int(not any("device" in row for row in found))


if __name__ == "__main__":
    sys.exit(main())
