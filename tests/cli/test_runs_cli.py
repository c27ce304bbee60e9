"""`gbench runs` and `gbench watch` as a user runs them, and run folders found by name in every command."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from gbench.base.files import locked
from gbench.errors import RunFailed
from gbench.runfolder.error_file import write_error
from gbench.runfolder.find import find_run
from gbench.settings.spec import RunSpec
from run_folders import DAMAGED, write_run

Gbench = Callable[..., Answer]
MakeSpec = Callable[..., RunSpec]
KEPT = Path(__file__).resolve().parents[1] / "fixtures" / "run-folders-v1"
RUN = "20261129T082525Z-pix2pix_resnet_9blocks-c3e08b"
DIVERGED = "20261129T083215Z-pix2pix_resnet_9blocks-40c1c4"
CONVERGENCE = "20261129T090254Z-pix2pix_resnet_9blocks-02c16d"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Kept runs in the folder of results of a user's working folder."""
    return Path(shutil.copytree(KEPT / "results", tmp_path / "results"))


def states(answer: Answer) -> dict[str, str]:
    return {Path(row["path"]).name: row["state"] for row in answer.json}


def test_kept_runs_are_listed_newest_first(gbench: Gbench, results: Path) -> None:
    (results / "no run").mkdir()
    (results / "note.txt").touch()
    lines = [line.split() for line in gbench("runs").out.splitlines()]
    assert [(words[0][:16], *words[1:7]) for words in lines[1:]] == [
        ("20261129T090254Z", "complete", "convergence", "1", "1", "FP32", "9.229"),
        ("20261129T083215Z", "complete", "performance", "2", "1", "FP32", "5.453"),
        ("20261129T082555Z", "complete", "tuning", "2", "1", "FP32", "no"),
        ("20261129T082542Z", "complete", "profile", "2", "1", "FP32", "0.05097"),
        ("20261129T082525Z", "complete", "performance", "2", "1", "FP32", "55.39"),
        ("20261129T082503Z", "complete", "performance", "2", "2", "FP32", "48.75"),
    ]
    assert "img/s  MAE 0.2532  PSNR 15.84  SSIM 0.07843  not judged" in gbench("runs", "--limit", 1).out
    verdicts = [row["verdict"] for row in gbench("runs", "--json").json]
    assert verdicts[1].startswith("neither compute- nor memory-bound: ")
    assert all(len(line) <= 80 for line in gbench("runs", COLUMNS="80").out.splitlines())


def test_states(gbench: Gbench, make_spec: MakeSpec) -> None:
    made = {
        "complete": write_run(make_spec()),
        "failed": write_run(make_spec(), steps=5),
        "killed": write_run(make_spec(), ended=False),
        "stopped": write_run(make_spec(), steps=5, host={"exit_code": None}),
        "running": write_run(make_spec(), ended=False),
        "damaged": write_run(make_spec()),
    }
    write_error(failed := write_run(make_spec()), RunFailed("it fell", ""))
    (made["damaged"].path / "host.json").write_text("[")
    with made["running"].taken():
        found = states(gbench("runs", "--json"))
    assert found == {run.path.name: state for state, run in made.items()} | {failed.path.name: "failed"}


@pytest.mark.parametrize("name", ["spec.json", "host.json", "result.json", "evaluations/final/evaluation.json"])
def test_a_damaged_run_is_one_word(gbench: Gbench, results: Path, name: str) -> None:
    for text in DAMAGED:
        (results / CONVERGENCE / name).write_bytes(text)
        answer = gbench("runs", "--json")
        assert (answer.code, answer.err, len(answer.json)) == (0, "", 6)
        problem = next(row["problem"] for row in answer.json if row["path"].endswith(CONVERGENCE))
        lacks_all = "failed" if name == "host.json" and text == b'{"version": 1}' else "damaged"
        assert states(answer)[CONVERGENCE] == lacks_all, text[:20]
        assert problem.startswith(f"{name} ") if lacks_all == "damaged" else problem == ""
        assert lacks_all == "failed" or f"{name} " in gbench("runs").out


@pytest.mark.parametrize(
    ("name", "text"), [("environment.json", "["), ("steps-rank0.jsonl", ""), ("steps-rank0.jsonl", None)]
)
def test_a_run_whose_samples_are_gone_is_damaged(gbench: Gbench, results: Path, name: str, text: str | None) -> None:
    path = results / RUN / name
    path.unlink() if text is None else path.write_text(text)
    answer = gbench("runs", "--json")
    assert states(answer)[RUN] == "damaged"
    assert [row["problem"].split()[0] for row in answer.json if row["path"].endswith(RUN)] == [name]
    watched = gbench("watch", RUN[:15])
    assert (watched.code, "damaged" in watched.out, name in watched.out) == (1, True, True)


