"""`gbench report` as a user runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support import Answer

from gbench.settings.spec import RunSpec
from run_folders import write_run

Gbench = Callable[..., Answer]


def test_the_page_goes_into_the_run_folder_and_its_path_is_the_output(
    gbench: Gbench, make_spec: Callable[..., RunSpec]
) -> None:
    folder = write_run(make_spec())
    answer = gbench("report", folder.path)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{folder.path / 'report.html'}\n"
    assert (folder.path / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_output_elsewhere_and_json(gbench: Gbench, make_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    folder = write_run(make_spec())
    answer = gbench("report", folder.path, "-o", tmp_path / "page.html", "--json")
    assert answer.json == {"report": str(tmp_path / "page.html")}
    assert (tmp_path / "page.html").exists()
    assert not (folder.path / "report.html").exists()


def test_a_folder_that_is_no_run_gets_one_sentence(gbench: Gbench, tmp_path: Path) -> None:
    answer = gbench("report", tmp_path)
    assert answer.code == 4
    assert answer.out == ""
    assert answer.err == f"gbench: error: {tmp_path} has no spec.json; give the folder of a gbench run\n"
