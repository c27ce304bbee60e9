# Sourced by the other scripts: sets $gbench to the one in this checkout's .venv if it exists, else to the one in PATH.
gbench="$here/../.venv/bin/gbench"
if [ ! -x "$gbench" ]; then
  gbench=$(command -v gbench) || {
    echo "$(basename -- "$0"): error: gbench is not installed; run 'make install' in $(dirname -- "$here")" >&2
    exit 4
  }
fi
