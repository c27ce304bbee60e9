"""More than one run: two specs in turn, and a run made again from its record."""
