"""The peak of a fake GPU before and after a run, against the best on record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from drawn_records import record as drawn
from gbench.cndb.database_config import embedded
from gbench.cndb.record_file import read_record
from gbench.cndb.schema import prepared
from gbench.cndb.store import submit
from gbench.cndb.verify import verify
from gbench.measure.summary import summarize_folder
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import BestPeak
from gbench.runs.best_peak import place_of, read_kept_peak

CARD = "Fake GPU (figures mean nothing)"
LAUNCH = ("pix2pix_resnet_9blocks", 2, 1, "FP32", "false", "ignore_check", "--steps", 4, "--warmup", 1)
FAST = 1e6  # TFLOP/s: more than a fake GPU does with 20 us a kernel


def test_share_is_of_the_best_peak_on_record(on_gpu: Callable[..., Answer], tmp_path: Path) -> None:
    """A kept file has the most bytes a second, a record of the database the most operations, of another run less."""
    place = place_of(tmp_path / "cache", CARD, "FP32")
    place.parent.mkdir(parents=True)
    kept = {"tflop_s": FAST / 2, "copy_gb_s": 1e5, "source": "run earlier"}
    place.write_text(json.dumps({"device": CARD, "precision": "FP32", "best": kept}))
    (tmp_path / "cndb").mkdir()
    limits = {"tflop_s": FAST / 4, "measured_flop_share": 0.25, "gb_s": 10, "measured_copy_share": 0.5}
    stored = {
        "best": (CARD, limits),
        "zero": (CARD, {"tflop_s": 9e9, "measured_flop_share": 0}),
        "text": (CARD, {"tflop_s": "much", "measured_flop_share": 1}),
        "none": (CARD, None),
        "elsewhere": ("Another", {**limits, "measured_flop_share": 1e-9}),
    }
    records = [
        drawn(name, dev=dev, train_type="FP32", perf_data={"throughput": 1.0, "limits": one})
        for name, (dev, one) in stored.items()
    ]
    submit(prepared(embedded(tmp_path / "cndb"))[0], records, "save")
    answer = on_gpu("launch", *LAUNCH, settings="measure.peak_seconds=0.1", kernel_ns=20_000)
    assert answer.code == 0, answer.err
    assert "of the best peak on record, that of run best (" in answer.out
    (path,) = (tmp_path / "results").iterdir()
    run = RunFolder(path)
    environment, result = run.environment(), run.result()
    assert result is not None and result.limits is not None
    found, before, after = result.limits, environment.peak, environment.peak_after
    assert before is not None and after is not None
    assert found.before_flop_share == pytest.approx(found.tflop_s / before.tflop_s)
    assert found.after_flop_share == pytest.approx(found.tflop_s / after.tflop_s)
    assert found.measured_flop_share == pytest.approx(found.tflop_s / FAST)
    assert found.gb_s is not None and found.measured_copy_share == pytest.approx(found.gb_s / 1e5)
    assert read_kept_peak(place).best == BestPeak(tflop_s=FAST, copy_gb_s=1e5, source="run best")
    (file,) = (tmp_path / "cndb" / "records").iterdir()
    assert verify(read_record(file), run).holds

    # As if others had used the GPU before and after it, and no better peak were known
    low = before.changed(gemm_tflop_s=found.tflop_s / 2, conv_tflop_s=found.tflop_s / 2)
    run.write_environment(environment.changed(peak=low.values(), peak_after=low.values()))
    run.update_host(best_peak=None)
    again = summarize_folder(run)
    assert again is not None and again.limits is not None
    assert again.limits.measured_text.startswith("200% of the better peak measured here, peak not trusted (200% to")
