#!/usr/bin/env bash
# `gbench nightly` for cron or any CI: one night, with its files in a folder of its own.
#
#   bash scripts/nightly.sh MODEL BATCH_SIZE DEVICE_COUNT PRECISION [DATABASE] [OPTIONS OF gbench nightly]
#
# NIGHTLY_BASELINE  the baseline in CNDB_DIR/baselines/ (default: nightly, if it exists); `gbench cndb baseline set` pins one
# NIGHTLY_RUNS      runs per night (default: 3)
# NIGHTLY_DIR       holds a folder per night: run folders, logs, summary.md, junit.xml (default: ./nightly)
# NIGHTLY_COMPARE   further options of gbench nightly, such as --threshold 2% --allow machine
#
# Exit codes are those of gbench nightly: 1 is a regression, and nothing else. docs/nightly.md
set -Eeuo pipefail
trap 'exit 4' ERR # any other failure, such as a full disk, is not a regression

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
gbench=$(dirname -- "$here")/.venv/bin/gbench
if [ ! -x "$gbench" ]; then
  gbench=$(command -v gbench) || {
    echo "nightly.sh: error: gbench is not installed; run 'make install' in $(dirname -- "$here")" >&2
    exit 4
  }
fi
nights=${NIGHTLY_DIR:-nightly}
out=$nights/$(date -u +%Y%m%dT%H%M%SZ)
if ! mkdir -p "$nights" || ! mkdir "$out"; then # not -p: a folder that is there is another night's
  echo "nightly: error: can't make $out; free space there, begin it later, or take another NIGHTLY_DIR" >&2
  exit 4
fi

code=0
read -ra options <<<"${NIGHTLY_BASELINE:+--baseline $NIGHTLY_BASELINE} ${NIGHTLY_COMPARE:-}"
"$gbench" nightly "$@" --runs "${NIGHTLY_RUNS:-3}" --results "$out/runs" --logs "$out/logs" "${options[@]}" \
  --markdown "$out/summary.md" --junit "$out/junit.xml" >"$out/nightly.txt" 2>"$out/nightly.log" || code=$?
cat "$out/nightly.txt" || true
said=$(tail -n 1 "$out/nightly.log" 2>/dev/null | tr -d '\000-\010\013\014\016-\037') || true
if [ ! -s "$out/junit.xml" ]; then # wrong arguments, killed, or the disk is full
  case $code in 2 | 130) ;; *) code=4 ;; esac
  said=${said:-nothing was said: see whether the disk is full}
  escaped=$(sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g' <<<"$said")
  page=$(printf '# Nightly: not measured\n\n    %s' "$said")
  printf '%s\n' "$page" >"$out/summary.md" || true
  printf '<testsuite name="gbench nightly" tests="1" errors="1"><testcase name="launch"><error message="%s"/></testcase>%s\n' \
    "$escaped" "</testsuite>" >"$out/junit.xml" || true
else
  page=$(cat "$out/summary.md") || true
fi
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then printf '%s\n' "$page" >>"$GITHUB_STEP_SUMMARY" || true; fi
case $code in 0 | 1 | 3) said=$(tail -n 1 "$out/nightly.txt") ;; esac
echo "nightly: $said; $out" >&2
exit "$code"