def test_no_runs(gbench: Gbench, tmp_path: Path) -> None:
    assert gbench("runs").out == f"no runs in {tmp_path / 'results'}\n"
    assert gbench("runs", "--results", "nowhere").code == 2


RECORD = str(next((KEPT / "records").glob(f"*{RUN}.yaml")))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("summary",), 0, "55.39 img/s"),
        (("report",), 0, f"results/{RUN}/report.html"),
        (("watch",), 0, f"results/{RUN}\n"),
        (("cndb", "submit"), 0, "1 inserted"),
        (("cndb", "verify", RECORD, "--run"), 0, "the record holds"),
        (("compare", "--explain", RECORD), 0, "nothing that the records hold differs"),
        (("cndb", "baseline", "set", "one", "--reason", "r"), 0, "baseline one: 1 runs"),
        (("replay", "--dry-run"), 0, "not reproduced: dataset_sha256"),
        (("eval",), 2, f"results/{RUN}"),
        (("converge", "--resume"), 2, f"results/{RUN} has come to its end"),
        (("converge", "--check"), 1, f"results/{RUN}"),
        (("converge", "--out", "new.yaml", "--add-reference"), 2, f"results/{RUN} has no G_GAN"),
    ],
)
@pytest.mark.parametrize("name", [RUN[:15] + "…", "latest"])
def test_every_verb_finds_a_run(
    gbench: Gbench, results: Path, arguments: tuple[str, ...], code: int, said: str, name: str
) -> None:
    for later in results.iterdir():
        if later.name > RUN:
            shutil.rmtree(later)
    answer = gbench(*arguments, name)
    assert (answer.code, said in answer.out + answer.err) == (code, True), answer


def test_a_run_that_is_starting_is_not_the_latest(gbench: Gbench, results: Path, make_spec: MakeSpec) -> None:
    run = write_run(make_spec(results_dir=str(results)), steps=3, warmup=3, ended=False)
    with locked(run.path / ".lock", 0, "run"):
        assert "9.229 img/s" in gbench("summary", "latest").out
        here = {"RESULT_DIR": str(results), "GBENCH_DEFAULTS": ""}
        assert find_run("latest", environ=here) == results / CONVERGENCE
        assert find_run("latest", environ=here, starting=True) == run.path
    assert str(run.path) in gbench("summary", "latest").err
    assert run.path.name in gbench("watch").out


@pytest.mark.parametrize(("verb", "marker"), [("ab", "ab.json"), ("sweep", "sweep.json")])
def test_latest_is_of_the_verb(gbench: Gbench, results: Path, verb: str, marker: str) -> None:
    session = results / f"20261128T000000Z-{verb}-1a2b3c"
    session.mkdir()
    (session / marker).write_text("{")
    answer = gbench(verb, "--resume", "latest")
    assert answer.code == 4 and str(session / marker) in answer.err


def test_a_name_that_fits_no_run_or_several(gbench: Gbench, results: Path, tmp_path: Path) -> None:
    several = gbench("summary", RUN[:9])
    assert several.code == 2
    assert several.err.startswith("gbench: error: 6 runs begin with 20261129T: 20261129T090254Z-")
    assert several.err.endswith(", ...; give more of the name\n")
    assert gbench("summary", "nothing").err == (
        f"gbench: error: nothing is not there, and no run in {results} has a name that begins so; see `gbench runs`\n"
    )
    assert gbench("sweep", "--resume", "latest").err == (
        f"gbench: error: there is no sweep in {results}; start one, or give the path of another\n"
    )
    assert gbench("summary", "no/run").err.startswith("gbench: error: no/run can't be read (No such file or directory)")
    (tmp_path / "latest").mkdir()  # a path that is there is what it says
    assert gbench("summary", "latest").err.startswith("gbench: error: latest has no spec.json")


def test_runs_are_found_where_launch_puts_them(gbench: Gbench, results: Path, tmp_path: Path) -> None:
    results.rename(tmp_path / "elsewhere")
    (tmp_path / "gbench.yaml").write_text("results: elsewhere\n")
    assert gbench("summary", RUN[:15]).code == 2
    assert gbench("summary", RUN[:15], GBENCH_DEFAULTS="gbench.yaml").code == 0
    assert gbench("summary", RUN[:15], RESULT_DIR="elsewhere").code == 0
    assert gbench("summary", RUN[:15], RESULT_DIR="nowhere", GBENCH_DEFAULTS="gbench.yaml").code == 2


