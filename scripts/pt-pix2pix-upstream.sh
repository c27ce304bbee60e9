#!/usr/bin/env bash
# RUN_MODEL_FILE of the yardstick: upstream's own train.py at the commit of $CODE_LINK, with the batch, the devices and the
# precision of this run; its log lines become the record. The code comes from UPSTREAM_DIR, from DATASETS_DIR, or is cloned:
# docs/yardstick.md
set -euo pipefail
exec "$PYTHON" -m gbench.upstream --run-dir "$RUN_DIR" --data-dir "$DATA_DIR"
