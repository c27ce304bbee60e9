"""Search for a file that a reader neither reads nor refuses: python tests/helpers/fuzz_search.py READER [SECONDS].

atheris (libFuzzer) changes the reader's corpus, guided by which of our lines run. A finding ends the search: its file
is left in .fuzz/READER/, as is every input that reached new lines. Keep a finding, made small, in
tests/fuzz/corpus/READER/.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_MIB = 1500
PATIENCE_S = 30  # of one input


def search(name: str, seconds: int) -> None:
    """Fuzz one reader in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["gbench"]):
        from fuzz_readers import READERS, corpus, write
        from gbench.errors import GbenchError

    place = ROOT / ".fuzz" / name
    place.mkdir(parents=True, exist_ok=True)
    for data in corpus(name):
        (place / f"seed-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
    folder = Path(tempfile.mkdtemp())

    def check(data: bytes) -> None:
        with contextlib.suppress(GbenchError):
            READERS[name].read(write(name, data, folder))

    limits = [f"-max_total_time={seconds}", f"-rss_limit_mb={MOST_MIB}", f"-timeout={PATIENCE_S}", "-max_len=100000"]
    atheris.Setup([name, *limits, f"-artifact_prefix={place}/found-", str(place)], check)
    atheris.Fuzz()


def main(seconds: int) -> int:
    """Fuzz every reader in turn, each in a process of its own; returns how many had a finding."""
    from fuzz_readers import READERS

    findings = 0
    for name in READERS:
        command = [sys.executable, __file__, name, str(seconds)]
        with tempfile.TemporaryDirectory(prefix="gbench-fuzz-") as place:
            environ = {**os.environ, "TMPDIR": place}  # libFuzzer ends the process, which clears nothing
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environ)
        runs = re.findall(r"^Done (\d+) runs", done.stderr, re.MULTILINE)
        covered = re.findall(r"cov: (\d+)", done.stderr)
        findings += done.returncode != 0
        print(f"{name:16} {runs[-1] if runs else '?':>9} runs  {covered[-1] if covered else '?':>5} places", end="  ")
        print("ok" if done.returncode == 0 else f"FOUND\n{done.stderr[-2000:]}", flush=True)
    return findings


if __name__ == "__main__":
    os.nice(10)
    if len(sys.argv) > 1 and not sys.argv[1].isdigit():
        search(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 600)
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 600) > 0)
