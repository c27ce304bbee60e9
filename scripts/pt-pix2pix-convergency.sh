#!/usr/bin/env bash
# RUN_MODEL_FILE of the convergence run: starts the worker, one process per device.
# gbench has set $WORKER and the run's other variables, and written the spec of this recipe to $RUN_DIR/spec.json;
# docs/run-scripts.md lists them, and shows how to write your own run script.
set -euo pipefail
eval "exec $WORKER"
