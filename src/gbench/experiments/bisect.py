"""Find the commit that changed a figure: each step alternates GOOD with the commit that says most.

A step is a session of `gbench ab` in a folder of its own, prolonged block by block. Everything that decides the answer
is in these sessions, so an interrupted search goes on from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt

from gbench.base.files import make_folder, write_atomically
from gbench.base.json_file import read_json
from gbench.base.paths import BISECT, SESSION
from gbench.errors import ExitCode, RunFailed
from gbench.experiments.ab import run_session
from gbench.experiments.block_ratio import BLOCK, BlockRatio, block_logs, ratio_of_blocks
from gbench.experiments.commit_session import session_of_commits
from gbench.experiments.first_bad import (
    MOST_BLOCKS,
    SURE,
    Suspects,
    next_place,
    probabilities,
    suspects,
    told_apart,
)
from gbench.experiments.session import Session, SessionGoal, read_session
from gbench.experiments.worktrees import SHORT, subject_of
from gbench.measure.steady_state import Floats
from gbench.runfolder.own import mark_own
from gbench.runs.attempt import Observer
from gbench.settings.literals import MetricName
from gbench.settings.spec import Frozen, RunSpec

ENDLESS = 1e-6  # a precision that no session reaches
MOST_OF_BAD = 20  # blocks to tell BAD from GOOD


Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")]


class Search(Frozen):
    """The content of bisect.json."""

    version: int = 1
    command_line: str
    file: str
    """The spec file."""
    spec: RunSpec
    repo: str
    good: Commit
    commits: tuple[Commit, ...] = Field(min_length=1)
    """After GOOD, the oldest first; the last is BAD."""
    metric: MetricName = "throughput"
    max_blocks: PositiveInt = 60
    failed: tuple[str, ...] = ()
    """Commits whose runs failed."""

    def write(self, folder: Path) -> None:
        """Raises InfrastructureError."""
        write_atomically(folder / BISECT, self.model_dump_json(indent=2) + "\n")

    def create(self, folder: Path) -> None:
        """Begin the search in a folder, which is then marked as this user's. Raises InfrastructureError."""
        make_folder(folder)
        self.write(folder)
        mark_own(folder, [self.spec])


@dataclass(frozen=True)
class Answer:
    commits: list[str]
    """The likeliest first bad commits, the oldest first: several if commits between them can't be measured."""
    subject: str
    """Of the last of them."""
    probability: float
    change: BlockRatio | None
    """BAD over GOOD; None before its first block."""
    blocks: int
    skipped: list[str]
    """Commits whose runs failed, or that could not be judged."""
    why_none: str | None
    """Why no commit is known; None if one is."""

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.INCONCLUSIVE if self.why_none else ExitCode.OK

    @property
    def sentence(self) -> str:
        """The answer in one self-contained sentence."""
        if self.change is None:
            return "NOTHING KNOWN YET: no block of four runs is whole"
        if not self.commits:
            return f"INCONCLUSIVE: {self.why_none}"
        who = f"{self.commits[-1][:SHORT]} ({self.subject})"
        if len(self.commits) > 1:
            others = ", ".join(commit[:SHORT] for commit in self.commits[:-1])
            who = f"one of {others} and {who}"
        change = f"BAD/GOOD {self.change.ratio:.4f}"
        if self.change.low is not None and self.change.high is not None:
            change += f" (95 % interval {self.change.low:.4f} to {self.change.high:.4f})"
        known = f"{who} made the change with a probability of {min(self.probability, 0.999):.1%}"
        known += f"; {change}, {self.blocks} blocks of four runs"
        return f"INCONCLUSIVE, {self.why_none}: {known}" if self.why_none else known


def read_search(folder: Path) -> Search:
    """Raises InfrastructureError: the folder holds no search, or a broken one."""
    return read_json(
        folder / BISECT, Search, "a search", "give the folder of a gbench bisect", "begin a new gbench bisect"
    )


def run_search(search: Search, folder: Path, environ: Mapping[str, str], observer: Observer) -> Search:
    """Measure until the first bad commit is known or the blocks are used up; returns the search at its end.

    Raises GbenchError: a run of GOOD or BAD failed, or the search was stopped. What was measured is kept.
    """
    while (commit := _next(search, folder)) is not None:
        session = _prolonged(search, folder, commit)
        answer = answer_of(search, folder)
        state = f"; {answer.commits[-1][:SHORT]} at {answer.probability:.0%}" if answer.commits else ""
        observer.line(f"block {answer.blocks + 1} of at most {search.max_blocks}: {commit[:SHORT]} against GOOD{state}")
        step = folder / commit[:SHORT]
        make_folder(step)
        session.write(step)
        try:
            run_session(session, step, environ, observer, progress=False)
        except RunFailed as error:
            if commit == search.commits[-1] or read_session(step).next_side == "A":
                raise
            observer.line(f"{commit[:SHORT]} is skipped: {error.what}")
            search = search.replaced(failed=(*search.failed, commit))
            search.write(folder)
    return search


