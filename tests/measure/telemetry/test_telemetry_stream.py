"""The stream: written, truncated anywhere, damaged, and read."""

from __future__ import annotations

from pathlib import Path

import pytest

from gbench.measure.telemetry.energy import energy
from gbench.measure.telemetry.reader import read_stream
from gbench.measure.telemetry.sample_columns import Samples, Telemetry, Window
from gbench.measure.telemetry.samples import GpuFacts, GpuSample, Header, HostSample, Missing, RaplDomain, Sample
from gbench.measure.telemetry.stream import NAME, StreamWriter
from gbench.measure.telemetry.usage import summarize
from gbench.runfolder import json_lines
from golden import check_golden

WHOLE = Telemetry(
    Header(
        10.0, "2024-01-01T00:00:00.000+00:00", gpus=[GpuFacts("0", name="A100")], rapl=[RaplDomain("package-0", 99)]
    ),
    Samples.of(
        [
            Sample(1.0, 0.001, 0.1, [GpuSample(energy_mj=5, foreign=["7 other"])], HostSample(rss_bytes=100), [None]),
            Sample(1.1, 0.002, 0.2, [GpuSample(throttle_bits=0)], HostSample(load_1m=0.5), [3]),
        ]
    ),
    {"idle_starts": 1.05},
    [Missing("rapl", "only root may read it"), Missing("gpu 0 power_w", "Unknown Error", 1.1)],
    "the run said stop",
)


def write(path: Path) -> bytes:
    writer = StreamWriter(path)
    assert WHOLE.header is not None
    writer.header(WHOLE.header, WHOLE.missing[:1])
    writer.sample(WHOLE.samples[0])
    writer.mark("idle_starts", 1.05)
    writer.missing(WHOLE.missing[1])
    writer.sample(WHOLE.samples[1])
    writer.end("the run said stop", 1.2)
    writer.close()
    return path.read_bytes()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / NAME)
    assert read_stream(tmp_path / NAME) == WHOLE


