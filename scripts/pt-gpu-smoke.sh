#!/usr/bin/env bash
# The smoke test of a run's GPUs: starts the worker, one process per device, which then trains nothing.
set -euo pipefail
# $WORKER is split as a shell would split it, and never evaluated.
exec "$PYTHON" -ISc 'import os, shlex, sys
worker = shlex.split(os.environ["WORKER"]) + sys.argv[1:]
os.execvp(worker[0], worker)' --gpu-smoke
