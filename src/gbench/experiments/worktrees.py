"""Commits of a git repository, and work trees of them to run.

A run of a commit uses the repository's run script and Python modules as they are in a work tree, in one environment:
torch and all other packages stay the same.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gbench.base.files import write_errors
from gbench.base.paths import checkout_dir
from gbench.errors import InfrastructureError, UsageError
from gbench.machine.git import git
from gbench.settings.spec import RunSpec

SHORT = 10  # digits of a commit that are shown


def repository(given: Path | None) -> Path:
    """The top folder of a repository. None: of gbench's checkout. Raises UsageError: there is none."""
    folder = given or checkout_dir()
    if folder is None:
        raise UsageError("gbench is installed, not run from a git checkout", "give --repo DIR")
    try:
        return Path(git(folder, "rev-parse", "--show-toplevel"))
    except UsageError as error:
        raise UsageError(f"--repo {folder} is no checkout of a git repository ({error.what})", error.hint) from error


def commit_of(repo: Path, ref: str) -> str:
    """The full name of the commit that a branch, tag or abbreviation names. Raises UsageError: it names none."""
    try:
        return git(repo, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    except UsageError as error:
        raise UsageError(
            f"{ref!r} names no commit of {repo}", "see git log; a shallow clone lacks commits (git fetch --unshallow)"
        ) from error


def subject_of(repo: Path, commit: str) -> str:
    """The first line of a commit's message."""
    return git(repo, "show", "--no-patch", "--format=%s", commit)


def commits_between(repo: Path, good: str, bad: str) -> list[str]:
    """The commits after `good` up to `bad`, oldest first; of merges, the first parent's side.

    Raises UsageError: `good` is not an ancestor of `bad`, or the same commit.
    """
    commits = git(repo, "rev-list", "--first-parent", "--reverse", f"{good}..{bad}").split()
    if good not in git(repo, "rev-list", "--first-parent", bad).split() or not commits:
        raise UsageError(
            f"GOOD {good[:SHORT]} is not before BAD {bad[:SHORT]} in the history of BAD's first parents",
            "give two commits of one branch, the older first",
        )
    return commits


@contextmanager
def worktrees(repo: Path, commits: Sequence[str], folder: Path) -> Iterator[None]:
    """Check out work trees of the commits below `folder` (see `tree_of`), and remove them at the end.

    Raises InfrastructureError: git can't write one.
    """
    made = []
    try:
        for commit in dict.fromkeys(commits):
            tree = tree_of(folder, commit)
            _checked_out(repo, commit, tree)
            made.append(tree)
        yield
    finally:
        for tree in made:
            with suppress(UsageError, InfrastructureError):
                git(repo, "worktree", "remove", "--force", str(tree))


def tree_of(folder: Path, commit: str) -> Path:
    """Path of a commit's work tree."""
    return folder / "worktrees" / commit[:SHORT]


def spec_at(spec: RunSpec, repo: Path, tree: Path) -> RunSpec:
    """`spec` with the run script and the Python modules of a work tree.

    Raises UsageError: the run script is not in `repo`, the runner is not the local one, or `tree` has a `:`.
    """
    if spec.runner != "local":
        raise UsageError(
            f"runner {spec.runner}: commits are compared on the local runner only",
            "give runner: local; or build an image of each commit, and give gbench ab two spec files",
        )
    if os.pathsep in str(tree):
        raise UsageError(
            f"the folder {tree.parent} has a {os.pathsep!r}, which PYTHONPATH can't hold", "give another --results"
        )
    script = Path(os.path.realpath(spec.run_model_file))
    if not script.is_relative_to(repo.resolve()):
        raise UsageError(
            f"the run script {script} is not in {repo}: every commit would run the same code",
            "set run_model_file to a script of the repository, or give another --repo",
        )
    paths = [str(tree / "src"), str(tree), *filter(None, [spec.env.get("PYTHONPATH")])]
    return spec.replaced(
        run_model_file=str(tree / script.relative_to(repo.resolve())),
        env={**spec.env, "PYTHONPATH": os.pathsep.join(paths)},
    )


def _checked_out(repo: Path, commit: str, tree: Path) -> None:
    with write_errors(tree):  # a gbench that was killed may have left a tree there, and a stranger other files
        if tree.is_symlink() or tree.is_file():
            tree.unlink()
        elif tree.exists():
            shutil.rmtree(tree)
    git(repo, "worktree", "prune")
    try:
        git(repo, "worktree", "add", "--detach", "--force", str(tree), commit)
    except UsageError as error:
        what = f"no work tree of {commit[:SHORT]} in {tree.parent}: {error.what}"
        raise InfrastructureError(what, error.hint) from error
