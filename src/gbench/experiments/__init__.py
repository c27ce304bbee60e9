"""Several runs that belong together, each of them one launch. Used by `cli/` alone."""
