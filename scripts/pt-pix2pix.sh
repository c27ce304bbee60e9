#!/usr/bin/env bash
# RUN_MODEL_FILE of the performance run, and of every # $WORKER is split as a shell would split it, and never evaluated.
exec "$PYTHON" -ISc 'import os, shlex, sys
worker = shlex.split(os.environ["WORKER"]) + sys.argv[1:]
os.execvp(worker[0], worker)'