def answer_of(search: Search, folder: Path) -> Answer:
    """What the blocks so far say."""
    of_bad, blocks = _blocks(search, folder, search.commits[-1]), _of_others(search, folder)
    count = len(of_bad) + sum(map(len, blocks.values()))
    change = ratio_of_blocks(of_bad) if of_bad else None
    if not told_apart(of_bad):
        over = len(of_bad) >= min(MOST_OF_BAD, search.max_blocks)
        state = "can't be told apart" if over else "are not told apart yet"
        why = f"GOOD and BAD {state}, by {len(of_bad)} {'block' if len(of_bad) == 1 else 'blocks'} of four runs"
        return Answer([], "", 0.0, change, count, list(search.failed), why)
    skipped = _skipped(search, blocks)
    found = _suspects(search, of_bad, blocks, skipped)
    commits = [search.commits[place] for place in found.places]
    subject = subject_of(Path(search.repo), commits[-1])
    why_none = None if found.probability >= SURE else f"{count} blocks did not decide"
    others = [search.commits[place] for place in sorted(skipped)]
    return Answer(commits, subject, found.probability, change, count, others, why_none)


def _next(search: Search, folder: Path) -> str | None:
    """The commit to measure next; None if the search is over."""
    of_bad, blocks = _blocks(search, folder, search.commits[-1]), _of_others(search, folder)
    if not told_apart(of_bad):
        return search.commits[-1] if len(of_bad) < min(MOST_OF_BAD, search.max_blocks) else None
    if len(of_bad) + sum(map(len, blocks.values())) >= search.max_blocks:
        return None
    skipped = _skipped(search, blocks)
    if _suspects(search, of_bad, blocks, skipped).probability >= SURE:
        return None
    place = next_place(_chances(search, of_bad, blocks, skipped), skipped)
    return None if place is None else search.commits[place]


def _suspects(search: Search, of_bad: list[float], blocks: dict[int, list[float]], skipped: set[int]) -> Suspects:
    return suspects(_chances(search, of_bad, blocks, skipped), skipped)


def _chances(search: Search, of_bad: list[float], blocks: dict[int, list[float]], skipped: set[int]) -> Floats:
    used = {place: logs for place, logs in blocks.items() if place not in skipped}
    return probabilities(len(search.commits), of_bad, used)


def _skipped(search: Search, blocks: dict[int, list[float]]) -> set[int]:
    failed = {place for place, commit in enumerate(search.commits) if commit in search.failed}
    return failed | {place for place, logs in blocks.items() if len(logs) >= MOST_BLOCKS}


def _of_others(search: Search, folder: Path) -> dict[int, list[float]]:
    """The blocks of the commits before BAD, by their place."""
    found = {place: _blocks(search, folder, commit) for place, commit in enumerate(search.commits[:-1])}
    return {place: logs for place, logs in found.items() if logs}


def _blocks(search: Search, folder: Path, commit: str) -> list[float]:
    """The logarithm of a commit's figure over GOOD's, for each whole block."""
    step = folder / commit[:SHORT]
    if not (step / SESSION).exists():
        return []
    runs = read_session(step).used
    runs = runs[: len(runs) // BLOCK * BLOCK]
    return block_logs([run.figure for run in runs], [run.side for run in runs])


def _prolonged(search: Search, folder: Path, commit: str) -> Session:
    """The session of a commit, to run one more block."""
    step = folder / commit[:SHORT]
    spec = search.spec.replaced(results_dir=str(step))
    goal = SessionGoal(metric=search.metric, until_ci=ENDLESS, max_blocks=1)
    session = session_of_commits(spec, search.file, Path(search.repo), (search.good, commit), goal, step)
    if not (step / SESSION).exists():
        return session
    begun = read_session(step)  # in another folder, if the search has been moved
    again = begun.taken_up(step, goal.replaced(max_blocks=begun.blocks + 1))
    return again.replaced(specs=session.specs, compared=session.compared)
