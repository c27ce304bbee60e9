"""Run the comparisons of gbench with references and print one table, as `make benchmarks` does.

    python benchmarks/table.py [--smallest] [--only step.py] [--json]

Takes about five minutes on two quiet cores. A failed script is a row with the reason, and makes the exit code 1. Where
UPSTREAM_DIR names a clone of upstream's code, step.py --upstream is among them, and takes five minutes more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from command import parser_of
from rows import machine

HERE = Path(__file__).parent
# script -> arguments of the table, and those of the smallest run, which only shows that it works
SCRIPTS = {
    "step.py": ((), ("--pairs", "1", "--steps", "1")),
    "startup.py": (("--rounds", "5"), ("--rounds", "1", "--ranks", "1")),
    "loader.py": (("--rounds", "15"), ("--rounds", "1", "--drawn", "16")),
    "overhead.py": (("--pairs", "100"), ("--pairs", "1", "--steps", "10")),
    "stats.py": (("--scipy", "5"), ("--scipy", "1")),
    "cndb.py": (("--quick",), ("--quick", "--records", "300", "--rounds", "1")),
    "reading.py": (
        ("--records", "2000", "20000", "--rounds", "3"),
        ("--steps", "200", "400", "--records", "100", "200", "--rounds", "1"),
    ),
}


UPSTREAM = ("--upstream",), ("--upstream", "--pairs", "1", "--steps", "1", "--side", "32", "--filters", "4")
CLONE = "UPSTREAM_DIR"


def found_by(script: str, arguments: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of one script; if it failed, a row with its last line."""
    print(f"{script} {' '.join(arguments)}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments, "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no output"]
        return [{"script": script, "failed": f"exit code {done.returncode}: {said[-1]}"}]
    return [{"script": script, **row} for row in json.loads(done.stdout)["rows"]]


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """As Markdown."""
    yield "| what | gbench | reference | gbench / reference (95 % interval) | script |\n|---|---|---|---|---|"
    for row in rows:
        if "failed" in row:
            yield f"| {row['script']} | failed: {row['failed']} | | | `{row['script']}` |"
            continue
        ours, other, ratio, unit = row["ours"]["value"], row["reference"]["value"], row["ratio"], row["unit"]
        yield (
            f"| {row['what']} | {shown(ours)} {unit} | {shown(other)} {unit}: {row['against']} "
            f"| {ratio['value']:.3g} ({ratio['low']:.3g} to {ratio['high']:.3g}){row['goal_text']} "
            f"| `{row['script']}` |"
        )


def shown(value: float) -> str:
    """With four digits, and never as a power of ten."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def main() -> int:
    """Run the scripts one after the other, and print."""
    parser = parser_of(__doc__, json=True)
    parser.add_argument("--smallest", action="store_true", help="only check that all scripts work")
    parser.add_argument("--only", choices=list(SCRIPTS), help="run one script")
    arguments = parser.parse_args()
    here = {**machine(), "torch": torch.__version__}
    chosen = [(name, given) for name, given in SCRIPTS.items() if arguments.only in (None, name)]
    if arguments.only in (None, "step.py"):
        if os.environ.get(CLONE):
            chosen.append(("step.py", UPSTREAM))
        else:
            print(f"table.py: no rows of upstream's train.py, as {CLONE} names no clone of its code", file=sys.stderr)
    rows = [row for name, given in chosen for row in found_by(name, given[arguments.smallest])]
    if arguments.json:
        print(json.dumps({"machine": here, "smallest": arguments.smallest, "rows": rows}, indent=2))
    else:
        print(f"{here['cores']} cores of {here['processor']}, torch {here['torch']}, {here['date']};", end=" ")
        print(f"load at the start {here['load_1m']}\n", *table(rows), sep="\n")
    return int(any("failed" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
