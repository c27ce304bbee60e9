"""Steps in columns: many lines at once are read as each alone, in little memory."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path

import pytest

from gbench.base import strict_json
from gbench.runfolder import json_lines
from gbench.runfolder.step_columns import Steps, read_attempts, steps_that_count
from gbench.runfolder.steps import Step, StepWriter, read_step


def step(number: int) -> Step:
    losses = {"G_L1": 30 + 1 / number, "D_real": float("nan") if number == 4 else 0.1}
    return Step(number, 1 + number // 10, 4, 1e-3 / number, 0.1 + 1e-3 / number, 9.0 + number, 0.5, number < 3, losses)


def write(path: Path, count: int, after: int | None = None) -> None:
    with StepWriter(path, 0, after) as writer:
        writer.append(step(number) for number in range((after or 0) + 1, count + 1))


def text(steps: Steps | list[Step]) -> list[str]:
    return [repr(one) for one in steps]  # NaN equals itself here


def test_items_and_parts_of_columns_are_steps() -> None:
    rows = [step(number) for number in range(1, 9)]
    steps = Steps.of(rows)
    assert text(steps) == text(rows)
    assert (repr(steps[-1]), text(steps[2:5]), len(steps[9:])) == (repr(rows[-1]), text(rows[2:5]), 0)
    assert text(steps[steps.epoch == 1]) == text(rows)
    assert text(Steps.joined([steps[:3], Steps.of([]), steps[3:]])) == text(rows)


@pytest.mark.parametrize("size", [1, 700, 1 << 17])
def test_blocks_of_any_size_are_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Two attempts, the first cut off in a line; 700 bytes are two or three lines."""
    write(tmp_path, 25)
    with (tmp_path / "steps-rank0.jsonl").open("ab") as stream:
        stream.write(b'{"step": 26, "epo')
    write(tmp_path, 60, after=12)
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", size)
    attempts = read_attempts(tmp_path, 0)
    assert [(one.after, len(one.steps)) for one in attempts] == [(0, 25), (12, 48)]
    assert text(steps_that_count(attempts)) == text([step(number) for number in range(1, 61)])


@pytest.mark.parametrize(
    "odd",
    [
        {"step_s": 1},
        {"images": 4.0},
        {"epoch": "3"},
        {"warmup": 1},
        {"losses": {"D_real": 1, "G_L1": "2.5"}},
        {"losses": {"G_L1": True, "D_real": None}},
    ],
)
def test_values_that_no_writer_writes_are_read_as_before(tmp_path: Path, odd: dict[str, object]) -> None:
    lines = [{"version": 1, "rank": 0}, *(vars(step(number)) for number in range(1, 9))]
    lines[5] = {**lines[5], **odd}
    (tmp_path / "steps-rank0.jsonl").write_text("".join(strict_json.dumps(line) + "\n" for line in lines))
    (attempt,) = read_attempts(tmp_path, 0)
    expected = read_step(strict_json.loads(strict_json.dumps(lines[5])))
    found = attempt.steps[4]
    assert found.losses == pytest.approx(expected.losses, nan_ok=True)
    assert dataclasses.replace(found, losses={}) == dataclasses.replace(expected, losses={})


def test_a_line_of_two_objects_is_broken(tmp_path: Path) -> None:
    write(tmp_path, 4)
    path = tmp_path / "steps-rank0.jsonl"
    head, *lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([head, b",".join(lines[:2]), *lines[2:], b""]))
    with pytest.raises(Exception, match=r"steps-rank0\.jsonl line 2 is broken \(trailing characters"):
        read_attempts(tmp_path, 0)


def test_reading_takes_little_memory_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of Step takes 900 bytes a step; the text of a line 300."""
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 30_000)
    peaks = []
    for count in (4_000, 16_000):
        (tmp_path / str(count)).mkdir()
        write(tmp_path / str(count), count)
        tracemalloc.start()
        read_attempts(tmp_path / str(count), 0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 300 * 12_000
