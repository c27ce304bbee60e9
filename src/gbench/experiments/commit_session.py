"""A session of `gbench ab` that compares two commits of a repository, or two images, with one spec."""

from collections.abc import Mapping
from pathlib import Path

from gbench.errors import UsageError
from gbench.experiments.session import Session, SessionCommits, SessionGoal, new_session
from gbench.experiments.worktrees import SHORT, spec_at, subject_of, tree_of
from gbench.settings.spec import RunSpec


def session_of_commits(
    spec: RunSpec, file: str, repo: Path, commits: tuple[str, str], goal: SessionGoal, folder: Path
) -> Session:
    """A session whose A and B are `spec` at two commits. file: that of the spec. folder: that of the session.

    Raises UsageError: the commits are the same, or as `spec_at`.
    """
    base, head = commits
    if base == head:
        raise UsageError(f"A and B are the same commit, {base[:SHORT]}", "give two commits")
    return new_session(
        folder,
        goal,
        (f"{file} at {base[:SHORT]}", f"{file} at {head[:SHORT]}"),
        (spec_at(spec, repo, tree_of(folder, base)), spec_at(spec, repo, tree_of(folder, head))),
        differences=[f"commit: {base[:SHORT]} -> {head[:SHORT]}"],
        compared=SessionCommits(
            repo=str(repo),
            folder=str(folder),
            commits={"A": base, "B": head},
            subjects={"A": subject_of(repo, base), "B": subject_of(repo, head)},
        ),
    )


def session_of_images(
    spec: RunSpec, file: str, names: Mapping[str, str], images: tuple[str, str], goal: SessionGoal, folder: Path
) -> Session:
    """A session whose A and B are `spec` in two images. images: their ids, without `sha256:`; names: by id."""
    a, b = (spec.replaced(image=f"sha256:{image}", from_image=None) for image in images)
    return new_session(folder, goal, (f"{file} in {names[images[0]]}", f"{file} in {names[images[1]]}"), (a, b))
