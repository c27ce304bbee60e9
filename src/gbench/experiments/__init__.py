"""More than one run: two specs in turn, a run made again from its record, a matrix. Used by `cli/` alone."""
