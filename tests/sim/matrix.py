"""Run the whole fault matrix, and write what it shows:

.venv/bin/python tests/sim/matrix.py            # every cell: matrix.json and docs/fault-matrix.md
.venv/bin/python tests/sim/matrix.py SIGTERM    # those whose name matches, into the same files
"""

from __future__ import annotations

import json
import os
import queue
import re
import sys
import threading
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from cells import STEPS, Cell, Result, cells, run, why_impossible
from world import world

KEPT = Path(__file__).with_name("matrix.json")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "fault-matrix.md"
MARK = "<!-- written by tests/sim/matrix.py: what is below comes from its runs -->\n"
WORKERS = len(os.sched_getaffinity(0)) + 2  # most of a cell is waiting
RUNNERS = {
    "local": "On this host (`--runner local`)",
    "docker": "In a container (`--runner docker`)",
    "database": "With a database",
}


def possible() -> list[Cell]:
    return [cell for cell in cells() if why_impossible(cell) is None]


def read_results() -> dict[str, Result]:
    return {name: Result(**values) for name, values in json.loads(KEPT.read_text()).items()} if KEPT.exists() else {}


def write_results(results: dict[str, Result]) -> None:
    known = {cell.name: results[cell.name] for cell in possible() if cell.name in results}
    KEPT.write_text(json.dumps({name: asdict(result) for name, result in known.items()}, indent=1) + "\n")
    PAGE.write_text(PAGE.read_text().partition(MARK)[0] + MARK + page(known))


def run_all(wanted: list[Cell], workers: int) -> tuple[dict[str, Result], list[str]]:
    """The results of cells, and the names of those that could not be run, with why."""
    todo: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    for cell in wanted:
        todo.put(cell)
    results, failed = dict[str, Result](), list[str]()

    def work() -> None:
        while not todo.empty():
            with world() as own:  # a new one after a failure
                try:
                    while True:
                        cell = todo.get_nowait()
                        results[cell.name] = run(own, cell)
                        print(cell.name, results[cell.name], flush=True)
                except queue.Empty:
                    return
                except Exception as error:
                    failed.append(f"{cell.name}: {error!r}")

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results, failed


def page(results: dict[str, Result]) -> str:
    """The tables of the page."""
    parts = [f"{len(results)} cells were run.\n"]
    for runner, title in RUNNERS.items():
        own = [cell for cell in cells() if cell.runner == runner]
        if own:
            parts += [f"## {title}\n", grid(own, results), *details(own, results)]
    return "\n".join(parts)


def grid(own: list[Cell], results: dict[str, Result]) -> str:
    """Exit codes by fault and step."""
    faults = dict.fromkeys(cell.fault for cell in own)
    lines = [f"| exit code | {' | '.join(STEPS)} |", f"|---|{'---|' * len(STEPS)}"]
    for fault in faults:
        found = {cell.step: results.get(cell.name) for cell in own if cell.fault == fault}
        lines.append(f"| {fault} | {' | '.join(found[step].exit if found[step] else '-' for step in STEPS)} |")
    return "\n".join(lines) + "\n"


def details(own: list[Cell], results: dict[str, Result]) -> list[str]:
    """A table for each fault: steps with the same result in one row, and why the others have none."""
    parts = []
    for fault in dict.fromkeys(cell.fault for cell in own):
        same: dict[Result, list[str]] = defaultdict(list)
        never: dict[str, list[str]] = defaultdict(list)
        for cell in own:
            if cell.fault == fault and cell.name in results:
                same[results[cell.name]].append(cell.step)
            elif cell.fault == fault:
                never[why_impossible(cell) or "not run"].append(cell.step)
        rows = [row(result, steps) for result, steps in same.items()]
        rows += [f"| {', '.join(steps)} | - | {why} | | |" for why, steps in never.items()]
        parts.append(f"### {own[0].runner}: {fault}\n")
        parts.append("| step | exit code | sentence | kept | left |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n")
    return parts


def row(result: Result, steps: list[str]) -> str:
    said = result.sentence.replace("|", "\\|") or ("none" if result.code < 0 else "none: the run succeeds")
    return f"| {', '.join(steps)} | {result.exit} | {said} | {result.kept} | {result.left or 'nothing'} |"


def main(patterns: list[str]) -> int:
    wanted = [cell for cell in possible() if not patterns or any(re.search(one, cell.name) for one in patterns)]
    results, failed = run_all(wanted, workers=WORKERS)
    write_results({**read_results(), **results})
    for one in failed:
        print(f"FAILED {one}")
    print(f"{len(results)} cells run, {len(failed)} failed; see {PAGE}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
