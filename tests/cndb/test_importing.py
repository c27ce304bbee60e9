"""Import of old results: benchmark logs and record files."""

from __future__ import annotations

from pathlib import Path

import pytest

from drawn_records import record
from gbench.cndb.importing import read_results
from gbench.cndb.record import Record
from gbench.cndb.record_file import save
from gbench.errors import RecordError

LINE = (
    "network:pix2pix-resnet_9blocks, batch size:32, device count:{count}, dpf mode:Single, precision:FP32, "
    "throughput:{figure} img/s, device:V100-PCIE-32GB, dataset:facades, nv_web_perf:N/A, github_perf_data:N/A, "
    "driver:460.73.01"
)


def test_a_bad_line_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    log = tmp_path / "benchmark.log"
    lines = [LINE.format(count=1, figure=20 + n) for n in range(3000)]
    lines[999] = "sh: line 4: nvidia-smi: command not found"
    lines[1999] = LINE.format(count="one", figure=3)
    lines[2499] = LINE.format(count=0, figure=3)
    log.write_text("\n".join(["# of last year", "", *lines]))
    results = list(read_results(log, {"framework": "PyTorch"}))
    bad = [str(result) for result in results if isinstance(result, RecordError)]
    assert len(results) == 3000
    assert [sentence.split(":")[0] for sentence in bad] == [f"{log} line {number}" for number in (1002, 2002, 2502)]
    assert "dev_num" in bad[2] and "greater than 0" in bad[2]
    first = results[0]
    assert isinstance(first, Record) and first.perf_data == {"throughput": 20.0, "throughput_unit": "img/s"}


def found_in(path: Path) -> list[str | float]:
    """The results in a file: throughputs, and error sentences."""
    results = read_results(path, {"framework": "PyTorch"})
    return [
        str(result) if isinstance(result, RecordError) else (result.perf_data or {})["throughput"] for result in results
    ]


def test_a_log_from_windows_is_read(tmp_path: Path) -> None:
    log = tmp_path / "benchmark.log"
    log.write_bytes(("\ufeff" + "\r\n".join(LINE.format(count=1, figure=n) for n in (1, 2))).encode())
    assert found_in(log) == [1.0, 2.0]
    log.write_text(log.read_text(), encoding="utf-16")
    with pytest.raises(RecordError, match=r"can't be read \(it is UTF-16 text\); save it as UTF-8"):
        found_in(log)


def test_a_line_that_is_not_utf_8_costs_no_other(tmp_path: Path) -> None:
    log = tmp_path / "benchmark.log"
    first, last = (LINE.format(count=1, figure=n).encode() for n in (1, 2))
    log.write_bytes(b"\n".join([first, b"Ger\xe4t", last.replace(b"facades", b"f\xff"), last]))
    assert found_in(log) == [1.0, 2.0, f"{log} line 2 and 1 more: not UTF-8 text; fix or remove it"]


def test_lines_with_one_problem_are_one_sentence(tmp_path: Path) -> None:
    log = tmp_path / "benchmark.log"
    log.write_text("\n".join(f"sh: line {n}" for n in range(2000)) + "\n" + LINE.format(count=1, figure=2))
    *figures, problem = read_results(log, {"framework": "PyTorch"})
    assert len(figures) == 1 and isinstance(problem, RecordError) and problem.count == 2000
    assert str(problem) == (
        f"{log} line 1 and 1999 more: not a benchmark log line, which begins `network:...,`; fix or remove it"
    )
    log.write_text("# a comment\n\n")
    with pytest.raises(RecordError) as caught:
        found_in(log)
    hint = "give a benchmark log, or a record file named .yaml"
    assert str(caught.value) == f"{log} holds no benchmark log line; {hint}"


@pytest.mark.parametrize("figure", ["nan", "NaN", "-inf", "Infinity"])
def test_a_figure_that_is_none_is_named(figure: str, tmp_path: Path) -> None:
    log = tmp_path / "benchmark.log"
    log.write_text(LINE.format(count=1, figure=figure))
    assert found_in(log) == [f"{log} line 1: throughput '{figure} img/s' is not a finite number; fix or remove it"]


@pytest.mark.parametrize("figure", ["-5", "0", "0.0"])
def test_a_figure_that_nothing_can_have_is_refused(figure: str, tmp_path: Path) -> None:
    log, file = tmp_path / "benchmark.log", tmp_path / "record.yaml"
    log.write_text(LINE.format(count=1, figure=figure))
    assert found_in(log) == [f"{log} line 1: throughput '{figure} img/s' is not above 0; fix or remove it"]
    save(record(throughput=float(figure)), file)
    with pytest.raises(
        RecordError, match=r"record\.yaml: perf_data\.throughput -?[05] is not above 0; fix or remove it"
    ):
        found_in(file)


def test_utf_16_without_its_mark(tmp_path: Path) -> None:
    log = tmp_path / "benchmark.log"
    for encoding in ("utf-16-le", "utf-16-be"):
        log.write_bytes(LINE.format(count=1, figure=1).encode(encoding))
        with pytest.raises(RecordError, match=r"can't be read \(it is UTF-16 text\); save it as UTF-8"):
            found_in(log)


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"# nothing was run\n", b"text\n" * 2000, b"\x89PNG\r\n\x1a\n\xff\n"]
)
def test_a_file_that_is_no_log_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    log = tmp_path / "benchmark.log"
    log.write_bytes(content)
    with pytest.raises(RecordError, match=r"benchmark.log holds no benchmark log line; give a benchmark log"):
        found_in(log)


def test_a_record_file_of_the_original_is_one_result(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(
        "{model: m, framework: tf, dataset: d, dev: V100, dev_num: 1, perf_data: {throughput: 22.9 img/s},\n"
        'hard_info: {name: Ubuntu, cpu: \'{"name": "Xeon", "sockets": 2}\'}}'
    )
    (found,) = read_results(path, {})
    assert isinstance(found, Record)
    assert found.perf_data == {"throughput": 22.9, "throughput_unit": "img/s"}
    assert found.hard_info is not None and found.hard_info.model_dump()["cpu"] == {"name": "Xeon", "sockets": 2}
    assert found.batch_size is None and found.train_type is None


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cant_be_read_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "benchmark.log"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordError, match="can't be read"):
        list(read_results(path, {}))
