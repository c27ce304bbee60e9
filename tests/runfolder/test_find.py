"""Find run folders by name."""

from __future__ import annotations

import os
from pathlib import Path

from gbench.runfolder.find import find_run, run_folders


def made(results: Path, *names: str, marker: str = "spec.json") -> None:
    for name in names:
        (results / name).mkdir(parents=True, exist_ok=True)
        (results / name / marker).touch()


def test_the_newest_is_first_in_sessions_too(tmp_path: Path) -> None:
    session = "20260102T000000Z-ab-1a2b3c"
    made(tmp_path, "20260101T000000Z-m-1a2b3c", "renamed", f"{session}/20260103T000000Z-m-1a2b3c", "a/b/too-deep")
    made(tmp_path, session, marker="ab.json")
    os.utime(tmp_path / "renamed" / "spec.json", (1767312000, 1767312000))  # 2026-01-02
    assert [path.name for path in run_folders(tmp_path)] == [
        "20260103T000000Z-m-1a2b3c",
        "renamed",
        "20260101T000000Z-m-1a2b3c",
    ]
    here = {"RESULT_DIR": str(tmp_path), "GBENCH_DEFAULTS": ""}
    assert find_run("latest", environ=here) == tmp_path / session / "20260103T000000Z-m-1a2b3c"
    assert find_run("20260103", environ=here) == find_run("latest", environ=here)
    assert find_run("latest", "ab.json", here) == tmp_path / session
    assert find_run("ren", environ=here) == tmp_path / "renamed"
    assert find_run("", environ=here) is find_run("./ren", environ=here) is find_run("none", environ=here) is None
