"""`gbench calibrate` with a script whose figure is what its delay makes of it, and what uses the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

Gbench = Callable[..., Answer]
# Steps of 10 ms and the delay, with a noise of up to 0.3 % by the number of the launch; a launch named in `fail` fails.
SCRIPT = """set -e
count=$(( $(cat {base}/count 2>/dev/null || echo 0) + 1 ))
echo $count > {base}/count
if [ -e {base}/fail ] && [ "$(cat {base}/fail)" = $count ]; then exit 9; fi
awk -v n=$count -v delay="${{GBENCH_STEP_DELAY_S:-0}}" 'BEGIN {{
    printf "network:mine, batch size:4, device count:1, dpf mode:Single, precision:FP32, throughput:%.6f samples/s, "\\
    "device:Card X, dataset:none\\n", 4 / (0.010 + delay) * (1 + 0.003 * ((n * 7) % 11 - 5) / 5) }}' >> "$BENCHMARK_LOG"
"""


@pytest.fixture
def arguments(tmp_path: Path, facades: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    script = tmp_path / "mine.sh"
    script.write_text(SCRIPT.format(base=tmp_path))
    what = ["pix2pix_resnet_9blocks", 4, 1, "FP32", "--device", "cpu", "--runner", "local", "--datasets-dir", facades]
    return [*what, "--dataset", "synthetic", "--run-model-file", script, "-q"]


def test_it_goes_on_after_a_failure_and_is_then_used(gbench: Gbench, arguments: list[object], tmp_path: Path) -> None:
    (tmp_path / "fail").write_text("6\n")
    failed = gbench("calibrate", *arguments, "--blocks", 1)
    assert failed.code == 1 and "go on with gbench calibrate --resume " in failed.err
    folder = Path(failed.err.rpartition("--resume ")[2].strip())
    found = gbench("calibrate", "--resume", folder, "--json", "-q")
    assert found.code == 0, found.err
    assert int((tmp_path / "count").read_text()) == 4 * 4 + 2  # the failed launch, and the other of its pair
    values = found.json
    assert len(values["runs"]) == 10 and 0.001 < values["run_sd"] < 0.003
    for one, loss in zip(values["slowed"], (0.01, 0.02, 0.03), strict=True):
        assert (one["inserted"], one["low"]) == (loss, None)
        assert one["measured"] == pytest.approx(loss, abs=0.005)
    assert [one["runs"] for one in values["compare"]] == [one["runs"] for one in values["nightly"]] == [1, 2, 3, 5]
    assert all(one["false_alarms"] == 0 and 0.015 < one["finds"] < 0.03 for one in values["compare"])
    assert not list((tmp_path / "cndb").glob("records/*"))

    plain = sorted(folder.glob("loss-0/2*-pix2pix*"))
    alike = gbench("compare", f"{plain[0]},{plain[1]}", f"{plain[2]},{plain[3]}")
    assert alike.code == 0, alike.err
    assert alike.out.splitlines()[-1].endswith("; on this machine: below 0.1 % false alarms, finds 1.6 % with 2 runs")
    assert "that of the runs of gbench calibrate on this machine" in alike.out
    nightly = gbench("nightly", *arguments, "--runs", 2, "--max-runs", 2)
    assert nightly.code == 0 and "; on this machine: " in nightly.out.splitlines()[-1], nightly.err
    check = gbench("check", *arguments[4:10], "--dataset", "synthetic", "--json")
    (line,) = [one["found"] for one in check.json["checks"] if one["id"] == "calibration"]
    assert line.startswith("mine, batch 4, 1 x Card X, FP32: runs vary by 0.") and "finds 1." in line

    kept = Path(values["calibration"])
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "key": {}}))
    damaged = gbench("compare", plain[0], plain[1])
    assert f"{kept} is the calibration of another machine or configuration; remove it" in damaged.out


def test_a_dry_run_starts_nothing(gbench: Gbench, arguments: list[object], tmp_path: Path) -> None:
    planned = gbench("calibrate", *arguments, "--dry-run", "--json")
    assert planned.code == 0 and planned.json["spec"]["database"] is None
    assert not (tmp_path / "results").exists()


def test_a_machine_without_an_id_is_refused(
    gbench: Gbench, arguments: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gbench.machine.machine_key.ID_FILES", (tmp_path / "none",))
    answer = gbench("calibrate", *arguments)
    assert (answer.code, "this machine has no id" in answer.err) == (4, True)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--resume", "."], 4, "has no calibrate.json; give the folder of a gbench calibrate"),
        (["--blocks", 0], 2, "0 is not in the range"),
        ([], 2, "missing argument 'MODEL'"),
    ],
)
def test_wrong_arguments_are_one_sentence(gbench: Gbench, more: list[object], code: int, said: str) -> None:
    answer = gbench("calibrate", *more)
    assert (answer.code, said in answer.err) == (code, True), answer.err
