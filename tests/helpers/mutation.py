"""How many faults of the code do its tests find? mutation.py [SEED [MUTANTS [FUNCTIONS [ROOM...]]]]

Changes a copy of the last commit in .mutation/, one fault at a time, and runs the tests that run the changed statement,
the cheapest first, for at most BUDGET_S of processor time. .mutation/survivors-*.txt has the mutants that none found.
The mutants are taken in a random order, so that the first of them are a sample too; the next start goes on after the
last. Then removes the bodies of FUNCTIONS functions, of all by default; lists those without which all tests pass, and
the tests of a function's own file that pass without it.
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from itertools import accumulate
from pathlib import Path

from scipy.stats import binomtest

from changed_run import can_isolate, changed, run
from covering import SETTINGS, Covering, combine
from mutants import mutants
from removals import Change, removals
from without_bodies import Trial, try_all

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".mutation"
COPY = WORK / "copy"
ROOMS = ("measure", "compare", "cndb", "runners", "settings")
TESTS = (*(f"{room}/**/test_*.py" for room in ROOMS), "cli/test_cndb*.py", "cli/test_compare*.py", "cli/test_wrong*.py")
TESTS += ("cli/test_nightly_cli.py",)
TESTS += ("system/test_*postgres*.py", "system/test_original_database.py")
TESTS += ("sim/test_simulated_engine.py", "runs/test_kubernetes_launch.py", "experiments/test_nightly_pairs.py")
TESTS += ("runfolder/test_earlier_versions.py", "runfolder/test_kept_run_folders.py")
"""Files of tests that count: those of the rooms, and others that use them directly."""
PYTEST = ("-q", "-n", "2", "--dist", "loadgroup", "--max-worker-restart", "0", "-m", "not slow", "-p", "covering")
BUDGET_S = 15.0  # of processor time
LIMIT_S = 120.0
OWN_S, OTHERS_S, OTHERS = 5.0, 10.0, 10  # processor time of the tests without a function, number of others
QUICK_S = 1.0  # of processor time: a busy machine makes no such test fail
PRELOADED = ("torch", "torchvision", "torchmetrics", "scipy.stats", "sqlalchemy", "alembic", "pydantic", "docker")
PRELOADED += ("matplotlib.figure", "PIL.Image", "rich", "hypothesis", "jsonschema", "psutil", "dominate")


def main(seed: int, mutant_count: int, function_count: int, rooms: tuple[str, ...]) -> None:
    if not can_isolate():
        sys.exit(
            "mutation.py: this user may make no PID namespace, and a fault could end other processes; run it as root"
        )
    covering = coverage_of_commit()
    for name in PRELOADED:
        importlib.import_module(name)
    files = sorted(path for room in rooms for path in (COPY / "src/gbench" / room).rglob("*.py"))
    chosen, every = mutants(files, mutant_count, seed)
    print(f"{len(chosen)} of {every} mutants, seed {seed}", flush=True)
    count_survivors(chosen, covering, f"{seed}-{mutant_count}-{'-'.join(rooms)}")
    chosen, every = removals(files, function_count, seed)
    if chosen:
        print(f"\n{len(chosen)} of {every} functions without their bodies, seed {seed}", flush=True)
        list_unnoticed(chosen, covering)


def count_survivors(chosen: list[Change], covering: Covering, sample: str) -> None:
    survivors, done = WORK / f"survivors-{sample}.txt", WORK / f"ends-{sample}.jsonl"
    done.touch()
    ends = Counter(tuple(json.loads(line)) for line in done.read_text().splitlines())
    for number, change in enumerate(chosen, 1):
        if number <= ends.total():
            continue
        end, outcomes, count = tested(change, covering, stop_at_first=True)
        killer = next((test for test, passed in outcomes.items() if not passed), "")
        print(f"{number:4} {end:9} {place(change)} {len(outcomes)} of {count} tests {killer}", flush=True)
        if end in ("survived", "not run"):
            lines = difflib.unified_diff(change.source.splitlines(), change.changed.splitlines(), n=1, lineterm="")
            with survivors.open("a") as file:
                print(place(change), end, f"by {count} tests", *list(lines)[2:], sep="\n", file=file)
        with done.open("a") as file:
            print(json.dumps([room_of(change), end]), file=file)
        ends[room_of(change), end] += 1
    print_rates(ends)


def list_unnoticed(chosen: list[Change], covering: Covering) -> None:
    """Print the functions without which all tests pass, and the tests of a function's own file that pass without it."""
    trials, ends, own_tests = [trial(change, covering) for change in chosen], Counter[tuple[str, str]](), Counter[str]()
    results = WORK / "trials.jsonl"
    results.write_text("")
    try_all(COPY, trials, LIMIT_S, results)
    for line in results.read_text().splitlines():
        number, outcomes = json.loads(line)
        change, own = trials[number].change, [test for test in trials[number].own if outcomes.get(test)]
        end = "killed" if False in outcomes.values() else tested(change, covering, stop_at_first=True)[0]
        if own:  # a function that runs at import has done so in memory
            with changed(change.path, change.changed):
                again = run(COPY, own, LIMIT_S, stop_at_first=False)[1]
            own = [test for test in own if again.get(test)]
        ends[room_of(change), end] += 1
        own_tests.update({"ran": len(trials[number].own), "passed": len(own)})
        if own or end != "killed":
            print(f"{end:9} {place(change)} {change.function[0]}", *own, sep="\n    ", flush=True)
    print_rates(ends)
    print(f"{own_tests['passed']} of {own_tests['ran']} tests of a function's own file passed without it")


