"""`gbench bisect`: find the commit or image that changed a figure."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gbench.base.paths import BISECT
from gbench.cli.ab import METRIC_NAMES
from gbench.cli.shared.consent import require_own, trust_option
from gbench.cli.shared.output import Terminal, echo, print_json
from gbench.cli.shared.run_options import (
    COUNT,
    FILE,
    FOLDER,
    ExistingRun,
    command_line,
    json_option,
    option,
    quiet_option,
)
from gbench.cli.shared.session_spec import new_folder, spec_of_file
from gbench.errors import GbenchError, Interrupted, UsageError

if TYPE_CHECKING:
    from gbench.experiments.bisect import Answer
    from gbench.settings.spec import RunSpec


@click.command()
@click.argument("spec", type=FILE, required=False, metavar="SPEC.yaml")
@click.argument("good", required=False)
@click.argument("bad", required=False)
@click.option("--repo", type=FOLDER, metavar="DIR", help="Repository of the commits.  [default: gbench's checkout]")
@click.option("--images", is_flag=True, help="GOOD and BAD are Docker images of one name on this machine.")
@click.option("--metric", type=click.Choice(METRIC_NAMES), help="Figure to compare.  [default: throughput, end to end]")
@click.option("--max-blocks", type=COUNT, help="End after this many blocks of four runs.  [default: 60]")
@click.option(
    "--resume",
    "resume_dir",
    type=ExistingRun("folder", BISECT),
    metavar="DIR",
    help="Resume the search in this folder.",
)
@trust_option
@option("results_dir")
@json_option
@quiet_option
def bisect(
    spec: Path | None,
    good: str | None,
    bad: str | None,
    repo: Path | None,
    images: bool,
    resume_dir: Path | None,
    trust: bool,
    results_dir: str | None,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Find the commit, or image, between GOOD and BAD that changed a figure.

    SPEC.yaml is a `gbench launch` command as YAML (docs/ab.md). Its run script must be in the repository: each commit
    runs its own script and modules, from a git work tree, in this environment. First GOOD and BAD are alternated until
    they can be told apart. Then GOOD is alternated with the commit that says most, until one commit has a probability
    of 95 %. A commit whose runs fail, or that eight blocks can't judge, is skipped.

    --images searches the images of GOOD's name that were built after it, up to BAD, in place of commits. The run script
    of SPEC.yaml then runs in a container of each.

    \b
    gbench bisect spec.yaml v0.1 HEAD
    gbench bisect spec.yaml 1a2b3c4 main --repo ~/my-model --metric latency-p95
    gbench bisect spec.yaml bench:monday bench:friday --images
    gbench bisect --resume results/20260101T000000Z-bisect-1a2b3c --max-blocks 100

    Exit code 0: the commit is known; 1: a run of GOOD or BAD failed; 3: inconclusive.
    """
    from gbench.base.files import locked
    from gbench.experiments.bisect import Search, answer_of, read_search, run_search
    from gbench.runners.stopping import stoppable

    given = {name: value for name, value in given.items() if value is not None}
    if resume_dir is not None:
        if spec is not None or repo is not None or images or "metric" in given or results_dir is not None:
            raise UsageError(
                "--resume takes all else from its search",
                "leave out SPEC.yaml, GOOD, BAD, --repo, --images, --metric, --results",
            )
        folder, search = resume_dir.absolute(), read_search(resume_dir).replaced(**given)
        require_own(folder, [search.spec], trust, search.code)
    elif spec is None or good is None or bad is None:
        raise UsageError(
            "a spec file and two commits or images are needed", "give SPEC.yaml GOOD BAD; see gbench bisect --help"
        )
    else:
        if images and repo is not None:
            raise UsageError("--repo and --images exclude each other", "leave one of the two out")
        folder = new_folder("bisect", results_dir)
        described = spec_of_file(spec, folder, "bisect")
        found = _images(described, good, bad) if images else _commits(described, good, bad, repo, folder)
        search = Search(command_line=command_line(), file=str(spec), spec=described, **found, **given)
        search.create(folder, [search.spec])
    observer = Terminal(quiet)
    observer.line(f"{search.kind}s to search: {len(search.commits)}; search folder {folder}")
    with locked(folder / ".lock", 0, f"search {folder}"), stoppable(None):
        search.write(folder)
        try:
            search = run_search(search, folder, os.environ, observer)
        except GbenchError as error:
            _print(answer_of(read_search(folder), folder), folder, as_json, error)
            hint = "what was measured is kept" if isinstance(error, Interrupted) else error.hint
            raise type(error)(error.what, f"{hint}; go on with {_resume(folder)}") from error
    answer = answer_of(search, folder)
    if answer.why_none:
        observer.line(f"to go on: {_resume(folder)} --max-blocks {2 * search.max_blocks}")
    _print(answer, folder, as_json)
    click.get_current_context().exit(answer.exit_code)


def _resume(folder: Path) -> str:
    return f"gbench bisect --resume {shlex.quote(str(folder))}"


def _commits(spec: RunSpec, good: str, bad: str, repo: Path | None, folder: Path) -> dict[str, Any]:
    """The fields of a new search for a commit. folder: that of the search."""
    from gbench.experiments.worktrees import commit_of, commits_between, repository, spec_at

    repo = repository(repo)
    first, last = commit_of(repo, good), commit_of(repo, bad)
    spec_at(spec, repo, folder)  # report now what it can't run
    return {"repo": str(repo), "good": first, "commits": tuple(commits_between(repo, first, last))}


def _images(spec: RunSpec, good: str, bad: str) -> dict[str, Any]:
    """The fields of a new search for an image."""
    from gbench.experiments.image_versions import images_between

    if spec.runner != "docker":
        raise UsageError(f"runner {spec.runner}: images are compared with Docker only", "give runner: docker")
    names = images_between(good, bad)
    first, *images = names
    return {"repo": None, "good": first, "commits": tuple(images), "names": names}


def _print(answer: Answer, folder: Path, as_json: bool, error: GbenchError | None = None) -> None:
    """Print the answer. error: the error that ended the search."""
    if as_json:
        result = {
            "sentence": answer.sentence,
            "exit_code": int(answer.exit_code if error is None else error.exit_code),
            "error": None if error is None else str(error),
            "search": str(folder),
        }
        print_json({**asdict(answer), **result})
        return
    for commit in answer.skipped:
        echo(f"{'skipped':<16}{commit}")
    echo(f"{'search':<16}{folder}")
    echo(answer.sentence)
