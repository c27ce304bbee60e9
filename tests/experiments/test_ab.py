"""`gbench ab` as a user runs it, on a fast run script that reports given figures."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml
from support import Answer, spec_of_script

from gbench.base.files import locked
from gbench.cli.shared.output import Terminal
from gbench.cndb.record_file import read_record
from gbench.errors import InfrastructureError, UsageError
from gbench.experiments.ab import result_of, run_session
from gbench.experiments.session import read_session
from gbench.runners import local

# RATE: what it measures, in UNIT. At run number FAILS of a session it fails, at HANGS it never ends.
SCRIPT = """
number=$(ls -d "$(dirname "$RUN_DIR")"/*pix2pix* | wc -l)
[ "$number" = "${FAILS:-}" ] && exit 9
[ "$number" = "${HANGS:-}" ] && echo hangs && sleep 1000
echo "network:mine, batch size:$BATCH_SIZE, device count:$DEVICE_COUNT, dpf mode:Single, precision:$PRECISION, \
throughput:$RATE ${UNIT:-samples/s}, device:Card X, dataset:$DATASETS" >> "$BENCHMARK_LOG"
"""
Write = Callable[..., Path]


@pytest.fixture
def write(facades: Path, tmp_path: Path) -> Write:
    """Writes a spec file of a run that measures `rate`."""
    script = tmp_path / "mine.sh"
    script.write_text(SCRIPT)

    def write(name: str, rate: float, **more: object) -> Path:
        values = {**spec_of_script(script, facades), "env": {"RATE": str(rate)}}
        path = tmp_path / name
        path.write_text(yaml.safe_dump({**values, **more}))
        return path

    return write


def the_session(tmp_path: Path) -> Path:
    (folder,) = (tmp_path / "results").iterdir()
    return folder


def test_the_ratio_of_two_specs(gbench: Callable[..., Answer], write: Write, tmp_path: Path) -> None:
    a, b = write("a.yaml", 100), write("b.yaml", 105, batch_size=8)
    answer = gbench("ab", a, b, "--json")
    assert answer.code == 0, answer.err
    said = answer.json
    assert said["ratio"]["ratio"] == pytest.approx(1.05)
    assert 1.049 < said["ratio"]["low"] < 1.05 < said["ratio"]["high"] < 1.051
    assert said["reached"] and said["sentence"].startswith("B is FASTER than A by 5%: throughput B/A 1.0500")
    assert (said["exit_code"], said["error"]) == (0, None)
    assert (said["sides"]["A"]["median"], said["sides"]["B"]["median"], said["sides"]["A"]["unit"]) == (
        100,
        105,
        "samples/s",
    )
    assert "batch_size: 4 -> 8 (other work)" in said["differences"]
    assert {"batch_size", "variables given with --env"} <= {one["field"] for one in said["differences_of_records"]}
    assert "A -> B          batch_size: 4 -> 8 (other work)" in answer.err

    session = read_session(the_session(tmp_path))
    assert "".join(run.side for run in session.runs) == "ABBABAABBAABABBA"
    assert said["session"] == str(the_session(tmp_path))
    for run in session.runs:
        record = read_record(Path(run.record))
        assert record.run_id == run.run_id == Path(run.run_dir).name
        assert (record.perf_data or {})["throughput"] == run.figure
        assert (record.extra or {})["env"] == {"RATE": {"A": "100", "B": "105"}[run.side]}
    assert not list((tmp_path / "cndb").glob("*.sqlite"))


def test_blocks_used_up_are_inconclusive_and_resume_goes_on(
    gbench: Callable[..., Answer], write: Write, tmp_path: Path
) -> None:
    a, b = write("a.yaml", 100), write("b.yaml", 100)
    answer = gbench("ab", a, b, "--max-blocks", 1, "-q")
    assert answer.code == 3
    assert answer.out.splitlines()[-1].startswith("INCONCLUSIVE: throughput B/A 1.0000, of one block")
    assert "A and B do not differ" in answer.out
    assert f"to go on        gbench ab --resume {the_session(tmp_path)} --max-blocks 4\n" in answer.out
    assert answer.err == ""
    dry = gbench("ab", "--resume", the_session(tmp_path), "--dry-run")
    assert dry.out.splitlines()[-1].startswith("next run      none")
    (tmp_path / "logs").rename(tmp_path / "kept")
    (tmp_path / "logs").write_text("where no log can be written; nor is any to be")
    told = gbench("ab", "--resume", the_session(tmp_path), "-q")
    assert (told.code, told.out.splitlines()[-1]) == (3, answer.out.splitlines()[-1]), told.err
    (tmp_path / "logs").unlink()
    b.unlink()  # the session has it
    again = gbench("ab", "--resume", the_session(tmp_path), "--max-blocks", 2, "--json")
    assert again.code == 3
    assert again.json["sentence"].startswith(
        "INCONCLUSIVE, 4 blocks at least are needed: NO DIFFERENCE distinguishable from noise"
    )
    assert len(again.json["runs"]) == 8
    narrower = gbench("ab", "--resume", the_session(tmp_path), "--max-blocks", 2, "--until-ci", "0.01%", "--json")
    assert narrower.json["sentence"].startswith("INCONCLUSIVE, +-0.129% where +-0.01% was asked for: ")


def test_a_run_that_fails_ends_the_session_and_says_whose(
    gbench: Callable[..., Answer], write: Write, tmp_path: Path
) -> None:
    a, b = write("a.yaml", 100), write("b.yaml", 100, env={"RATE": "100", "FAILS": "2"})
    answer = gbench("ab", a, b)
    assert answer.code == 1
    last = answer.err.splitlines()[-1]
    assert last.startswith(f"gbench: error: B ({b}): the run script ended with exit code 9")
    assert f"go on with gbench ab --resume {the_session(tmp_path)}" in last
    assert "NOTHING KNOWN YET" in answer.out
    assert [run.side for run in read_session(the_session(tmp_path)).runs] == ["A"]


def test_the_json_of_a_session_that_failed_says_so(gbench: Callable[..., Answer], write: Write) -> None:
    answer = gbench("ab", write("a.yaml", 100, env={"RATE": "100", "FAILS": "1"}), write("b.yaml", 100), "--json", "-q")
    assert (answer.code, answer.json["exit_code"]) == (1, 1)
    assert "the run script ended with exit code 9" in answer.json["error"]


def test_figures_of_two_units_have_no_ratio(gbench: Callable[..., Answer], write: Write, tmp_path: Path) -> None:
    a, b = write("a.yaml", 100), write("b.yaml", 100, env={"RATE": "100", "UNIT": "tokens/s"})
    answer = gbench("ab", a, b, "-q")
    assert answer.code == 1
    assert f"B ({b}): its throughput is in tokens/s, that of the first run in samples/s" in answer.err
    assert len(read_session(the_session(tmp_path)).runs) == 1


def test_a_run_script_that_says_no_figure_of_that_name(gbench: Callable[..., Answer], write: Write) -> None:
    answer = gbench("ab", write("a.yaml", 100), write("b.yaml", 100), "--metric", "energy", "-q")
    assert answer.code == 1
    assert "says no energy above 0; fix the run script, or begin a session with another --metric" in answer.err


def test_a_session_goes_on_from_its_records_and_processes(
    gbench: Callable[..., Answer], write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = write("a.yaml", 100), write("b.yaml", 100, env={"RATE": "100", "OTHER": "x"})
    assert gbench("ab", a, b, "--max-blocks", 1, "-q").code == 3
    folder = the_session(tmp_path)
    session = read_session(folder)
    unused = session.runs[0].model_copy(update={"figure": 900.0, "used": False})
    found = result_of(session.model_copy(update={"runs": (*session.runs, unused)}))
    assert (found.medians, found.runs) == ({"A": 100, "B": 100}, {"A": 2, "B": 2})
    assert found.causes == []  # differences of software are only reported if there is a change to explain
    more = session.model_copy(update={"asked": session.asked.model_copy(update={"max_blocks": 2})})
    shutil.copytree(session.runs[0].run_dir, folder / "lost")
    monkeypatch.setattr(local, "ENDING_S", 0.0)
    lock = locked(folder / "lost" / ".processes.lock", 0, "the run of a gbench that was killed")
    with lock, pytest.raises(InfrastructureError, match="lost is in use by another process"):
        run_session(more, folder, os.environ, Terminal(quiet=True))
    Path(session.runs[0].record).unlink()
    with pytest.raises(UsageError, match="a session needs its records: put it back"):
        run_session(more, folder, os.environ, Terminal(quiet=True))
    assert len(read_session(folder).runs) == 4


@contextmanager
def hanging(folder: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A session whose next run hangs; at the end of the context, it and all its child processes must have ended."""
    command = [sys.executable, "-m", "gbench", "ab", *map(str, arguments)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "hangs\n" in iter(process.stderr.readline, "")
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        yield process
    _, alive = psutil.wait_procs(children, timeout=300)
    assert not alive


def test_ctrl_c_tells_what_is_known_and_leaves_nothing_running(write: Write, tmp_path: Path) -> None:
    a, b = write("a.yaml", 100), write("b.yaml", 103, env={"RATE": "103", "HANGS": "5"})
    with hanging(tmp_path, a, b) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "INCONCLUSIVE: throughput B/A 1.0300, of one block" in out
    folder = the_session(tmp_path)
    assert err.splitlines()[-1] == (
        f"gbench: error: stopped by Ctrl-C; what was measured is kept; go on with gbench ab --resume {folder}"
    )
    session = read_session(folder)
    assert [run.side for run in session.runs] == ["A", "B", "B", "A"]
    assert session.ratio is not None and session.ratio.ratio == pytest.approx(1.03)


def test_a_session_that_was_killed_goes_on(gbench: Callable[..., Answer], write: Write, tmp_path: Path) -> None:
    """Killed in the third run, whose partner would have been the fourth: the pair before it stays."""
    a, b = write("a.yaml", 100), write("b.yaml", 103, env={"RATE": "103", "HANGS": "3"})
    with hanging(tmp_path, a, b) as process:
        process.kill()
    folder = the_session(tmp_path)
    kept = read_session(folder).runs
    assert [run.side for run in kept] == ["A", "B"]
    answer = gbench("ab", "--resume", folder, "--max-blocks", 1, "--json", "-q")
    assert answer.code == 3, answer.err
    session = read_session(folder)
    assert session.runs[:2] == kept
    assert "".join(run.side for run in session.used) == "ABBA"
    assert answer.json["ratio"]["ratio"] == pytest.approx(1.03)


def test_a_dry_run_starts_nothing(gbench: Callable[..., Answer], write: Write, tmp_path: Path) -> None:
    a, b = write("a.yaml", 100), write("b.yaml", 100, precision="BF16")
    said = gbench("ab", a, b, "--dry-run", "--json").json
    assert said["differences"] == ["precision: FP32 -> BF16 (other work)"]
    assert said["sides"]["B"]["request"]["environment"]["PRECISION"] == "BF16"
    assert said["asked"] == {"metric": "throughput", "until_ci": 0.01, "max_blocks": 20, "max_time_s": None}
    text = gbench("ab", a, b, "--dry-run", "--until-ci", "2%")
    assert text.code == 0
    assert "precision: FP32 -> BF16 (other work)" in text.out
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"datasets_dir": "nowhere"}, "DATASETS_DIR"),
        ({"runner": "docker"}, "Docker can't be used"),
        ({"cndb_dir": "b.yaml"}, "can't write {}/b.yaml/records (Not a directory)"),
        ({"logs": "b.yaml/logs"}, "can't write {}/b.yaml/logs (Not a directory)"),
    ],
)
def test_a_side_that_can_not_run_is_told_before_any_run(
    gbench: Callable[..., Answer], write: Write, tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    a, b = write("a.yaml", 100), write("b.yaml", 100, **changes)
    answer = gbench("ab", a, b, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert answer.code == 4
    assert f"error: B ({b}): {said.format(tmp_path)}" in answer.err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["two spec files are needed"]),
        (["{a}"], ["two spec files are needed"]),
        (["{a}", "{none}"], ["none.yaml can't be read"]),
        (["{a}", "{stored}"], ["database: no database takes runs of gbench ab"]),
        (["{a}", "{placed}"], ["results: run folders are made", "--results"]),
        (["{a}", "{a}", "--metric", "loss-l1"], ["'loss-l1' is not one of"]),
        (["{a}", "{a}", "--resume", "."], ["--resume takes all else from its session"]),
        (["--resume", ".", "--results", "elsewhere"], ["--resume takes all else", "--results and --rebuild"]),
        (["--resume", ".", "--rebuild"], ["--resume takes all else", "--results and --rebuild"]),
        (["{a}", "{tuned}", "--dry-run"], ["error: B ({tuned}): --profile optimized: no tuning is remembered"]),
    ],
)
def test_what_is_answered_with_one_sentence(
    gbench: Callable[..., Answer], write: Write, tmp_path: Path, arguments: list[str], parts: list[str]
) -> None:
    files = {
        "a": write("a.yaml", 100),
        "none": tmp_path / "none.yaml",
        "stored": write("stored.yaml", 100, database="gpu-performance"),
        "tuned": write("tuned.yaml", 100, profile="optimized", cache_dir=str(tmp_path)),
        "placed": write("placed.yaml", 100, results="elsewhere"),
    }
    answer = gbench("ab", *(text.format(**files) for text in arguments))
    assert answer.code == 2
    assert all(part.format(**files) in answer.err for part in parts), answer.err
    assert answer.err.count("\n") == 1
    no_session = gbench("ab", "--resume", ".")
    assert (no_session.code, "has no ab.json" in no_session.err) == (4, True)


@pytest.mark.parametrize(
    ("option", "code", "said"),
    [
        ("--dry-run", 0, "network.ngf: 8 -> 16"),
        pytest.param("--max-blocks=1", 3, "throughput B/A", marks=pytest.mark.slow),
    ],
)
def test_the_pair_in_the_docs_runs_on_a_cpu(tmp_path: Path, option: str, code: int, said: str) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "ab.md").read_text()
    pasted = textwrap.dedent(page[page.index("    gbench data synth --count") : page.index("\n## Spec files")])
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "GBENCH_DEFAULTS": ""}
    assert "\nsteps: 20\nwarmup: 5\n" in pasted
    fewer = pasted.replace("\nsteps: 20\nwarmup: 5\n", "\nsteps: 4\nwarmup: 1\n")
    typed = fewer.rstrip() + f" {option} -q"
    answer = subprocess.run(["bash", "-ec", typed], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert answer.returncode == code, answer.stderr
    assert said in answer.stdout
