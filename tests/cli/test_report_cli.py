"""`gbench report` as a user runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from drawn_records import drawn, of_run
from gbench.cndb.database_config import embedded
from gbench.cndb.record_file import save
from gbench.cndb.schema import prepared
from gbench.cndb.store import submit
from gbench.settings.spec import RunSpec
from run_folders import write_run

Gbench = Callable[..., Answer]


def test_the_page_is_in_the_run_folder_and_its_path_printed(gbench: Gbench, make_spec: Callable[..., RunSpec]) -> None:
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


def test_a_records_page_lies_beside_it(gbench: Gbench, tmp_path: Path) -> None:
    save(drawn(), tmp_path / "one.yaml")
    answer = gbench("report", "one.yaml")
    assert (answer.code, answer.out, answer.err) == (0, "one.html\n", "")
    assert "22.50" in (tmp_path / "one.html").read_text()


def test_the_historys_page_lies_in_the_cndb_folder(gbench: Gbench, tmp_path: Path) -> None:
    engine, _ = prepared(embedded(tmp_path / "records"))
    submit(engine, [of_run("a"), of_run("b", model="resnet50")], "save")
    answer = gbench("report", "--history", CNDB_DIR="records")
    assert (answer.code, answer.out, answer.err) == (0, "records/history.html\n", "")
    assert "2 with a throughput" in (tmp_path / "records" / "history.html").read_text()
    answer = gbench("report", "--history", "--cndb-dir", "records", "--model", "resnet50", "--since", "1d", "--json")
    assert answer.json == {"report": "records/history.html"}
    page = (tmp_path / "records" / "history.html").read_text()
    assert "1 with a throughput" in page and "model resnet50, since 2" in page


def test_another_database_by_its_config(gbench: Gbench, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("schema: sqlite\ndatabase: other.sqlite\n")
    save(drawn(), tmp_path / "one.yaml")
    assert gbench("cndb", "submit", "one.yaml", "--db", "other.yaml").code == 0
    answer = gbench("report", "--history", "--db", "other.yaml", "-o", "page.html")
    assert (answer.code, answer.out, answer.err) == (0, "page.html\n", "")
    assert "other.sqlite" in (tmp_path / "page.html").read_text()


def test_a_folder_that_is_no_run_gets_one_sentence(gbench: Gbench, tmp_path: Path) -> None:
    answer = gbench("report", tmp_path)
    assert answer.code == 4
    assert answer.out == ""
    assert answer.err == f"gbench: error: {tmp_path} has no spec.json; give the folder of a gbench run\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "report needs a run folder, a record file, or --history alone; gbench report -h"),
        (["no.yaml", "--history"], 2, "report needs a run folder, a record file, or --history alone; gbench report -h"),
        (
            ["no.yaml", "--model", "m"],
            2,
            "--db, --cndb-dir, --db-timeout, --model, --since and --allow are for --history; leave them out",
        ),
        (["here"], 2, "here is not there, and no run in "),
        (["no.yaml"], 4, "no.yaml: not a mapping of record keys; fix it; docs/cndb.md has every key"),
        (["one.yaml", "-o", "no/page.html"], 4, "can't write no/page.html (No such file or directory); its folder"),
        (
            ["one.yaml", "-o", "./one.yaml"],
            2,
            "the page would take the place of the record one.yaml; give",
        ),
        (
            ["--history", "--since", "soon"],
            2,
            "--since 'soon' isn't a valid time; write a date (2026-01-31), an age (30d, 12h, 2w)",
        ),
        (["--history", "--db", "nowhere"], 2, "DATABASE 'nowhere' is neither a known name nor a config file; "),
        (["--history"], 4, "there is no database "),
    ],
)
def test_what_can_not_be_shown_gets_one_sentence(
    arguments: list[str], code: int, said: str, gbench: Gbench, tmp_path: Path
) -> None:
    (tmp_path / "no.yaml").write_text("text")
    save(drawn(), tmp_path / "one.yaml")
    answer = gbench("report", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith(f"gbench: error: {said}") and answer.err.count("\n") == 1


def test_an_empty_history_gets_one_sentence_and_no_page(gbench: Gbench, tmp_path: Path) -> None:
    prepared(embedded(tmp_path))
    answer = gbench("report", "--history", "--cndb-dir", tmp_path)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        f"gbench: error: database {tmp_path / 'cndb.sqlite'} holds no result with a throughput; "
        "gbench cndb submit RECORD stores one\n"
    )
    assert not (tmp_path / "history.html").exists()
