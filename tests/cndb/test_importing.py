"""Results of the past: benchmark logs and record files."""

from __future__ import annotations

from pathlib import Path

import pytest

from gbench.cndb.importing import read_results
from gbench.cndb.record import Record
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
    assert [sentence.split(" is ")[0].split(":")[0] for sentence in bad] == [
        f"{log} line {number}" for number in (1002, 2002, 2502)
    ]
    assert "dev_num" in bad[2] and "greater than 0" in bad[2]
    first = results[0]
    assert isinstance(first, Record) and first.perf_data == {"throughput": 20.0, "throughput_unit": "img/s"}


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
