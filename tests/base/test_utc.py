"""Times as others write them."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from gbench.base import utc


class Of310(datetime):
    """Its fromisoformat takes no Z, as Python 3.10's."""

    @classmethod
    def fromisoformat(cls, text: str) -> Of310:
        if text[-1:] in ("Z", "z"):
            raise ValueError(text)
        return super().fromisoformat(text)


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00z", "2026-01-31T14:00:00+02:00"])
def test_zones(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(utc, "datetime", Of310)
    assert utc.time_of(text) == datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize("text", ["", "Z", "now", None, 5, "2026-02-30", "0001-01-01T00:00:00+09:00"])
def test_no_time(text: object) -> None:
    assert utc.time_of(text) is None
