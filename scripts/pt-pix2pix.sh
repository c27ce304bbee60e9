#!/usr/bin/env bash
# RUN_MODEL_FILE of the performance run, and of every evaluation: starts the worker, one process a device.
# gbench has set $TORCHRUN and the run's other variables, and written the spec of this recipe to $RUN_DIR/spec.json;
# docs/run-scripts.md lists them, for a run script of your own.
set -euo pipefail
eval "exec $TORCHRUN"
