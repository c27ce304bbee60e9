"""The processes of a run: the group, binding to cores, out of memory."""
