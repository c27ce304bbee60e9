#!/usr/bin/env bash
# The nightly regression check, for cron or any CI: measures, and compares with a pinned baseline.
#
#   bash scripts/nightly.sh MODEL BATCH_SIZE DEVICE_COUNT PRECISION [DATABASE] [OPTIONS OF gbench launch]
#
# NIGHTLY_BASELINE  the baseline in CNDB_DIR/baselines/ (default: nightly); `gbench cndb baseline set` pins one
# NIGHTLY_RUNS      runs a night (default: 3)
# NIGHTLY_DIR       where each night has a folder: run folders, logs, summary.md, junit.xml (default: ./nightly)
# NIGHTLY_COMPARE   further options of gbench compare (default: --allow image, since every source file is in an image's tag)
#
# Exit code 0: no regression, or inconclusive, which the summary says; 1: a regression, and nothing else; 2: no baseline, not
# comparable, or wrong arguments; 4: the runs failed, or something stands in their way. docs/nightly.md
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
source "$here/find-gbench.sh"
out=${NIGHTLY_DIR:-nightly}/$(date -u +%Y%m%dT%H%M%SZ)
mkdir -p "$out"

# What the night came to: on the CI's page where there is one.
finish() {
  if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then cat "$out/summary.md" >>"$GITHUB_STEP_SUMMARY"; fi
  echo "nightly: $2; $out" >&2
  exit "$1"
}

code=0
"$gbench" launch "$@" --repeats "${NIGHTLY_RUNS:-3}" --results "$out/runs" --logs "$out/logs" \
  >"$out/launch.txt" 2>"$out/launch.log" || code=$?
if [ "$code" -ne 0 ] && [ "$code" -ne 5 ]; then # 5: measured, but the database did not take the record
  why=$(tail -n 1 "$out/launch.log")
  escaped=$(sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g' <<<"$why")
  printf '# Nightly: not measured\n\n    %s\n' "$why" >"$out/summary.md"
  printf '<testsuite name="gbench nightly" tests="1" errors="1"><testcase name="launch"><error message="%s"/></testcase></testsuite>\n' \
    "$escaped" >"$out/junit.xml"
  if [ "$code" -eq 1 ]; then code=4; fi # a run that failed is no regression
  finish "$code" "not measured: $why"
fi

verdict=0
read -ra options <<<"${NIGHTLY_COMPARE:---allow image}"
"$gbench" compare "baseline:${NIGHTLY_BASELINE:-nightly}" "$out/runs" "${options[@]}" \
  --markdown "$out/summary.md" --junit "$out/junit.xml" >"$out/compare.txt" 2>"$out/compare.log" || verdict=$?
cat "$out/compare.txt" "$out/compare.log"
if [ "$code" -eq 5 ]; then tail -n 1 "$out/launch.log" >&2; fi
case $verdict in
  0) finish 0 "no regression" ;;
  1) if [ -s "$out/junit.xml" ]; then finish 1 "regression"; fi ;; # else gbench itself failed
  3) finish 0 "inconclusive" ;;
esac
printf '# Nightly: not compared\n\n    %s\n' "$(tail -n 1 "$out/compare.log")" >"$out/summary.md"
finish "$((verdict == 1 ? 4 : verdict))" "not compared"
