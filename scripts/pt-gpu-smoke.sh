#!/usr/bin/env bash
# The smoke test of a run's GPUs: starts the worker, one process per device, which then trains nothing.
set -euo pipefail
eval "exec $WORKER --gpu-smoke"
