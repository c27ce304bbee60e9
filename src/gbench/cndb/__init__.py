"""The CNDB record: built from a run folder, written to a YAML file, stored in a database, read back.

In: a run folder, a benchmark log line or a record file. Out: `Record`, its file, its rows. A database that is down
loses nothing: the record waits in the spool.
"""
