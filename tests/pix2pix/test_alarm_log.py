"""What an alarm that ends a run says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gbench.pix2pix.alarm_log import AlarmLog
from gbench.runfolder.alarms import Alarm
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import RunSpec


def test_a_stopped_run_names_its_folder_on_the_host(make_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    """In a container the folder is mounted at another place."""
    spec = make_spec(settings=("schedule.checkpoint_every=1",))
    log = AlarmLog(spec, RunFolder(tmp_path / "mounted"), True, 4, 4)
    failure = log.failure(Alarm("nan", 1, 2, "G_L1 is NaN or infinite"))
    assert failure.hint == f"fix the cause, or go on with gbench converge --resume {spec.run_dir}"
