"""`gbench ab --base --head` and `gbench bisect` on a real repository, whose run script reports a figure at once."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from commits import git, repository_of, spec_in

Gbench = Callable[..., Answer]
NOISY = "{} * (1 + random.gauss(0, 1e-4))"
FAST, SLOW = NOISY.format(100), NOISY.format(97)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return tmp_path / "repo"


def test_two_commits_are_compared_for_a_pull_request(gbench: Gbench, repo: Path, facades: Path, tmp_path: Path) -> None:
    base, head = repository_of(repo, [FAST, SLOW], sys.executable)
    (repo / "src" / "figure.py").write_text("FIGURE = 1  # in no commit\n")
    spec, page = spec_in(repo, facades, tmp_path / "spec.yaml"), tmp_path / "comment.md"
    arguments = ["--base", "HEAD~1", "--repo", repo, "--results", tmp_path / "results", "--markdown", page, "--json"]
    answer = gbench("ab", spec, *arguments)
    assert answer.code == 0, answer.err
    assert answer.json["outcome"] == "worse"
    assert answer.json["commits"] == {"A": base, "B": head}
    assert answer.json["ratio"]["ratio"] == pytest.approx(0.97, abs=0.002)
    text = page.read_text()
    assert text.startswith("**B is SLOWER than A by ")
    assert f"| B | {head[:10]} change 1 \\| &lt;b> | 9" in text
    assert git(repo, "worktree", "list").count("\n") == 0
    (session,) = (tmp_path / "results").iterdir()
    record = json.loads((session / "ab.json").read_text())["runs"][0]["record"]
    assert base[:10] in Path(record).read_text()  # in PYTHONPATH


def test_bisect_names_the_commit_and_skips_a_broken_one(
    gbench: Gbench, repo: Path, facades: Path, tmp_path: Path
) -> None:
    commits = repository_of(repo, [FAST, FAST, FAST, "1 / 0", FAST, SLOW, SLOW], sys.executable)
    spec, results = spec_in(repo, facades, tmp_path / "spec.yaml"), tmp_path / "results"
    short = gbench("bisect", spec, commits[0], "main", "--repo", repo, "--results", results, "--max-blocks", 4)
    assert short.code == 3, short.err
    assert "INCONCLUSIVE, 4 blocks did not decide" in short.out
    assert "--max-blocks 8" in short.err
    (search,) = results.iterdir()
    moved = search.rename(tmp_path / "moved")
    answer = gbench("bisect", "--resume", moved, "--max-blocks", 20, "--json")
    assert list(results.iterdir()) == []
    assert answer.code == 0, answer.err
    assert answer.json["commits"] == [commits[5]]
    assert answer.json["skipped"] == [commits[3]]
    assert answer.json["probability"] >= 0.95
    assert f"{commits[5][:10]} (change 5 | <b>) made the change with a probability of " in answer.json["sentence"]
    assert git(repo, "worktree", "list").count("\n") == 0


def test_what_a_session_runs_is_in_its_mark(gbench: Gbench, repo: Path, facades: Path, tmp_path: Path) -> None:
    """A work tree that a stranger has put there is replaced; other commits need consent."""
    commits = repository_of(repo, [FAST, SLOW, FAST], sys.executable)
    spec, results = spec_in(repo, facades, tmp_path / "spec.yaml"), tmp_path / "results"
    begin = ["--base", "HEAD~1", "--repo", repo, "--results", results, "--max-blocks", 1]
    assert gbench("ab", spec, *begin).code == 3
    (session,) = results.iterdir()
    strange = session / "worktrees" / commits[2][:10]
    shutil.copytree(repo, strange)
    for script in strange.rglob("*.sh"):
        script.write_text(f"touch {tmp_path}/executed\n")
    resume = ["ab", "--resume", session, "--max-blocks", 2]
    assert gbench(*resume).code in (0, 3)
    assert not (tmp_path / "executed").exists()
    file = session / "ab.json"
    file.write_text(file.read_text().replace(f'"A": "{commits[1]}"', f'"A": "{commits[0]}"'))
    refused = gbench(*resume[:-1], 3)
    assert refused.code == 2 and f"code of       {repo}: {commits[0][:12]}, {commits[2][:12]}\n" in refused.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ab", "{spec}", "--base", "missing"], "'missing' names no commit of {repo}"),
        (["ab", "{spec}", "--base=--output=x"], "'--output=x' names no commit of {repo}"),
        (["ab", "{spec}", "--base", "HEAD"], "A and B are the same commit"),
        (["ab", "{spec}", "{spec}", "--base", "HEAD"], "--base takes one spec file"),
        (["ab", "{spec}", "--head", "HEAD"], "--head and --repo go with --base"),
        (["ab", "{elsewhere}", "--base", "HEAD~1"], "is not in {repo}: every commit would run the same code"),
        (["bisect", "{spec}", "HEAD", "HEAD~1"], "is not before BAD"),
        (["bisect", "{spec}", "HEAD", "HEAD"], "is not before BAD"),
        (["bisect", "{spec}", "HEAD~1"], "a spec file and two commits or images are needed"),
        (["ab", "{spec}", "--base", "HEAD~1", "--results", "a:b"], "which PYTHONPATH can't hold"),
        (["bisect", "{docker}", "HEAD~1", "HEAD"], "commits are compared on the local runner only"),
    ],
)
def test_wrong_commits_are_one_sentence(
    gbench: Gbench, repo: Path, facades: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    repository_of(repo, [FAST, SLOW], sys.executable)
    other = tmp_path / "other"
    repository_of(other, [FAST], sys.executable)
    docker = tmp_path / "docker.yaml"
    spec = spec_in(repo, facades, tmp_path / "spec.yaml")
    docker.write_text(spec.read_text().replace("runner: local", "runner: docker"))
    names = {
        "spec": spec,
        "docker": docker,
        "elsewhere": spec_in(other, facades, tmp_path / "elsewhere.yaml"),
        "repo": repo,
    }
    answer = gbench(
        *(argument.format(**names) for argument in arguments),
        "--repo",
        repo,
        *(() if "--results" in arguments else ("--results", tmp_path / "r")),
    )
    assert answer.code == 2, answer.err
    assert said.format(**names) in answer.err
    assert not (tmp_path / "r").exists()


def test_a_folder_without_a_repository_is_refused(gbench: Gbench, repo: Path, facades: Path, tmp_path: Path) -> None:
    repository_of(repo, [FAST], sys.executable)
    spec = spec_in(repo, facades, tmp_path / "spec.yaml")
    answer = gbench("ab", spec, "--base", "HEAD", "--repo", facades)
    assert (answer.code, f"--repo {facades} is no checkout of a git repository" in answer.err) == (2, True)


def test_a_search_whose_good_fails_says_so_in_its_json(
    gbench: Gbench, repo: Path, facades: Path, tmp_path: Path
) -> None:
    repository_of(repo, ["1 / 0", FAST], sys.executable)
    spec = spec_in(repo, facades, tmp_path / "spec.yaml")
    answer = gbench("bisect", spec, "HEAD~1", "HEAD", "--repo", repo, "--results", tmp_path / "results", "--json")
    assert (answer.code, answer.json["exit_code"]) == (1, 1)
    assert "the run script ended with exit code 1" in answer.json["error"]
    assert answer.json["sentence"] == "NOTHING KNOWN YET: no block of four runs is whole"
    assert "go on with gbench bisect --resume" in answer.err and "--max-blocks" not in answer.err


def test_a_search_file_names_commits_in_full(gbench: Gbench, repo: Path, facades: Path, tmp_path: Path) -> None:
    repository_of(repo, ["1 / 0", FAST], sys.executable)
    spec = spec_in(repo, facades, tmp_path / "spec.yaml")
    gbench("bisect", spec, "HEAD~1", "HEAD", "--repo", repo, "--results", tmp_path / "results")
    (search,) = (tmp_path / "results").iterdir()
    values = json.loads((search / "bisect.json").read_text())
    (search / "bisect.json").write_text(json.dumps({**values, "commits": ["--all"]}))
    answer = gbench("bisect", "--resume", search)
    assert (answer.code, "commits" in answer.err) == (4, True)
