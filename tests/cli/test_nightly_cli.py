"""`gbench nightly` over a database of drawn nights; tonight's runs are launches of a script that prints one."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support import Answer

from gbench.cndb.database_config import EMBEDDED_FILE, embedded
from gbench.cndb.identity import sealed
from gbench.cndb.record import Record
from gbench.cndb.record_file import read_record, write_record
from gbench.cndb.upload import Target

Gbench = Callable[..., Answer]
USUAL = [100.0, 100.4, 99.6, 100.2, 99.8, 100.1, 99.9, 100.3, 99.7, 100.0]
# Prints the throughput of the next line of `figures`, in the folder above the results; the last one again and again.
SCRIPT = """
cd ../../..
figure=$(head -n 1 figures)
if [ "$figure" = fail ]; then exit 9; fi
if [ "$(wc -l < figures)" -gt 1 ]; then sed -i 1d figures; fi
echo "network:mine, batch size:1, device count:1, dpf mode:DP, precision:FP32, throughput:$figure img/s, \
device:Card X, dataset:facades" >> "$BENCHMARK_LOG"
"""


class Nights:
    """A CNDB folder with earlier nights of one configuration."""

    def __init__(self, base: Path, gbench: Gbench, facades: Path) -> None:
        self.base, self._gbench = base, gbench
        self.script = base / "mine.sh"
        self.script.write_text(SCRIPT)
        self._arguments = ["pix2pix_resnet_9blocks", 1, 1, "FP32", "--device", "cpu", "--runner", "local"]
        self._arguments += ["--datasets-dir", facades, "--run-model-file", self.script, "--results", "night/runs"]
        self._arguments += ["--logs", "night/logs", "-q"]

    def tonight(self, figures: Sequence[float | str], *more: object, runs: int = 2) -> Answer:
        (self.base / "figures").write_text("".join(f"{figure}\n" for figure in figures))
        return self._gbench("nightly", *self._arguments, "--runs", runs, "--max-runs", runs, *more)

    def records(self, nights: Sequence[float]) -> list[Record]:
        """Two runs a night, the last night yesterday; their files are in the CNDB folder."""
        (self.base / "figures").write_text("1\n")
        answer = self._gbench("launch", *self._arguments, "--cndb-dir", "template", "--json")
        assert answer.code == 0, answer.err
        template = read_record(Path(answer.json["paths"]["record"]))
        made = []
        for place, figure in enumerate(nights):
            for run in range(2):
                when = datetime.now(timezone.utc) - timedelta(days=len(nights) - place, minutes=-run)
                run_id = f"{when:%Y%m%dT%H%M%SZ}-pix2pix_resnet_9blocks-{place:05x}{run}"
                extra = {**(template.extra or {}), "run_id": run_id, "started_utc": when.isoformat()}
                perf = {**(template.perf_data or {}), "throughput": figure * (1 + 0.0005 * run)}
                made.append(sealed(template.model_copy(update={"extra": extra, "perf_data": perf})))
                write_record(made[-1], self.base / "cndb", run_id)
        return made

    def store(self, nights: Sequence[float]) -> None:
        Target(embedded(self.base / "cndb")).store(self.records(nights), "save")


@pytest.fixture
def nights(tmp_path: Path, gbench: Gbench, facades: Path) -> Nights:
    return Nights(tmp_path, gbench, facades)


def test_below_ten_nights_only_a_gross_loss_is_an_alarm(nights: Nights) -> None:
    first = nights.tonight([100.0], runs=1)
    assert first.code == 0, first.err
    assert "no baseline nightly is pinned (gbench cndb baseline set)" in first.out
    assert first.out.splitlines()[-1].startswith("NO VERDICT YET: 0 of 10 earlier nights; throughput 100 img/s")
    nights.store(USUAL[:3])
    assert nights.tonight([90.0], runs=1).code == 0
    lost = nights.tonight([14.0], runs=1)
    assert lost.code == 1
    assert lost.out.splitlines()[-1] == "REGRESSION: throughput -86.0%; 1 run tonight against 4 nights"


def test_a_loss_is_1_and_the_command_that_pins_works(nights: Nights, gbench: Gbench) -> None:
    nights.store([*USUAL, *USUAL])
    pages = ["--markdown", "summary.md", "--junit", "junit.xml"]
    slow = nights.tonight([95.0, 95.1], *pages)
    assert slow.code == 1, slow.out + slow.err
    assert slow.out.splitlines()[-1].startswith("REGRESSION: throughput -5.0% (95 % interval ")
    assert slow.out.splitlines()[-1].endswith("2 runs tonight against 10 nights")
    assert "regression" in (nights.base / "summary.md").read_text()
    suite = ET.parse(nights.base / "junit.xml").getroot()
    assert (suite.get("name"), suite.get("failures"), suite.get("tests")) == ("gbench nightly", "1", "1")
    (command,) = [line for line in slow.out.splitlines() if line.startswith("note: pin the latest nights: gbench ")]
    pinned = gbench(*command.partition("gbench ")[2].replace("WHY", "because").split())
    assert pinned.code == 0, pinned.err
    usual = nights.tonight([100.0, 100.1], "--json", *pages)
    assert usual.code == 0
    assert (usual.json["verdict"], usual.json["anchor"]["pinned"]) == ("no regression", True)
    assert usual.json["figures"][0]["change"] == pytest.approx(0.0, abs=0.01)
    assert ET.parse(nights.base / "junit.xml").getroot().get("failures") == "0"


def test_an_improvement_proposes_a_new_anchor(nights: Nights) -> None:
    nights.store([*USUAL, 105.0, 105.2])
    better = nights.tonight([105.1, 105.0])
    assert better.code == 0
    assert "IMPROVED: throughput +5.1%" in better.out and "since 3 nights" in better.out
    assert "note: pin the latest nights: gbench cndb baseline set nightly " in better.out


def test_one_odd_run_is_confirmed_by_more_runs_or_not(nights: Nights) -> None:
    nights.store([*USUAL, *USUAL])
    alone = nights.tonight([90.0], runs=1)
    assert alone.code == 0
    assert "INCONCLUSIVE: throughput -10.0%" in alone.out and "unconfirmed: one run alone shows it" in alone.out
    odd = nights.tonight([90.0, 100.1, 100.0], "--max-runs", 5, runs=1)
    assert odd.code == 0 and "NO REGRESSION" in odd.out and "3 runs tonight" in odd.out
    slow = nights.tonight([90.0], "--max-runs", 5, runs=1)
    assert slow.code == 1 and "REGRESSION: " in slow.out


def test_inconclusive_nights_in_a_row_are_3(nights: Nights) -> None:
    nights.store([100.0, 104.0, 97.0, 103.0, 96.0, 101.0, 105.0, 95.0, 99.0, 102.0, 98.0, 97.5])
    assert nights.tonight([98.0, 98.0]).code == 0
    warned = nights.tonight([98.0, 98.0], "--inconclusive-nights", 3)
    assert warned.code == 3
    assert "INCONCLUSIVE, 3 nights in a row" in warned.out
    assert "note: 3 nights in a row are inconclusive: this machine does not show a loss of 3% in a night" in warned.out


def test_a_failed_run_or_no_baseline_is_no_regression(nights: Nights) -> None:
    failed = nights.tonight(["fail"], "--junit", "junit.xml", "--markdown", "summary.md")
    assert failed.code == 4 and "exit code 9" in failed.err
    error = ET.parse(nights.base / "junit.xml").getroot().find(".//error")
    assert error is not None and "exit code 9" in error.get("message", "")
    assert (nights.base / "summary.md").read_text().startswith("# Nightly: not measured\n\n    the run script ended")
    missing = nights.tonight([100.0], "--baseline", "other")
    assert missing.code == 2
    assert "there is no baseline other in " in missing.err


def test_a_dry_run_starts_nothing(nights: Nights) -> None:
    planned = nights.tonight(["fail"], "--dry-run", "--json")
    assert planned.code == 0
    assert planned.json["spec"]["database"] == "embedded" and json.dumps(planned.json)
    assert not (nights.base / "night").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--markdown", "nowhere/m.md"], "--markdown nowhere/m.md can't be written: there is no folder nowhere"),
        (["--junit", "."], "--junit . can't be written: it is a folder"),
        (["--max-runs", 1], "--max-runs 1 is less than --runs 2"),
        (["--allow", "hyper_params.lrate"], "--allow 'hyper_params.lrate' is not a field of these records"),
        (["--markdown", "x", "--junit", "./x"], "--markdown and --junit are the same file, x"),
    ],
)
def test_what_cannot_end_well_is_refused_before_a_run(nights: Nights, more: list[object], said: str) -> None:
    answer = nights.tonight([100.0], *more)
    assert (answer.code, said in answer.err) == (2, True), answer.err
    assert not (nights.base / "night").exists()


def test_the_pinned_nights_are_checked_before_a_run(nights: Nights, gbench: Gbench) -> None:
    nights.records(USUAL[:1])
    assert gbench("cndb", "baseline", "set", "nightly", "cndb/records/*", "--reason", "first").code == 0
    shutil.rmtree(nights.base / "night")
    energy = nights.tonight([100.0], "--metric", "energy")
    assert (energy.code, "not every run has energy; leave it out of --metric" in energy.err) == (2, True), energy.err
    (nights.base / "cndb/baselines/nightly.yaml").write_text("pins: 3\n")
    damaged = nights.tonight([100.0])
    assert (damaged.code, "nightly.yaml is not a baseline that this gbench reads" in damaged.err) == (4, True)
    assert not (nights.base / "night").exists()


def test_a_figure_that_the_first_run_lacks_ends_the_night(nights: Nights) -> None:
    answer = nights.tonight([100.0], "--metric", "energy", runs=3)
    assert (answer.code, "not every run has energy" in answer.err) == (2, True), answer.err
    assert len(list((nights.base / "night/runs").glob("*/spec.json"))) == 1


def test_a_database_that_fails_leaves_records_to_send(nights: Nights, gbench: Gbench) -> None:
    (nights.base / "cndb").mkdir()
    (nights.base / "cndb" / EMBEDDED_FILE).write_text("this is no database, but as long as the head of one" * 4)
    answer = nights.tonight([100.0], "--markdown", "summary.md")
    assert answer.code == 4 and "the earlier nights can't be read: " in answer.err
    assert "2 records of tonight not uploaded: " in answer.err
    assert "gbench cndb submit --pending" in answer.err
    assert "2 records of tonight not uploaded: " in (nights.base / "summary.md").read_text()
    (nights.base / "cndb" / EMBEDDED_FILE).unlink()
    assert "2 sent" in gbench("cndb", "submit", "--pending").out


def test_nights_of_other_machines_are_counted_and_left_out(nights: Nights) -> None:
    mine = nights.records(USUAL)
    there = {"machine": {"host_name": "other", "key": "f" * 16}}
    others = [one.model_copy(update={"extra": {**(one.extra or {}), **there}}) for one in mine[-2:]]
    stored = [*mine[:-2], *map(sealed, others)]
    Target(embedded(nights.base / "cndb")).store(stored, "save")
    answer = nights.tonight([100.0, 100.1])
    assert "NO VERDICT YET: 9 of 10 earlier nights" in answer.out, answer.out
    assert "note: 2 records of other machines are left out of the earlier runs; --allow machine admits" in answer.out
    assert "NO REGRESSION" in nights.tonight([100.0, 100.1], "--allow", "machine").out
