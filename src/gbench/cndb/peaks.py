"""The best peak of a GPU in the records of a database."""

import math
from typing import Any

from sqlalchemy import Engine, select

from gbench.cndb.queries import ROW, performance
from gbench.cndb.tables import run_id
from gbench.runfolder.host_facts import BestPeak

AMONG = 1000  # latest records of the device and precision


def best_on_record(engine: Engine, device: str, precision: str) -> BestPeak | None:
    """The best that a device of this name was measured to do; None: no record says it.

    A record has what its run did, and as a share of which peak. Raises sqlalchemy.exc.SQLAlchemyError.
    """
    paths = ("tflop_s", "measured_flop_share"), ("gb_s", "measured_copy_share")
    columns = [performance(engine, "limits", key) for pair in paths for key in pair]
    query = select(ROW.id, run_id(), *columns).where(ROW.device == device, ROW.train_exec_mode == precision)
    best: dict[str, Any] = {}
    with engine.connect() as connection:
        for number, run, *figures in connection.execute(query.order_by(ROW.id.desc()).limit(AMONG)):
            flop, copy = _peak(*figures[:2]), _peak(*figures[2:])
            if flop > best.get("tflop_s", 0.0):
                best |= {"tflop_s": flop, "source": f"run {run}" if run else f"record {number}"}
            if copy > best.get("copy_gb_s", 0.0):
                best["copy_gb_s"] = copy
    return BestPeak.model_validate(best) if "tflop_s" in best else None


def _peak(reached: Any, share: Any) -> float:
    """0 if the two are no figures."""
    try:
        peak = float(reached) / float(share)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return 0.0
    return peak if math.isfinite(peak) and peak > 0 else 0.0
