"""gbench in a separate process, for tests that stop it, kill it, or run it as another user.

python drive_docker.py SPEC_JSON RUN_DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

from gbench.errors import GbenchError
from gbench.runners.docker import DockerRunner
from gbench.runners.stopping import stoppable
from gbench.settings.spec import RunSpec


def say(line: str) -> None:
    print(line, flush=True)


def main(spec_file: str, run_dir: str) -> int:
    spec = RunSpec.model_validate_json(Path(spec_file).read_text())
    runner = DockerRunner(spec)
    try:
        with stoppable(spec.timeout_s):
            runner.prepare(say)
            return runner.run(Path(run_dir), say).exit_code
    except GbenchError as error:
        say(str(error))
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
