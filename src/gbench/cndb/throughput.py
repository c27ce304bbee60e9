"""What the throughput of a record is a figure of: gbench and launch.sh measured different things under one key."""

from typing import Any

from gbench.base.whole import whole_number
from gbench.cndb.record import Record

END_TO_END = "end to end"
LAUNCH_SH = "launch.sh"  # its printed lines 3 to 7, data excluded
FIRST_RULE = "first rule"  # of the statistics: whatever came before the last level is left out
AS_LAUNCH_SH = "as launch.sh: steps 3 to 7, data excluded"


def throughput_of(perf: Any, model: str | None, run_id: object) -> str | None:
    """END_TO_END, LAUNCH_SH, or None: not said, as by most run scripts.

    Args:
        perf: `perf_data`. Only a figure that includes data says the share of their wait.
        run_id: of gbench's runs; the original's records have none, and pix2pix is the only model that it timed so.
    """
    if isinstance(perf, dict) and perf.get("data_share") is not None:
        return END_TO_END
    return LAUNCH_SH if run_id is None and (model or "").startswith("pix2pix") else None


def kind_of(record: Record) -> str | None:
    return throughput_of(record.perf_data, record.model, record.run_id)


def in_words(record: Record) -> str:
    """What a reader would not expect of its throughput; empty for END_TO_END, and if nothing is said."""
    return AS_LAUNCH_SH if kind_of(record) == LAUNCH_SH else ""


def rule_of(record: Record) -> int:
    """The rule of the statistics by which it was made: `RunResult.statistics`."""
    return rule_in(record.perf_data)


def rule_in(perf: Any) -> int:
    """`rule_of` of its `perf_data`."""
    rule = str(perf.get("statistics")) if isinstance(perf, dict) else ""
    return whole_number(rule) or 1
