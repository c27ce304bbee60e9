"""The record of a run that is still to come."""

from __future__ import annotations

from collections.abc import Callable

from gbench.cndb.from_run import unmeasured_record
from gbench.settings.spec import RunSpec


def test_an_unmeasured_record_has_the_spec_and_no_figures(make_spec: Callable[..., RunSpec]) -> None:
    record = unmeasured_record(make_spec(batch_size=8, precision="BF16"))
    assert (record.model, record.batch_size, record.train_type) == ("pix2pix-resnet_9blocks", 8, "BF16")
    assert (record.perf_data, record.metric_data) == (None, None)