def test_prune_removes_all_but_the_newest(gbench: Gbench, results: Path) -> None:
    before = sorted(results.rglob("*"))
    planned = gbench("runs", "prune", "--keep", 4, "--dry-run")
    assert sorted(results.rglob("*")) == before
    done = gbench("runs", "prune", "--keep", 4)
    assert (done.code, done.err) == (0, "")
    removed = re.findall(r"removed +(\S+)  [0-9.]+ .iB\n", done.out)
    assert [Path(path).name for path in removed] == [RUN, "20261129T082503Z-pix2pix_resnet_9blocks-f68435"]
    assert re.fullmatch(r"2 of 6 runs, [0-9.]+ .iB freed", done.out.splitlines()[-1])
    assert planned.out == done.out.replace("removed     ", "would remove").replace(" freed", " would be freed")
    assert not any(Path(path).exists() for path in removed)
    assert len(gbench("runs", "--json").json) == 4


def test_prune_keeps_what_is_not_its_own(gbench: Gbench, results: Path, tmp_path: Path) -> None:
    (results / RUN).rename(results / "the good one")
    mine = results / "20200101T000000Z-mine-1a2b3c"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    for spec in ("{}", "[", '{"run_id": "other"}', "[" * 9999):
        (mine / "spec.json").write_text(spec)
        assert (mine.name in gbench("runs", "prune", "--keep", 0, "--dry-run", "--json").json["removed"]) is False
    session = results / "20200101T000000Z-ab-1a2b3c"
    shutil.copytree(results / CONVERGENCE, session / CONVERGENCE)
    (tmp_path / "linked").mkdir()
    (results / CONVERGENCE).rename(tmp_path / "linked" / CONVERGENCE)
    (results / CONVERGENCE).symlink_to(tmp_path / "linked" / CONVERGENCE)
    (results / DIVERGED / "loop").symlink_to(tmp_path)
    answer = gbench("runs", "prune", "--keep", 0)
    assert answer.code == 0
    assert {line.split("  ")[-1] for line in answer.out.splitlines() if line.startswith("kept")} == {
        "not named by gbench"
    }
    assert {path.name for path in results.iterdir()} == {"the good one", mine.name, session.name, CONVERGENCE}
    assert (mine / "thesis.txt").exists() and (session / CONVERGENCE / "spec.json").exists()
    assert (tmp_path / "linked" / CONVERGENCE / "spec.json").exists()


def test_prune_keeps_what_is_alive(gbench: Gbench, make_spec: MakeSpec) -> None:
    running, orphaned, begun, killed, damaged = runs = [write_run(make_spec(), ended=False) for _ in range(5)]
    for run in (killed, damaged):
        for file in run.path.iterdir():
            os.utime(file, (0, 0))
    (damaged.path / "host.json").write_text("[")
    os.utime(damaged.path / "host.json", (0, 0))
    with running.taken(), locked(orphaned.path / ".processes.lock", 0, ""):
        answer = gbench("runs", "prune", "--keep", 0, "--json")
    assert answer.json["kept"] == {
        str(running.path): "running",
        str(orphaned.path): "running",
        str(begun.path): "written to just now",
    }
    assert [run.path.exists() for run in runs] == [True, True, True, False, False]
    assert answer.json["freed_bytes"] == sum(answer.json["removed"].values()) > 0


def test_options_of_runs_are_those_of_prune(gbench: Gbench, results: Path, tmp_path: Path) -> None:
    (other := tmp_path / "other").mkdir()
    answer = gbench("runs", "--results", other, "--json", "prune", "--keep", 0)
    assert (answer.json["removed"], len(list(results.iterdir()))) == ({}, 6)


def test_prune_counts_what_it_could_remove(gbench: Gbench, results: Path) -> None:
    future = results / "29991231T000000Z-m-1a2b3c"
    future.mkdir()
    (future / "spec.json").write_text(json.dumps({"run_id": future.name}))
    os.utime(future / "spec.json", (32503593600, 32503593600))
    (results / CONVERGENCE).rename(results / f"{CONVERGENCE}-mine")
    answer = gbench("runs", "prune", "--keep", 4, "--json")
    assert answer.json["kept"] == {
        str(future): "its time is in the future",
        str(results / f"{CONVERGENCE}-mine"): "not named by gbench",
    }
    assert list(answer.json["removed"]) == [str(results / "20261129T082503Z-pix2pix_resnet_9blocks-f68435")]


def test_prune_removes_a_killed_run_of_the_future(gbench: Gbench, make_spec: MakeSpec) -> None:
    killed = write_run(make_spec(), ended=False)
    for file in killed.path.iterdir():
        os.utime(file, (32503593600, 32503593600))
    assert list(gbench("runs", "prune", "--keep", 0, "--json").json["removed"]) == [str(killed.path)]


