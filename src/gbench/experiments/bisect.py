"""Find the commit or image that changed a figure: each step alternates GOOD with the one that says most.

A step is a session of `gbench ab` in a folder of its own, prolonged block by block. Everything that decides the answer
is in these sessions, so an interrupted search goes on from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt, model_validator

from gbench.base.files import is_there, make_folder
from gbench.base.json_file import read_json
from gbench.base.paths import BISECT, SESSION
from gbench.base.words import count
from gbench.errors import ExitCode, RunFailed
from gbench.experiments.ab import run_session
from gbench.experiments.block_ratio import BlockRatio, block_logs, ratio_of_blocks
from gbench.experiments.commit_session import session_of_commits, session_of_images
from gbench.experiments.first_bad import MOST_BLOCKS, SURE, Suspects, next_place, probabilities, suspects, told_apart
from gbench.experiments.session import Session, SessionGoal, State, read_session, with_one_more_block
from gbench.experiments.worktrees import SHORT, subject_of
from gbench.measure.steady_state import Floats
from gbench.runs.attempt import Observer
from gbench.settings.literals import MetricName
from gbench.settings.spec import RunSpec

MOST_OF_BAD = 20  # blocks to tell BAD from GOOD

Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")]
"""Or the id of an image, without `sha256:`."""


class Search(State):
    """The content of bisect.json."""

    FILE: ClassVar[str] = BISECT
    version: int = 1
    command_line: str
    file: str
    """The spec file."""
    spec: RunSpec
    repo: str | None
    """None: images are searched, not commits."""
    good: Commit
    commits: tuple[Commit, ...] = Field(min_length=1)
    """After GOOD, the oldest first; the last is BAD."""
    names: dict[Commit, str] = Field(default_factory=dict)
    """Of images, GOOD's too; empty for commits."""
    metric: MetricName = "throughput"
    max_blocks: PositiveInt = 60
    failed: tuple[str, ...] = ()
    """Commits whose runs failed."""

    @model_validator(mode="after")
    def _named(self) -> "Search":
        if self.repo is None and not {self.good, *self.commits} <= self.names.keys():
            raise ValueError("names lacks one of the images")
        return self

    @property
    def code(self) -> tuple[str, ...]:
        return (self.repo or "images", self.good, *self.commits)

    @property
    def kind(self) -> str:
        return "commit" if self.repo else "image"

    def subject(self, commit: Commit) -> str:
        """The first line of a commit's message, or the name of an image."""
        return subject_of(Path(self.repo), commit) if self.repo else self.names[commit]


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
        known += f"; {change}, {count(self.blocks, 'block')} of four runs"
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
    while (commit := (evidence := _evidence(search, folder)).next_commit) is not None:
        session, found = _prolonged(search, folder, commit), evidence.suspects
        state = f"; {search.commits[found.places[-1]][:SHORT]} at {found.probability:.0%}" if found else ""
        block = f"block {evidence.count + 1} of at most {search.max_blocks}"
        observer.line(f"{block}: {commit[:SHORT]} against GOOD{state}")
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
    evidence = _evidence(search, folder)
    of_bad, blocks, found = evidence.of_bad, evidence.count, evidence.suspects
    change = ratio_of_blocks(of_bad) if of_bad else None
    if found is None:
        over = len(of_bad) >= min(MOST_OF_BAD, search.max_blocks)
        state = "can't be told apart" if over else "are not told apart yet"
        why = f"GOOD and BAD {state}, by {count(len(of_bad), 'block')} of four runs"
        return Answer([], "", 0.0, change, blocks, list(search.failed), why)
    commits = [search.commits[place] for place in found.places]
    why_none = None if found.probability >= SURE else f"{count(blocks, 'block')} did not decide"
    others = [search.commits[place] for place in sorted(evidence.skipped)]
    return Answer(commits, search.subject(commits[-1]), found.probability, change, blocks, others, why_none)


@dataclass(frozen=True)
class _Evidence:
    """What the blocks so far show."""

    search: Search
    of_bad: list[float]
    """BAD's blocks."""
    blocks: dict[int, list[float]]
    """Those of the commits before BAD, by their place."""

    @property
    def count(self) -> int:
        return len(self.of_bad) + sum(map(len, self.blocks.values()))

    @property
    def skipped(self) -> set[int]:
        failed = {place for place, commit in enumerate(self.search.commits) if commit in self.search.failed}
        return failed | {place for place, logs in self.blocks.items() if len(logs) >= MOST_BLOCKS}

    @cached_property
    def chances(self) -> Floats | None:
        """Probability of each commit to be the first bad one; None until GOOD and BAD clearly differ."""
        if not told_apart(self.of_bad):
            return None
        used = {place: logs for place, logs in self.blocks.items() if place not in self.skipped}
        return probabilities(len(self.search.commits), self.of_bad, used)

    @property
    def suspects(self) -> Suspects | None:
        return None if self.chances is None else suspects(self.chances, self.skipped)

    @property
    def next_commit(self) -> str | None:
        """The commit to measure next; None if the search is over."""
        commits, most = self.search.commits, self.search.max_blocks
        if self.chances is None or self.suspects is None:
            return commits[-1] if len(self.of_bad) < min(MOST_OF_BAD, most) else None
        if self.count >= most or self.suspects.probability >= SURE:
            return None
        place = next_place(self.chances, self.skipped)
        return None if place is None else commits[place]


def _evidence(search: Search, folder: Path) -> _Evidence:
    *others, of_bad = (_blocks(folder / commit[:SHORT]) for commit in search.commits)
    return _Evidence(search, of_bad, {place: logs for place, logs in enumerate(others) if logs})


def _blocks(step: Path) -> list[float]:
    """The logarithm of a commit's figure over GOOD's, for each whole block of its session."""
    if not is_there(step / SESSION):
        return []
    runs = read_session(step).used
    return block_logs([run.figure for run in runs], [run.side for run in runs])


def _prolonged(search: Search, folder: Path, commit: str) -> Session:
    """The session of a commit, to run one more block."""
    step = folder / commit[:SHORT]
    spec = search.spec.replaced(results_dir=str(step))
    goal, sides = SessionGoal(metric=search.metric), (search.good, commit)
    if search.repo:
        session = session_of_commits(spec, search.file, Path(search.repo), sides, goal, step)
    else:
        session = session_of_images(spec, search.file, search.names, sides, goal, step)
    return with_one_more_block(session, step)