def trial(change: Change, covering: Covering) -> Trial:
    """A function with the tests that run it in their process: those of its own file, and a few of the cheapest."""
    tests = covering.tests(change.path, change.lines, in_process=True)
    mirror = change.path.relative_to(COPY / "src/gbench")
    file = f"tests/{mirror.with_name('test_' + mirror.name)}::"
    own = within(OWN_S, [test for test in tests if test.startswith(file)], covering)
    others = within(OTHERS_S, [test for test in tests if not test.startswith(file)], covering)
    return Trial(change, own, others[:OTHERS])


def within(budget_s: float, tests: list[str], covering: Covering) -> list[str]:
    """The first of these tests, as long as they take no more processor time than this; one at least."""
    totals = accumulate(covering.seconds[test] for test in tests)
    return [test for test, total in zip(tests, totals, strict=True) if test == tests[0] or total <= budget_s]


def tested(change: Change, covering: Covering, stop_at_first: bool) -> tuple[str, dict[str, bool], int]:
    """How the tests of a change end within the budget, what each of them did, and their number."""
    whole = range(1, change.source.count("\n") + 1)  # for what runs at import, or in processes that end at once
    every = covering.tests(change.path, change.lines) or covering.tests(change.path, whole)
    tests = within(BUDGET_S, every, covering)
    total = sum(covering.seconds[test] for test in tests)
    if not tests:
        return "not run", {}, 0
    while tests:
        with changed(change.path, change.changed):
            end, outcomes = run(COPY, tests, LIMIT_S + 5 * total, stop_at_first)
        suspect = next((test for test in tests if not outcomes.get(test, end != "timed out")), None)
        first = suspect == tests[0] and covering.seconds[suspect] < QUICK_S
        sure = suspect is None or (end == "killed" and first)
        if sure or not stop_at_first or fails_only_with(change, suspect):
            return end, outcomes, len(tests)
        tests.remove(suspect)
    return "survived", {}, 0


def fails_only_with(change: Change, test: str) -> bool:
    """Whether a test that failed or did not end with a change passes without it, alone, and again does not with it.

    So that neither a busy machine nor a test that fails now and then, or after others, finds a fault.
    """
    if run(COPY, [test], LIMIT_S, stop_at_first=True)[0] != "survived":
        return False
    with changed(change.path, change.changed):
        return run(COPY, [test], LIMIT_S, stop_at_first=True)[0] != "survived"


def coverage_of_commit() -> Covering:
    """Clone the last commit into .mutation/copy and run its tests under coverage; later, those that have changed."""
    done, folder = WORK / "commit", WORK / "covering"
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
    before = done.read_text() if done.is_file() else ""
    known, again = set[str](), list[str]()
    if before:
        names = ["git", "diff", "--name-only", "--no-renames", before, commit, "--", "tests"]
        again = subprocess.check_output(names, cwd=ROOT, text=True).splitlines()
        subprocess.run(["git", "checkout", "--quiet", "--force", commit], cwd=COPY, check=True)
        covering = Covering(folder, COPY)
        covering.forget(again)
        known = {test.partition("::")[0] for test in covering.seconds}
    else:
        shutil.rmtree(WORK, ignore_errors=True)
        folder.mkdir(parents=True)
        subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, COPY], check=True)
        (WORK / "shared").symlink_to(ROOT.parent / "shared")
        sources = ",".join(str(COPY / "src/gbench" / room) for room in ROOMS)
        (folder / "settings").write_text(SETTINGS.format(sources=sources, folder=folder))
        shutil.copytree(COPY / "src", folder / "src")
    files = sorted({str(path.relative_to(COPY)) for name in TESTS for path in (COPY / "tests").glob(name)})
    files = [file for file in files if file in again or file not in known]
    if files:
        here = {"PYTHONPATH": f"{COPY}/src:{COPY}/tests/helpers", "GBENCH_COVERING": str(folder)}
        subprocess.run([sys.executable, "-m", "pytest", *PYTEST, *files], cwd=COPY, env=os.environ | here)
        combine(folder)
    if before != commit:
        for results in (*WORK.glob("ends-*"), *WORK.glob("survivors-*")):
            results.unlink()
    done.write_text(commit)
    return Covering(folder, COPY)


def place(change: Change) -> str:
    return f"{change.path.relative_to(COPY)}:{change.first_line}"


def room_of(change: Change) -> str:
    return change.path.relative_to(COPY / "src/gbench").parts[0]


def print_rates(ends: Counter[tuple[str, str]]) -> None:
    print("\nroom       changes  killed  timed out  not run  rate and its 95 % interval (Wilson)")
    for rooms in (*((room,) for room in ROOMS), ROOMS):
        counts = Counter[str]()
        for (room, end), count in ends.items():
            counts.update({end: count, "all": count} if room in rooms else {})
        if counts["all"]:
            found = binomtest(counts["killed"] + counts["timed out"], counts["all"])
            low, high = found.proportion_ci(method="wilson")
            figures = f"{counts['all']:7} {counts['killed']:7} {counts['timed out']:10} {counts['not run']:8}"
            name = rooms[0] if len(rooms) == 1 else "all"
            print(f"{name:10} {figures}  {found.statistic:.1%}, {low:.1%} to {high:.1%}")


if __name__ == "__main__":
    os.nice(10)
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    given = [int(argument) for argument in sys.argv[1:4]]
    seed, mutant_count, function_count = (*given, *(1, 300, sys.maxsize)[len(given) :])
    main(seed, mutant_count, function_count, tuple(sys.argv[4:]) or ROOMS)