def test_prune_keeps_what_it_cant_tell(gbench: Gbench, results: Path) -> None:
    (results / RUN / ".lock").symlink_to(".lock")
    answer = gbench("runs", "prune", "--keep", 0)
    assert answer.code == 4 and f"{RUN}/.lock can't be read (Too many levels of symbolic links)" in answer.out
    assert [path.name for path in results.iterdir()] == [RUN]


@pytest.mark.parametrize("at", [".", RUN])
def test_prune_of_a_folder_that_is_read_only(
    gbench: Gbench, results: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != results / at)  # the tests may run as root
    for more in (["--dry-run"], []):
        answer = gbench("runs", "prune", "--keep", 0, *more)
        assert answer.code == 4
        assert f"{RUN}  you may not write to {results / at}; remove it as its owner, or fix its" in answer.out
    assert (results / RUN / "log.txt").exists()


@pytest.mark.parametrize("marker", ["sweep.json", "ab.json"])
def test_prune_keeps_the_runs_of_a_sweep(gbench: Gbench, results: Path, marker: str) -> None:
    (results / marker).touch()
    answer = gbench("runs", "--results", results, "prune", "--keep", 0)
    assert (answer.code, len(list(results.iterdir()))) == (2, 7)
    assert answer.err == (
        f"gbench: error: {results} is a sweep or session, to which its runs belong; give the folder of results\n"
    )


def test_prune_by_a_gbench_yaml_is_confirmed(gbench: Gbench, results: Path, tmp_path: Path) -> None:
    (tmp_path / "gbench.yaml").write_text("results: results\n")
    prune = ["runs", "prune", "--keep", "5"]
    here = {"GBENCH_DEFAULTS": "gbench.yaml"}
    assert "1 of 6 runs" in gbench(*prune, "--dry-run", **here).out
    refused = gbench(*prune, **here)
    assert refused.err == (
        f"gbench: error: only gbench.yaml says that runs are in {results}; give --results {results} to remove some\n"
    )
    assert (refused.code, len(list(results.iterdir()))) == (2, 6)
    assert gbench(*prune, "--results", results, **here).code == 0
    assert gbench(*prune, RESULT_DIR=str(results), **here).code == 0


def test_a_cut_list_says_so(gbench: Gbench, results: Path) -> None:
    assert gbench("runs", "--limit", 5).err == "the newest 5 of 6; --limit 0 lists all\n"
    assert gbench("runs", "--limit", 6).err == gbench("runs", "--limit", 5, "--json").err == ""


def test_names_move_no_cursor(gbench: Gbench, results: Path) -> None:
    (results / RUN).rename(results / f"{RUN}\x1b[31m\n\x1b]0;owned\a")
    for arguments in (["runs"], ["runs", "prune", "--keep", "0", "--dry-run"]):
        said = gbench(*arguments).out
        assert "owned" in said and "\x1b" not in said and len(said.splitlines()) == 7


@pytest.mark.parametrize(("keep", "left"), [("2026-11-29T08:30", 2), ("0", 0), ("1", 1), ("99", 6), ("9999w", 6)])
def test_prune_keeps_a_number_or_an_age(gbench: Gbench, results: Path, keep: str, left: int) -> None:
    assert gbench("runs", "prune", "--keep", keep).code == 0
    assert len(list(results.iterdir())) == left


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "missing option '--keep'"),
        (["--keep", "few"], "--keep 'few' isn't"),
        (["--keep", "-1"], "--keep '-1'"),
        (["--keep", "2099-01-01"], "is in the future"),
        (["--keep", "٣"], "isn't"),
    ],
)
def test_prune_needs_to_know_what_to_keep(gbench: Gbench, results: Path, arguments: list[str], said: str) -> None:
    answer = gbench("runs", "prune", *arguments)
    assert (answer.code, said in answer.err, len(list(results.iterdir()))) == (2, True, 6)


def test_watch_names_the_damaged_file(gbench: Gbench, make_spec: MakeSpec) -> None:
    run = write_run(make_spec())
    (run.path / "host.json").write_text("[")
    answer = gbench("watch")
    assert answer.code == 1 and "\nstate         damaged\nproblem       host.json is broken (" in answer.out
    assert answer.out.endswith("); restore the file, or measure again\n")


def test_watch_waits_for_the_end(gbench: Gbench, make_spec: MakeSpec) -> None:
    run = write_run(make_spec(), steps=5)

    def end() -> None:
        with run.taken():
            held.set()
            time.sleep(0.5)
            run.update_host(exit_code=7)

    held, running = threading.Event(), threading.Thread(target=end)
    running.start()
    held.wait()
    answer = gbench("watch")
    running.join()
    assert (answer.code, answer.err) == (1, "")
    assert answer.out == f"run           {run.path}\nstate         failed\n"
