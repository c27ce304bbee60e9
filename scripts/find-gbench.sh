# Sourced by the scripts beside it: sets $gbench, to this checkout's .venv where there is one, else to the one in PATH.
gbench="$here/../.venv/bin/gbench"
if [ ! -x "$gbench" ]; then
  gbench=$(command -v gbench) || {
    echo "$(basename -- "$0"): error: gbench is not installed; run 'make install' in $(dirname -- "$here")" >&2
    exit 4
  }
fi