def test_a_stream_is_readable_after_a_crash_at_any_byte(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole")
    for length in range(len(whole) + 1):
        cut = whole[:length]
        (tmp_path / NAME).write_bytes(cut)
        found = read_stream(tmp_path / NAME)
        lines = cut.count(b"\n")
        assert (found.header is not None) == (lines >= 1)
        assert len(found.samples) == (lines >= 2) + (lines >= 5)
        assert ("telemetry" in [one.what for one in found.missing]) == (lines == 0)
        assert (found.ended is None) == (length < len(whole))


@pytest.mark.parametrize(
    ("place", "written", "odd"),
    [
        (2, '"t_s":1.0', '"t_s":"soon"'),
        (2, '"t_s":1.0', '"t_s":NaN'),
        (2, '"t_s":1.0', '"t_s":null'),
        (2, '"energy_mj":5', '"energy_mj":"much"'),
        (2, '"rss_bytes":100', '"rss_bytes":[100]'),
        (2, '"took_s":0.001', '"took_s":Infinity'),
        (5, '"t_s":1.1', '"t_s":1.0'),  # time goes on
        (5, '"rapl_uj":[3]', '"rapl_uj":["3 uJ"]'),
        (5, '"throttle_bits":0', '"throttle_bits":0.5'),
        (3, '"t_s":1.05', '"t_s":"then"'),
        (6, '"why":"the run said stop"', '"why":7'),
    ],
)
def test_an_impossible_value_costs_its_line_alone(tmp_path: Path, place: int, written: str, odd: str) -> None:
    lines = write(tmp_path / NAME).decode().split("\n")
    assert written in lines[place - 1]
    lines[place - 1] = lines[place - 1].replace(written, odd)
    (tmp_path / NAME).write_text("\n".join(lines))
    found = read_stream(tmp_path / NAME)
    summary = summarize(found, Window(0.9, 1.2))
    assert energy(found, Window(0.9, 1.2)).joules is None
    if place != 6:  # what it says is for people alone
        assert any(one.why.startswith(f"line {place} of {NAME} is broken (") for one in summary.missing)
        assert "\n" not in "".join(one.why for one in summary.missing)


def test_a_broken_line_costs_that_line_and_is_named(tmp_path: Path) -> None:
    lines = write(tmp_path / NAME).split(b"\n")
    for broken in (
        b"{",
        b"[]",
        b'{"kind":"sample"}',
        b'{"kind":"new"}',
        b"\xff",
        lines[1].replace(b'[{"energy', b'[{"other'),
    ):
        (tmp_path / NAME).write_bytes(b"\n".join([lines[0], broken, *lines[2:]]))
        found = read_stream(tmp_path / NAME)
        assert len(found.samples) == 1
        assert found.missing[1].why.startswith(f"line 2 of {NAME} is broken")


def test_each_damage_has_its_words(tmp_path: Path) -> None:
    header, sample, *_ = write(tmp_path / "whole").split(b"\n")
    damaged = {
        "an unknown kind": [header, b'{"kind":"new"}'],
        "other devices": [header, sample.replace(b'"rapl_uj":[null]', b'"rapl_uj":[]')],
        "a sample twice": [header, sample, sample],
        "resumed": [header, sample, header, sample],
        "another version": [header.replace(b'"version":1', b'"version":2')],
        "no header": [sample],
        "nothing": [],
    }
    said = []
    for title, lines in damaged.items():
        (tmp_path / NAME).write_bytes(b"\n".join([*lines, b""]) if lines else b"")
        said += [f"{title}: {one.what}: {one.why}\n" for one in read_stream(tmp_path / NAME).missing]
    (tmp_path / NAME).unlink()
    said += [f"no file: {one.what}: {one.why}\n" for one in read_stream(tmp_path / NAME).missing]
    check_golden("telemetry-damage.txt", "".join(said))


@pytest.mark.parametrize("text", ["", '{"version":2,"kind":"header"}\n', '{"kind":"sample","t_s":1}\n'])
def test_another_version_or_no_header_is_no_telemetry(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    found = read_stream(tmp_path / NAME)
    assert (found.header, len(found.samples)) == (None, 0)
    assert [one.what for one in found.missing] == ["telemetry"]


def test_no_stream_is_no_telemetry_and_says_so(tmp_path: Path) -> None:
    summary = summarize(read_stream(tmp_path / NAME), Window(0.0, 1.0))
    assert summary.gpus == []
    assert [one.why for one in summary.missing] == [f"{NAME} can't be read (No such file or directory)"]


def test_a_resumed_run_counts_only_its_own_samples(tmp_path: Path) -> None:
    before = write(tmp_path / NAME)
    with (tmp_path / NAME).open("ab") as cut_off:
        cut_off.write(b'{"kind":"sam')
    write(tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes().startswith(before), "nothing is overwritten"
    (tmp_path / "alone").mkdir()
    write(tmp_path / "alone" / NAME)
    resumed, alone = read_stream(tmp_path / NAME), read_stream(tmp_path / "alone" / NAME)
    assert (resumed.samples, resumed.marks, resumed.ended) == (alone.samples, alone.marks, alone.ended)
    assert any("before the run was resumed" in one.why for one in resumed.missing)


def test_many_samples_are_read_as_each_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them is broken. In blocks of one byte, each line is read alone."""
    writer = StreamWriter(tmp_path / NAME)
    assert WHOLE.header is not None
    writer.header(WHOLE.header, [])
    for number in range(1, 60):
        t_s = 0.05 if number == 30 else number / 10
        gpu = GpuSample(energy_mj=2**63 + number, throttle_bits=4 if number % 7 else None, power_w=1 / number)
        host = HostSample(rss_bytes=100 + number, load_1m=0.5 if number % 5 else None)
        writer.sample(Sample(t_s, 0.001, 0.1 * number, [gpu], host, [number % 3 or None]))
    writer.close()
    found = read_stream(tmp_path / NAME)
    assert [one.why for one in found.missing] == [
        f"line 31 of {NAME} is broken (t_s: 0.05 is not after the sample before)"
    ]
    whole = [line for number, line in enumerate((tmp_path / NAME).read_bytes().splitlines(True), 1) if number != 31]
    (tmp_path / "whole").write_bytes(b"".join(whole))
    assert read_stream(tmp_path / "whole").samples == found.samples
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 1)
    assert read_stream(tmp_path / NAME) == found
