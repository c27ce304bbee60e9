#!/bin/bash
# The simulated world's Python: the stand-in where gbench starts its worker, else the real one under this name.
case " $* " in
  *" gbench.pix2pix.start_ranks "*) exec -a "$0" "$SIM_PYTHON" "$SIM_SOURCES/stand_in.py" "$@" ;;
esac
exec -a "$0" "$SIM_PYTHON" "$@"
