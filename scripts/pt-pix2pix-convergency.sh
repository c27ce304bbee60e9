#!/usr/bin/env bash
# RUN_MODEL_FILE of the convergence run: starts the worker, one process per device.
# gbench has set $WORKER and the run's other variables, and written the spec of this recipe to $RUN_DIR/spec.json;
# docs/run-scripts.md lists them, and shows how to write your own run script.
set -euo pipefail
# $WORKER is split as a shell would split it, and never evaluated.
exec "$PYTHON" -ISc 'import os, shlex, sys
worker = shlex.split(os.environ["WORKER"]) + sys.argv[1:]
os.execvp(worker[0], worker)'
