#!/usr/bin/env bash
# The nightly regression check, for cron or any CI: measure, and compare with a pinned baseline.
#
#   bash scripts/nightly.sh MODEL BATCH_SIZE DEVICE_COUNT PRECISION [DATABASE] [OPTIONS OF gbench launch]
#
# NIGHTLY_BASELINE  the baseline in CNDB_DIR/baselines/ (default: nightly); `gbench cndb baseline set` pins one
# NIGHTLY_RUNS      runs per night (default: 3)
# NIGHTLY_DIR       holds a folder per night: run folders, logs, summary.md, junit.xml (default: ./nightly)
# NIGHTLY_COMPARE   further options of gbench compare (default: --allow image, since every source file is in an image's tag)
#
# Exit code 0: no regression, or inconclusive (see the summary); 1: a regression, and nothing else; 2: no baseline, not
# comparable, or wrong arguments; 4: the runs failed, or something they need is unavailable; 130: stopped. docs/nightly.md
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

# $1 the result, $2 the exit code, $3 the page, which is also appended to the CI's own if it has one.
finish() {
  if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then printf '%s\n' "$3" >>"$GITHUB_STEP_SUMMARY" || true; fi
  echo "nightly: $1; $out" >&2
  exit "$2"
}

# $1 what failed, $2 gbench's exit code, $3 the log whose last line says why. Writes both pages unless the disk is full.
give_up() {
  local why escaped page code
  case $2 in
    2 | 130) code=$2 ;; # wrong arguments, stopped
    *) code=4 ;;        # also for 1: a failed run is not a regression
  esac
  why=$(tail -n 1 "$out/$3" 2>/dev/null | tr -d '\000-\010\013\014\016-\037') || true
  why=${why:-nothing was said: see whether the disk is full}
  escaped=$(sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g' <<<"$why")
  page=$(printf '# Nightly: %s\n\n    %s' "$1" "$why")
  printf '%s\n' "$page" >"$out/summary.md" || true
  printf '<testsuite name="gbench nightly" tests="1" errors="1"><testcase name="%s"><error message="%s"/></testcase>%s\n' \
    "${3%.log}" "$escaped" "</testsuite>" >"$out/junit.xml" || true
  finish "$1: $why" "$code" "$page"
}

code=0
"$gbench" launch "$@" --repeats "${NIGHTLY_RUNS:-3}" --results "$out/runs" --logs "$out/logs" \
  >"$out/launch.txt" 2>"$out/launch.log" || code=$?
if [ "$code" -ne 0 ] && [ "$code" -ne 5 ]; then # 5: measured, but the database did not take the record
  give_up "not measured" "$code" launch.log
fi

verdict=0
read -ra options <<<"${NIGHTLY_COMPARE:---allow image}"
"$gbench" compare "baseline:${NIGHTLY_BASELINE:-nightly}" "$out/runs" "${options[@]}" \
  --markdown "$out/summary.md" --junit "$out/junit.xml" >"$out/compare.txt" 2>"$out/compare.log" || verdict=$?
cat "$out/compare.txt" "$out/compare.log" || true
if [ "$code" -eq 5 ]; then tail -n 1 "$out/launch.log" >&2; fi
case $verdict in
  0) result="no regression" ;;
  1) result=regression ;;
  3) result=inconclusive ;;
  *) give_up "not compared" "$verdict" compare.log ;;
esac
if [ ! -s "$out/junit.xml" ]; then give_up "not compared" 4 compare.log; fi # killed, or the disk is full
finish "$result" "$((verdict == 3 ? 0 : verdict))" "$(cat "$out/summary.md")"
