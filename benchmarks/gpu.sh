#!/usr/bin/env bash
# What a GPU has to confirm, in eight minutes on one: every precision, every source of data with its wait, the optimized
# profile (of BF16, or of AMP where the GPU has no BF16; of all precisions with --budget 1800), the measured peak,
# energy; and our step beside a plain one. Prints one table, made of the records.
#
#   bash benchmarks/gpu.sh [--device cpu] [--small] [--out DIR] [--budget SECONDS] [--only 'reference *']
#
# Needs this checkout and a Python with its dependencies: $PYTHON, else .venv/bin/python, else python3. No Docker, no
# network: the pictures are drawn. With --small, as with --device cpu, it is the same on tiny sizes, to see that it works.
# Whatever can't run, or no longer within the budget (450 s), is a row that says why; the exit code is 1 where no run
# ended well.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
device=cuda small= out=gpu-$(date -u +%Y%m%dT%H%M%SZ) budget=450 only='*'
while (($#)); do
  case $1 in
    --device | --out | --budget | --only)
      (($# > 1)) || { echo "gpu.sh: error: $1 needs a value" >&2; exit 2; }
      declare "${1#--}=$2"
      shift
      ;;
    --small) small=yes ;;
    -h | --help) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "gpu.sh: error: there is no option $1; see --help" >&2; exit 2 ;;
  esac
  shift
done
[[ $device == cuda || $device == cpu ]] || { echo "gpu.sh: error: --device $device is neither cuda nor cpu" >&2; exit 2; }
[[ $budget =~ ^[0-9]+$ ]] || { echo "gpu.sh: error: --budget $budget is no number of seconds" >&2; exit 2; }

python=${PYTHON:-$root/.venv/bin/python}
command -v "$python" >/dev/null || python=python3
export PYTHONPATH=$root/src${PYTHONPATH:+:$PYTHONPATH}
mkdir -p "$out"
out=$(readlink -f -- "$out")

model=pix2pix_resnet_9blocks batch=32 pictures=(--train 400 --size 256) tune_s=30
few=(--steps 120 --warmup 3 --max-time 20s) step=(--pairs 8 --steps 1) sizes=()
if [[ $device == cpu || $small ]]; then
  batch=4 pictures=(--train 8 --size 40) tune_s=2 step=(--pairs 2 --steps 1)
  few=(--steps 8 --warmup 1)
  if [[ $device == cuda ]]; then step+=(--batch 1); fi
  for setting in data.load_size=36 data.crop_size=32 data.workers=0 network.ngf=4 network.ndf=4 \
    measure.peak_seconds=0.1 measure.idle_seconds=0; do
    sizes+=(--set "$setting")
  done
fi
where=(--device "$device" --runner local --datasets-dir "$out/data" --dataset synthetic --cache-dir "$out/cache"
  --results "$out/results")

trap 'echo "gpu.sh: stopped; what ended is in $out" >&2; exit 130' INT
number=0 ended=
# Runs a command, if there is time, under a name: its JSON, its last words and its exit code go to files of that name.
take() {
  local file code=0
  # shellcheck disable=SC2053  # a pattern, by intent
  if [[ $1 != $only ]]; then ended= && return; fi
  number=$((number + 1))
  file=$out/$(printf %02d "$number")-$1
  if ((SECONDS >= budget)); then
    echo "not run: the budget of $budget s was used up" >"$file.log"
    code=skipped
  else
    echo "$((SECONDS)) s: $1" >&2
    timeout --foreground --signal=INT --kill-after=30 $((budget - SECONDS + 30)) "${@:2}" >"$file.json" 2>"$file.log" || code=$?
  fi
  ended=$code
  echo "$code" >"$file.code"
}
launch() { # PROFILE PRECISION DATA
  local profile=()
  if [[ $1 != reference ]]; then profile=(--profile "$1"); fi
  take "$1 $2 $3" "$python" -m gbench launch "$model" "$batch" 1 "$2" false ignore_check \
    "${where[@]}" --logs "$out/logs" --cndb-dir "$out/cndb" "${sizes[@]}" "${few[@]}" "${profile[@]}" --data "$3" --json
}

"$python" -m gbench data synth --out "$out/data/synthetic" "${pictures[@]}" --val 1 --test 1 >"$out/data.log" 2>&1 ||
  { echo "gpu.sh: error: no pictures could be drawn ($(tail -n 1 "$out/data.log"))" >&2; exit 4; }
fast=BF16
for precision in FP32 TF32 AMP BF16; do
  launch reference "$precision" real
  if [[ $ended == 0 ]]; then fast=$precision; fi # the last one that this GPU can do: AMP on a V100
done
for data in cached resident synthetic; do launch reference "$fast" "$data"; done
take "step" "$python" "$root/benchmarks/step.py" --device "$device" "${step[@]}" --json
for precision in BF16 TF32 AMP FP32; do
  take "tune $precision" "$python" -m gbench tune "$model" "$batch" 1 "$precision" \
    "${where[@]}" "${sizes[@]}" --max-time "${tune_s}s" --json
  launch optimized "$precision" resident
done
echo "$SECONDS s in all" >&2
exec "$python" "$root/benchmarks/gpu_table.py" "$out"
